"""`jevons cache doctor`: what it says of a ledger and of a file, and of what it cannot use."""

import json
from pathlib import Path
from typing import Any

import pytest

from bench.breaks.plants import PLANTS, TIME, run_of
from jevons.core.saving import Break
from jevons.ledger.ops import KeyCreated, Opened, Posted
from jevons.ledger.sqlite import SqliteStore
from tests.cli.conftest import Run
from tests.ledger.making import make_entry, make_hold, make_key, request_ids

MESSAGES: list[dict[str, Any]] = [
    {"role": "system", "content": f"{TIME} " + "Bags are charged by weight, and never for gold members. " * 150},
    *({"role": ("user", "assistant")[n % 2], "content": f"{n}: {'and so on, ' * 60}"} for n in range(8)),
]
FIRST_S = 1_763_800_000


def written(path: Path, bodies: list[Any]) -> str:
    path.write_text("".join(body if isinstance(body, str) else json.dumps(body) + "\n" for body in bodies))
    return str(path)


def test_a_file_whose_clock_ticks(jevons: Run, tmp_path: Path) -> None:
    made = PLANTS["clock"](run_of(MESSAGES))
    assert made is not None
    timed = [{"at": FIRST_S + 60 * number, "body": body} for number, body in enumerate(made.run)]
    file = written(tmp_path / "requests.jsonl", [*timed, "no JSON\n", '{"model": "gpt-4o"}\n'])
    found = jevons("cache", "doctor", file, "--json").json
    [one] = found["findings"]
    assert (one["cause"], one["position"], one["role"], one["times"]) == ("clock", 1, "system", len(made.run) - 1)
    assert one["lost_nusd"] == one["lost_tokens"] * 1250 and one["month_nusd"] == one["lost_nusd"] * 30
    assert (found["requests"], found["observed_days"], len(found["skipped"])) == (len(made.run), 1.0, 2)
    shown = jevons("cache", "doctor", file).out
    assert "message 1, system: a clock or a date" in shown and "a month (estimated, from 1 day observed)" in shown
    assert "Line 5 is left out" in shown and "for example line 4" in shown


def test_a_file_in_which_nothing_broke(jevons: Run, tmp_path: Path) -> None:
    file = written(tmp_path / "requests.jsonl", [*run_of(MESSAGES), *["x\n"] * 9])
    done = jevons("cache", "doctor", file)
    assert "Nothing broke in requests.jsonl: 4 requests." in done.out and "And 4 lines more." in done.out
    found = jevons("cache", "doctor", file, "--json").json
    assert found["month_nusd"] is None
    assert found["models"] == [{"model": "gpt-4o", "requests": 4, "input_tokens": None, "cache_read": None, "share": None}]


@pytest.mark.parametrize("dialect", ["messages", "responses"])
def test_dialects_tell_themselves(jevons: Run, tmp_path: Path, dialect: str) -> None:
    """A cache that has to be asked for is not; and one that outlived its conversation."""
    system, *said = MESSAGES
    theirs = {"model": "claude-sonnet-4-5", "max_tokens": 10, "system": system["content"]}
    items = {"model": "gpt-4o", "instructions": system["content"]}
    bodies = [{**theirs, "messages": said[:n]} if dialect == "messages" else {**items, "input": said[:n]} for n in (1, 3, 5)]
    file = written(tmp_path / "requests.jsonl", [{"at": FIRST_S + 1000 * n, "body": body} for n, body in enumerate(bodies)])
    [one] = jevons("cache", "doctor", file, "--json").json["findings"]
    assert (one["cause"], one["position"], one["times"]) == ("unmarked" if dialect == "messages" else "expired", None, 2)
    assert one["what"] in jevons("cache", "doctor", file, "--dialect", dialect).out
    other = jevons("cache", "doctor", file, "--json", "--model", "gpt-5-mini" if dialect == "responses" else "claude-haiku-3-5")
    assert other.status == 0 and other.json["findings"][0]["lost_nusd"] < one["lost_nusd"]


def test_what_it_cannot_use(jevons: Run, tmp_path: Path) -> None:
    file = written(tmp_path / "requests.jsonl", [{"model": "nobody-sells-this", "messages": [{"role": "user", "content": "?"}]}])
    unknown = jevons("cache", "doctor", file)
    assert unknown.status == 1 and "nobody-sells-this" in unknown.err and "Traceback" not in unknown.err
    assert "--model gpt-4o" in unknown.err and "Nothing broke" in jevons("cache", "doctor", file, "--model", "gpt-4o").out
    for text, why in (("x\n{}\n", "Line 1 is left out"), ("", "It is empty.")):
        none = jevons("cache", "doctor", written(tmp_path / "no.jsonl", [text]))
        assert none.status == 1 and "holds no request" in none.err and why in none.err and not none.out
    assert "cannot be read" in jevons("cache", "doctor", str(tmp_path / "none.jsonl")).err
    assert "There is no ledger" in jevons("cache", "doctor").err
    assert jevons("cache", "doctor", file, "--key", "k").status == 2
    assert jevons("cache", "doctor", "--dialect", "chat").status == 2


def test_of_the_ledger(jevons: Run, home: Path) -> None:
    home.mkdir(mode=0o700)
    store = SqliteStore(home / "ledger.db")
    store.apply([KeyCreated(make_key(1))])
    assert "Nothing was observed in the last 7 days" in jevons("cache", "doctor", "--days", "7").out
    following = request_ids()
    broken = [
        Break(1, "system", "clock", 9000, 4 * 10**9),
        Break(0, "tool_choice", "parameters", 9, 1),
        Break(7, "", "missed", 9, 2),
    ]
    for broke in (None, *broken, *[Break(place, "user", "edited", 9, 0) for place in range(20)]):
        hold = make_hold(following(), 500, agent="[/x]\x1b")
        store.apply([Opened(hold), Posted(make_entry(hold, 10, broke=broke))])
    store.close()
    days = "20000"
    shown = jevons("cache", "doctor", "--days", days).out
    assert "message 1, system: a clock or a date" in shown and "tool_choice: a parameter changed" in shown
    assert "key-1, [/x]?," in shown and "And 3 more, each cheaper" in shown and "from the cache" in shown
    found = jevons("cache", "doctor", "--days", days, "--json").json
    assert len(found["findings"]) == 23 and found["broken"] == 23 and found["requests"] == 24
    clean = jevons("cache", "doctor", "--days", days, "--model", "nothing").out
    assert "Nothing was observed" in clean
    assert "There is no key 'nosuch'" in jevons("cache", "doctor", "--key", "nosuch").err
