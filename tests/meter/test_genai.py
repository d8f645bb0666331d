"""The compiler and the shelf of books: nothing is lost, nothing half-done is installed, and no server imports genai_prices."""

import http.server
import importlib.metadata
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, time
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from genai_prices import types
from genai_prices.data import providers

from jevons.meter import compiled, compiler
from jevons.meter.compiled import BrokenBook, Period, read_book, unseal
from jevons.meter.genai import UpdateFailed, ensure_book, install_bytes, update
from jevons.meter.pricebook import PriceBook

NOON = 1_795_262_400_000


def published(value: Any) -> Any:
    """genai-prices' objects as the JSON it publishes."""
    if isinstance(value, list):
        return [published(item) for item in value]
    if isinstance(value, types.ClauseOr | types.ClauseAnd):
        return {key.rstrip("_"): published(part) for key, part in vars(value).items()}
    if isinstance(value, date | time):
        return value.isoformat()
    if hasattr(value, "__dict__"):
        return {k: published(v) for k, v in vars(value).items() if not k.startswith("_") and k != "extractors" and v is not None}
    return value


def as_json(raw: object) -> bytes:
    return msgspec.json.Encoder(enc_hook=str, decimal_format="number").encode(raw)


@pytest.fixture(scope="module")
def raw() -> list[Any]:
    return [published(provider) for provider in providers]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home whose book has been made once."""
    home = tmp_path_factory.mktemp("home")
    ensure_book(home)
    return home


@pytest.fixture
def home(made: Path, tmp_path: Path) -> Path:
    """A copy of it, to spoil."""
    source = ensure_book(made)
    install_bytes(tmp_path / "prices" / source.name, source.read_bytes())
    return tmp_path


def shelf(home: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (home / "prices").iterdir()}


def test_the_book_is_made_once_and_only_its_owner_reads_it(made: Path) -> None:
    path = ensure_book(made)
    version = importlib.metadata.version("genai-prices")
    assert path == made / "prices" / f"genai-{version}-f{compiled.FORMAT}.book"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    written = path.stat().st_mtime_ns
    assert ensure_book(made) == path
    assert path.stat().st_mtime_ns == written
    envelope, payload = read_book(path)
    assert envelope.source == f"genai-prices {version}"
    assert len(payload.providers) == len(providers)
    assert sum(len(compiled.decode_models(p)) for p in payload.providers) == sum(len(p.models) for p in providers)
    assert list((made / "prices").iterdir()) == [path]  # no scraps


def test_no_server_imports_genai_prices(made: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from jevons.meter.pricebook import open_book; import jevons.meter.cost;"
        f"open_book(Path({str(made)!r})).price('openai', 'gpt-4o', {NOON});"
        "assert not {m for m in sys.modules if m.partition('.')[0] in ('genai_prices', 'pydantic')}, sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True)


def test_the_published_json_compiles_to_the_same_book(made: Path, raw: list[Any]) -> None:
    direct = read_book(ensure_book(made))[0]
    again = unseal(compiler.compile_json(as_json(raw), "test"), "test")[0]
    assert again.sha256 == direct.sha256


def test_an_update_needs_no_release(home: Path, raw: list[Any], tmp_path: Path) -> None:
    old = ensure_book(home)
    before = PriceBook.load(old)
    anthropic = msgspec.json.decode(as_json(next(p for p in raw if p["id"] == "anthropic")))
    model = next(m for m in anthropic["models"] if m["id"] == "claude-opus-4-5")
    model["prices"]["input_mtok"] = 6
    model["prices"]["brand_new_kcount"] = 3  # a key that this genai-prices cannot bill: left out, so unknown
    source = tmp_path / "data.json"
    source.write_bytes(as_json([p for p in raw if p["id"] != "anthropic"] + [anthropic]))
    updated = update(home, str(source))
    assert updated.models == sum(len(p.models) for p in providers)
    assert updated.providers == len(providers)
    assert ensure_book(home) == updated.path != old
    assert old.is_file()  # entries name the book they were priced with
    assert {stat.S_IMODE(p.stat().st_mode) for p in (home / "prices").iterdir()} == {0o600}
    after = PriceBook.load(updated.path)
    assert after.hash != before.hash
    assert after.source == f"genai-prices JSON from {source}"
    rates = [b.price("anthropic", "claude-opus-4-5", NOON) for b in (before, after)]
    assert [r and (r.tiers[0].nums["input"], r.den) for r in rates] == [(5_000, 1), (6_000, 1)]


def test_json_numbers_keep_every_digit() -> None:
    model = {"id": "m", "match": {"equals": "m"}, "prices": {"input_mtok": 0}}
    text = as_json([{"id": "x", "name": "X", "api_pattern": "x", "models": [model]}])
    digits = "0.1234567890123456789012345678"
    payload = unseal(compiler.compile_json(text.replace(b'"input_mtok":0', f'"input_mtok":{digits}'.encode()), "x"), "x")[1]
    assert compiled.decode_models(payload.providers[0])[0].rows[0].rates == {"input": ((-1, digits),)}


@contextmanager
def server(status: int, body: bytes, promised: int | None = None) -> Iterator[str]:
    """An HTTP server on the loopback that gives one answer; `promised` is the length it states."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # the library's name
            self.send_response(status)
            self.send_header("content-length", str(len(body) if promised is None else promised))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as httpd:
        thread = threading.Thread(target=httpd.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{httpd.server_address[1]}/data.json"
        finally:
            httpd.shutdown()
            thread.join()


def test_an_update_by_url(home: Path, raw: list[Any]) -> None:
    with server(200, as_json(raw)) as url:
        updated = update(home, url)
    assert ensure_book(home) == updated.path
    assert updated.source == f"genai-prices JSON from {url}"


def test_a_broken_download_changes_nothing(home: Path, raw: list[Any], tmp_path: Path) -> None:
    before = shelf(home)
    whole = as_json(raw)
    negative = whole.replace(b'"input_mtok":3,', b'"input_mtok":-3,')
    assert negative != whole
    broken = {
        "cut off": (whole[: len(whole) // 2], "is not a genai-prices price list"),
        "another shape": (b'{"providers": []}', "expected a list of providers"),
        "negative prices": (negative, "-3 is not a price"),
        "a few providers only": (as_json(raw[:3]), "it looks cut off"),
    }
    for name, (data, message) in broken.items():
        source = tmp_path / f"{name}.json"
        source.write_bytes(data)
        with pytest.raises(UpdateFailed, match=message):
            update(home, str(source))
        assert shelf(home) == before, name


@pytest.mark.parametrize("data", [b"", b"<html>Sign in</html>", b"[]", b"[1, 2]", b'[{"id": "x"}]', b"\xff"])
def test_other_contents_are_no_price_list(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "data.json").write_bytes(data)
    with pytest.raises(SystemExit, match=r"data\.json is not a genai-prices price list: "):
        compiler.main([str(tmp_path / "book"), str(tmp_path / "data.json")])
    assert not (tmp_path / "book").exists()


def test_an_unreachable_source_changes_nothing(home: Path, raw: list[Any], tmp_path: Path) -> None:
    before, whole = shelf(home), as_json(raw)
    with server(404, b"not here") as url, pytest.raises(UpdateFailed, match="404"):
        update(home, url)
    with server(200, whole[:5_000], promised=len(whole)) as url, pytest.raises(UpdateFailed, match=r"price list|cannot read"):
        update(home, url)
    with pytest.raises(UpdateFailed, match="cannot read http://127"):
        update(home, url)  # nobody listens there any more
    with pytest.raises(UpdateFailed, match=r"cannot read .*nowhere\.json"):
        update(home, str(tmp_path / "nowhere.json"))
    assert shelf(home) == before


def test_a_source_larger_than_any_price_list_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiler, "PRICE_DOWNLOAD_BYTES_MAX", 10)
    (tmp_path / "big").write_bytes(b"x" * 11)
    with pytest.raises(compiler.UnreadableSource, match="larger than 10 bytes"):
        compiler.read_source(str(tmp_path / "big"))


def test_a_package_newer_than_the_update_wins(home: Path, raw: list[Any], tmp_path: Path) -> None:
    shipped = ensure_book(home)
    (tmp_path / "data.json").write_bytes(as_json(raw))
    updated = update(home, str(tmp_path / "data.json"))
    pointer = home / "prices" / "current"
    pointer.write_text(f'{{"book": "{updated.path.name}", "package": "0.0.1"}}')
    assert ensure_book(home) == shipped
    pointer.write_text("half a po")
    assert ensure_book(home) == shipped
    pointer.write_text(f'{{"book": "gone.book", "package": "{importlib.metadata.version("genai-prices")}"}}')
    assert ensure_book(home) == shipped


def test_a_home_that_cannot_be_written_to_says_so(tmp_path: Path) -> None:
    (tmp_path / "prices").write_text("a file where a folder should be")
    with pytest.raises(UpdateFailed, match="cannot write the price book"):
        ensure_book(tmp_path)


def test_a_failed_write_leaves_no_scrap(tmp_path: Path) -> None:
    (tmp_path / "taken" / "below").mkdir(parents=True)
    with pytest.raises(OSError, match="taken"):
        install_bytes(tmp_path / "taken", b"x")
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


def test_damaged_books_are_named(made: Path, tmp_path: Path) -> None:
    data = ensure_book(made).read_bytes()
    bad = tmp_path / "bad.book"
    envelope, _ = unseal(data, "whole")
    future = msgspec.msgpack.encode(msgspec.structs.replace(envelope, format=99))
    for content, message in (
        (data[:1000], "not a compiled price book"),
        (data[:-5] + b"xxxxx", "is damaged"),
        (future, "has format 99"),
    ):
        bad.write_bytes(content)
        with pytest.raises(BrokenBook, match=rf"bad\.book.*{message}"):
            PriceBook.load(bad)


def test_times_of_day_with_an_offset_become_utc() -> None:
    """11:30 in India is 06:00 UTC; an interval may so cross midnight."""
    india = types.TimeOfDateConstraint(time.fromisoformat("02:30+05:30"), time.fromisoformat("11:30+05:30"))
    assert compiler._period(india) == Period(start_ms=21 * 3_600_000, end_ms=6 * 3_600_000)
    naive = types.TimeOfDateConstraint(time(1, 2, 3), time(4))
    assert compiler._period(naive) == Period(start_ms=3_723_000, end_ms=4 * 3_600_000)


def test_tiers_and_models_at_their_edges() -> None:
    tiers = types.TieredPrices(base=Decimal(1), tiers=[types.Tier(5, Decimal(3)), types.Tier(2, Decimal(2))])
    assert compiler._steps(tiers) == ((-1, "1"), (2, "2"), (5, "3"))
    model = types.ModelInfo(id="none", match=types.ClauseEquals("none"))
    assert compiler._model(model, {}).rows[0].rates == {}
