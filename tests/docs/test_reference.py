"""The references say what the code says: settings, kinds, limits, headers, errors, doors, tables, prices."""

import ast
import inspect
import json
import re
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any, cast, get_args

import apsw
import msgspec
import pytest
from starlette.routing import Route

from jevons.cache.settings import AnswerCacheSettings, CacheSettings, PromptCacheSettings, TrimSettings
from jevons.config import KNOWN_KEYS, Config, EngineSection, LedgerSection, ParkSection
from jevons.core import limits
from jevons.core.entry import Estimate, Outcome
from jevons.core.refusal import Kind, invalid
from jevons.gateway.admin import AdminApi
from jevons.gateway.answers import Answers
from jevons.gateway.app import DOORS
from jevons.gateway.auth_upstream import CLIENT_HEADERS
from jevons.gateway.clients import FAMILIES, RUN_HEADERS, RunHeaders
from jevons.gateway.settings import KINDS, Auth, GovernorSettings, Pass, UpstreamSettings
from jevons.ledger.capture import CaptureSettings
from jevons.ledger.home import Home
from jevons.ledger.ledger import Ledger
from jevons.ledger.schema import migrate
from jevons.ledger.sqlite import SqliteStore
from jevons.meter.overrides import _OTHER_KEYS, QUOTED_KINDS, UNIT_KINDS
from jevons.policy.access import Access
from jevons.policy.route import Alias
from jevons.policy.routes import Route as RouteTable
from jevons.policy.routes import TaskClass
from jevons.policy.rules import Limit
from tests.docs.pages import ROOT, blocks, code, read, table

SOURCE = ROOT / "src" / "jevons"
CONFIGURATION, DOORS_PAGE, LEDGER, PRICES = "docs/configuration.md", "docs/doors.md", "docs/ledger.md", "docs/prices.md"
CLIENTS = "docs/clients.md"
SQL = "docs/sql.md"


@pytest.mark.parametrize(
    ("heading", "settings"),
    [
        ("Top level", Config),
        ("`[[upstreams]]`", UpstreamSettings),
        ("`[[upstreams.passes]]`", Pass),
        ("`[[models]]`", Alias),
        ("`[[limits]]`", Limit),
        ("`[[access]]`", Access),
        ("`[governor]`", GovernorSettings),
        ("`[cache]`", CacheSettings),
        ("`[cache.prompt]`", PromptCacheSettings),
        ("`[cache.answers]`", AnswerCacheSettings),
        ("`[cache.trim]`", TrimSettings),
        ("`[engine]`", EngineSection),
        ("`[engine.park]`", ParkSection),
        ("`[ledger]`", LedgerSection),
        ("`[capture]`", CaptureSettings),
        ("`[[routes]]`", RouteTable),
        ("`[[classes]]`", TaskClass),
    ],
)
def test_every_setting_with_its_default(heading: str, settings: type[msgspec.Struct]) -> None:
    """Settings of one default may share a row."""
    documented = [(name, row[1]) for row in table(CONFIGURATION, heading) for name in code(row[0])]
    absent = "by kind" if settings is UpstreamSettings else "none"
    assert sorted(documented) == sorted(
        (field.encode_name, _default(field, absent)) for field in msgspec.structs.fields(settings)
    )


def _default(field: msgspec.structs.FieldInfo, absent: str) -> str:
    """`absent`: what it means that there is none."""
    value: Any = field.default
    if value is msgspec.NODEFAULT:
        if field.default_factory is msgspec.NODEFAULT:
            return "required"
        value = field.default_factory()
    if isinstance(value, msgspec.Struct):
        return "table"
    if isinstance(value, tuple) and isinstance(held := get_args(field.type)[0], type) and issubclass(held, msgspec.Struct):
        return "tables"
    return absent if value is None else f"`{json.dumps(value)}`"


def test_every_kind() -> None:
    documented = {code(row[0])[0]: [code(cell) for cell in row[1:]] for row in table(CONFIGURATION, "Kinds")}
    assert documented == {
        name: [
            [kind.base_url] if kind.base_url else [],
            sorted(kind.paths),
            [kind.auth, *([kind.header] if kind.header else [])],
            [kind.key_env] if kind.key_env else [],
            list(kind.models),
        ]
        for name, kind in KINDS.items()
    }


def test_every_auth() -> None:
    assert [code(row[0])[0] for row in table(CONFIGURATION, "`auth`")] == list(get_args(Auth))
    text = read(CONFIGURATION)
    assert all(f"`{name.decode()}`" in text.replace("Authorization", "authorization") for name in CLIENT_HEADERS)


def test_every_variable() -> None:
    named = dict(re.findall(r"^\| `([A-Z_]+)`(?: with `[A-Z_]+`)? \| `([a-z-]+)` \|$", read(CONFIGURATION), re.MULTILINE))
    assert named == {variable: name for name, variable, _ in KNOWN_KEYS} | {"AZURE_OPENAI_API_KEY": "azure"}
    used = set(chain(*(re.findall(r"\bJEVONS_[A-Z_]+\b", text) for text in _sources())))
    assert all(f"`{variable}`" in read(CONFIGURATION) for variable in used)


def test_defaults_of_the_engine() -> None:
    text = read(CONFIGURATION)
    assert f"`0` = {limits.LOCAL_SLOTS}." in text
    assert f"`0` = {limits.LOCAL_CONTEXT_TOKENS:,}." in text


def test_every_limit() -> None:
    documented = {code(row[2])[0]: row[1] for row in table(DOORS_PAGE, "Limits")}
    assert documented == {name: _limit(name) for name in documented}
    source = inspect.getsource(limits).partition("# --- Inside ---")[0]
    public = set(re.findall(r"^([A-Z_]+) = ", source, re.MULTILINE))
    assert public <= set(documented), f"write these limits into {DOORS_PAGE}: {sorted(public - set(documented))}"


def _limit(name: str) -> str:
    """A limit as people write it, by the unit that ends its name."""
    value = getattr(limits, name)
    if "_BYTES" in name:
        return f"{value // 2**20} MiB" if value >= 2**20 else f"{value // 2**10} KiB"
    if name.endswith("_S"):
        return f"{value // 3600} h" if value >= 3600 else f"{value:g} s"
    return f"{value:,}"


def test_every_header() -> None:
    used = set(chain(*(re.findall(r"x-jevons-[a-z]+[a-z-]*[a-z]", text) for text in _sources())))
    documented = set(re.findall(r"x-jevons-[a-z]+[a-z-]*[a-z]", read(DOORS_PAGE)))
    assert documented == used


def test_every_error() -> None:
    documented = {code(row[0])[0]: int(row[1]) for row in table(DOORS_PAGE, "Errors")}
    modules = [ast.parse(text) for text in _sources()]
    constants = {name: value for module in modules for name, value in _constants(module)}
    raised: dict[str, set[int]] = {}
    for error, status in chain(*(_refusals(module, constants) for module in modules)):
        raised.setdefault(error, set()).update(status)
    assert set(documented) == set(raised)
    for error, status in documented.items():
        assert not raised[error] or status in raised[error], error


def _constants(module: ast.Module) -> Iterator[tuple[str, str]]:
    """Texts that a module names: STOP_CODE = "…"."""
    for node in module.body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield from ((target.id, node.value.value) for target in node.targets if isinstance(target, ast.Name))


def _refusals(module: ast.Module, constants: dict[str, str]) -> Iterator[tuple[str, set[int]]]:
    """(code, status if it is written there) of each refusal that a module makes. `constants`: names by which a code may be given."""
    for node in ast.walk(module):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name) or not node.args:
            continue
        said = {keyword.arg: _written(keyword.value, constants) for keyword in node.keywords}
        words = {name: value for name, value in said.items() if value is not None}
        if node.func.id == "invalid":
            yield words.get("code", "invalid_request"), {words.get("status", 400)}
        elif node.func.id == "Refusal" and isinstance(node.args[0], ast.Attribute) and node.args[0].attr in Kind.__members__:
            status = _written(node.args[1], {})
            yield words.get("code", Kind[node.args[0].attr]), {status} if status else set()
        elif node.func.id == "_gateway_error":
            yield "upstream_error", {502}


def _written(node: ast.expr, constants: dict[str, str]) -> Any:
    """The value that stands there, by itself or by its name; None for what is worked out."""
    match node:
        case ast.Constant(value):
            return value
        case ast.Name(name) | ast.Attribute(_, name):
            return constants.get(name)
    return None


def test_an_error_without_a_code_of_its_own() -> None:
    assert invalid("").code == "invalid_request"


def test_every_client_family() -> None:
    rows = table(DOORS_PAGE, "Limits of a caller, and what happens at them")
    documented = {(shown, int(row[1])) for row in rows for shown in code(row[0]) or [""]}
    patterns = {(f"{f.header}: {match}", f.status) for f in FAMILIES for match in f.match if f.status is not None}
    assert documented == {*patterns, ("", 402)}


def test_every_client_program_and_what_names_its_run() -> None:
    named = [[[f.name] if f.agent else [], [f"{f.header}: {match}" for match in f.match], _run_headers(f.runs)] for f in FAMILIES]
    others = [_run_headers(runs) for runs in RUN_HEADERS[len([f for f in FAMILIES if f.runs is not None]) :]]
    rows = [[code(cell) for cell in row] for row in table(CLIENTS, "Which agent, which run")]
    assert rows == [*named, [[], [], list(dict.fromkeys(chain(*others)))]]


def _run_headers(runs: RunHeaders | None) -> list[str]:
    return [name for name in (runs.run, runs.child, runs.parent) if name] if runs is not None else []


def test_every_door() -> None:
    documented = [code(row[0])[0] for row in table(DOORS_PAGE, "Endpoints")]
    assert all(f"POST {door}" in documented for door in DOORS)


def test_every_door_of_the_operator() -> None:
    routes = [
        route for route in AdminApi(cast(Ledger, None), "", cast(Answers, None)).application().routes if isinstance(route, Route)
    ]
    doors = {
        f"{method} {re.sub(':[a-z]+}', '}', route.path)}"
        for route in routes
        for method in route.methods or ()
        if method != "HEAD"
    }
    documented = [code(row[0])[0] for row in table(DOORS_PAGE, "Admin API")]
    assert sorted(documented) == sorted(doors)


def test_every_table_and_column(tmp_path: Path) -> None:
    schema = _schema(tmp_path, "table") | {"entry_lines": _schema(tmp_path, "view")["entry_lines"]}
    documented = {code(row[0])[0]: code(row[2]) for row in table(LEDGER, "What is in it")}
    assert documented == schema


def test_every_view_and_column(tmp_path: Path) -> None:
    views = {name: columns for name, columns in _schema(tmp_path, "view").items() if name != "entry_lines"}
    assert {view for view in views if f"### `{view}`\n" in read(SQL)} == set(views)
    for view, columns in views.items():
        assert sorted(chain(*(code(row[0]) for row in table(SQL, f"`{view}`")))) == sorted(columns), view


def test_every_view_has_an_example() -> None:
    asked = "\n".join(block.text for block in blocks(SQL, "sql"))
    assert all(re.search(rf"FROM {code(line)[0]}\b", asked) for line in re.findall(r"^### (.+)$", read(SQL), re.MULTILINE))


def _schema(folder: Path, kind: str) -> dict[str, list[str]]:
    """Every table or view of a new ledger, with its columns."""
    home = Home(folder)
    SqliteStore(home.ledger).close()
    db = apsw.Connection(str(home.ledger))
    assert not migrate(db, None)
    names = [name for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type = ?", (kind,))]
    schema = {name: [row[1] for row in db.execute(f"PRAGMA table_info({name})")] for name in names}
    db.close()
    return schema


def test_every_outcome_and_estimate() -> None:
    assert [code(row[0])[0] for row in table(LEDGER, "The rules of money")] == list(Outcome)
    assert [code(row[0])[0] for row in table(LEDGER, "Estimates")] == [one for one in Estimate if one]
    assert f"an allowance of {limits.IN_FLIGHT_OUTPUT_TOKENS} tokens" in read(LEDGER)


def test_every_key_of_a_price() -> None:
    rows = table(PRICES, "Your own prices: `prices.toml`")
    documented = set(chain(*(code(row[0]) for row in rows)))
    assert documented == {*_OTHER_KEYS, *QUOTED_KINDS}
    units = next(row[1] for row in rows if row[0] == "`units`")
    assert set(code(units)) == set(UNIT_KINDS)


def test_the_local_rate_is_the_packaged_one() -> None:
    packaged = (SOURCE / "meter/data/local_prices.toml").read_text()
    for rate in re.findall(r'^\w+ = "([0-9.]+)"$', packaged, re.MULTILINE):
        assert f"${rate} " in read(PRICES).replace("\n", " "), rate


def test_figures_shown_twice_are_the_same() -> None:
    cell = re.compile(r"\| ([^|\n]*)<!-- bench: (\w+) -->")
    shown = {name: value.strip() for value, name in cell.findall(read("docs/measured.md"))}
    for value, name in cell.findall(read("README.md")):
        assert shown[name] == value.strip(), name


def _sources() -> Iterator[str]:
    for path in SOURCE.rglob("*.py"):
        yield path.read_text(encoding="utf-8")
