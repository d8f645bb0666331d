import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import apsw
import msgspec
import pytest

from jevons.core.features import Features
from jevons.ledger.capture import FILE, Captured, CaptureSettings, Example, Held
from jevons.ledger.errors import LedgerError
from jevons.ledger.sealing import Refused

SECRET = bytes(range(32))
DAY_MS = 86_400_000
ONE = Example(
    "acme", 7, 1 << 22, 1_000, "t1", "gpt", "Where is my card?", "card_arrival", Features(dialect="chat", question_words=4)
)
TWO = msgspec.structs.replace(ONE, request=2 << 22, at_ms=2_000, question="Top up failed", answer="top_up_failed")
OTHER = msgspec.structs.replace(ONE, org="globex", key_id=8, request=3 << 22, at_ms=1_500, template="t2")


@pytest.fixture
def captured(tmp_path: Path) -> Iterator[Captured]:
    made = Captured(tmp_path / FILE, SECRET)
    yield made
    made.close()


def numbered(*examples: Example) -> list[Example]:
    return [msgspec.structs.replace(one, id=place) for place, one in enumerate(examples, 1)]


def test_nobody_is_captured_who_did_not_opt_in() -> None:
    assert not CaptureSettings().on and not CaptureSettings().takes("any", "default")
    some = CaptureSettings(keys=("agent",), orgs=("acme",))
    assert some.on and some.takes("agent", "default") and some.takes("any", "acme") and not some.takes("any", "default")


def test_what_is_put_is_read_by_organisation_template_and_time(captured: Captured) -> None:
    assert captured.put([ONE, OTHER, TWO]) == 3
    assert captured.put([ONE, msgspec.structs.replace(ONE, model="mini")]) == 1  # another's answer to the same request
    first, other, second = numbered(ONE, OTHER, TWO)
    found = list(captured.read("acme"))
    assert (found[0], found[2]) == (first, second) and found[1].model == "mini"
    assert list(captured.read("acme", since_ms=1_001)) == [second]
    assert list(captured.read("globex", template="t2")) == [other]
    assert list(captured.read("globex", template="t1")) == list(captured.read("nobody")) == []
    assert captured.held() == [Held("acme", 7, "t1", 3, 1_000, 2_000), Held("globex", 8, "t2", 1, 1_500, 1_500)]


def test_nothing_of_it_can_be_read_on_the_disk_and_only_its_owner_may(captured: Captured) -> None:
    captured.put([ONE, TWO])
    for file in captured.path.parent.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert b"card" not in file.read_bytes() and b"failed" not in file.read_bytes()


def test_it_is_there_after_a_restart_and_another_secret_opens_nothing(captured: Captured) -> None:
    captured.put([ONE])
    again = Captured(captured.path, SECRET)
    assert list(again.read("acme")) == numbered(ONE)
    again.close()
    stranger = Captured(captured.path, bytes(32))
    with pytest.raises(LedgerError, match=r"capture\.secret"):
        list(stranger.read("acme"))
    stranger.close()


def test_an_example_that_was_changed_or_moved_is_refused(captured: Captured) -> None:
    captured.put([ONE, TWO])
    with apsw.Connection(str(captured.path)) as db:
        db.execute("UPDATE examples SET sealed = (SELECT sealed FROM examples WHERE id = 2) WHERE id = 1")
    with pytest.raises(LedgerError, match="cannot be opened"):
        list(captured.read("acme"))


def test_erasing_a_key_or_a_request_tells_which_examples_went(captured: Captured) -> None:
    captured.put([ONE, TWO, OTHER])
    assert captured.erase(request=TWO.request) == [2]
    assert captured.erase(key_id=8) == [3]
    assert captured.erase(org="globex", key_id=7) == []  # both must fit
    assert list(captured.read("acme")) == numbered(ONE)
    captured.put([TWO])
    assert [one.id for one in captured.read("acme")] == [1, 4]  # a number is never given twice
    with pytest.raises(ValueError, match="name an organisation"):
        captured.erase()


def test_erasing_an_organisation_makes_all_that_was_sealed_for_it_unreadable(captured: Captured) -> None:
    captured.put([ONE, OTHER])
    student = captured.sealer("acme").seal(b"student", b"a table of answers")
    assert captured.sealer("acme").open(b"student", student) == b"a table of answers"
    assert captured.erase(org="acme") == [1]
    with pytest.raises(LedgerError, match="Nothing is captured of organisation 'acme'"):
        captured.sealer("acme")
    with pytest.raises(Refused):
        captured.sealer("acme", make=True).open(b"student", student)  # a new key is another
    assert list(captured.read("globex")) == numbered(ONE, OTHER)[1:]


def test_another_process_that_erases_is_heeded(captured: Captured) -> None:
    captured.put([ONE])
    code = (
        "import sys; from pathlib import Path; from jevons.ledger.capture import Captured\n"
        "Captured(Path(sys.argv[1]), bytes(range(32))).erase(org='acme')"
    )
    subprocess.run([sys.executable, "-c", code, str(captured.path)], check=True)
    captured.put([TWO])
    again = Captured(captured.path, SECRET)
    assert [one.question for one in again.read("acme")] == [TWO.question]
    again.close()


def test_an_erasure_does_not_wait_for_who_reads(captured: Captured) -> None:
    captured.put([ONE, TWO])
    captured._db.set_busy_timeout(1)
    reading = captured.read("acme")
    next(reading)
    assert captured.erase(key_id=7) == [1, 2]
    assert next(reading).question == TWO.question  # it began before
    assert list(captured.read("acme")) == []


def test_retention_removes_what_is_old_and_what_is_too_much(captured: Captured) -> None:
    captured.put([msgspec.structs.replace(ONE, request=number, at_ms=number * DAY_MS) for number in range(1, 11)])
    assert captured.prune(11 * DAY_MS, CaptureSettings(retention_days=8)) == 2
    assert captured.prune(11 * DAY_MS, CaptureSettings(retention_days=8, examples_max=3)) == 5
    assert [one.request for one in captured.read("acme")] == [8, 9, 10]
    assert captured.prune(11 * DAY_MS, CaptureSettings()) == 0


def test_a_failed_write_leaves_nothing_half_done(captured: Captured) -> None:
    with pytest.raises(LedgerError, match="cannot be used"):
        captured.put([ONE, msgspec.structs.replace(TWO, key_id=None)])  # type: ignore[arg-type]
    assert captured.held() == []
    assert captured.put([ONE]) == 1


def test_a_file_of_something_else_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / FILE
    with apsw.Connection(str(path)) as db:
        db.pragma("application_id", 1)
    before = path.read_bytes()
    with pytest.raises(LedgerError, match="not a file of captured examples"):
        Captured(path, SECRET)
    assert path.read_bytes() == before
    path.write_bytes(os.urandom(4096))
    with pytest.raises(LedgerError, match="not a SQLite file"):
        Captured(path, SECRET)


def test_without_the_cipher_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cryptography.exceptions", None)
    with pytest.raises(LedgerError, match="pip install cryptography"):
        Captured(tmp_path / FILE, SECRET)
