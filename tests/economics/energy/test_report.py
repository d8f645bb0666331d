"""Sums of calls on record: scenario by scenario, by any part, with what nobody knows kept apart."""

from pathlib import Path
from typing import Any

import pytest

from jevons.core.entry import Outcome, request_text
from jevons.core.usage import Usage
from jevons.economics.energy import report
from jevons.economics.energy.beside import version
from jevons.economics.energy.facts import facts
from jevons.economics.energy.grids import grid
from jevons.economics.energy.joules import joules, overhead
from jevons.economics.energy.report import Energy, energy
from jevons.economics.energy.scenarios import interval
from jevons.economics.unitcost.errors import UnitCostError, UnknownFact
from jevons.ledger.errors import LedgerError
from tests.economics.energy.recorded import DAY_MS, record
from tests.ledger.making import NOON_MS

SONNET, LLAMA, LOCAL = "anthropic/claude-sonnet-4-5", "groq/llama-3.3-70b-versatile-free", "local/local"
CALL = Usage(input=1_000, cache_read=5_000, cache_write_5m=200, output=400)


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    return tmp_path / "home" / "ledger.db"


def test_a_call_is_its_tokens_and_what_they_look_at(ledger: Path) -> None:
    record(ledger, (SONNET, CALL, {}))
    found, model = energy(ledger), joules(facts("anthropic", "claude-sonnet-4-5"))
    four = zip(model.made, model.read, model.looked, model.attended, overhead(), strict=True)
    by_hand = [(400 * m + 1_200 * r + 400 * 6_400 * k + 1_200 * 5_600 * a) * o / 3600 for m, r, k, a, o in four]
    assert (found.wh_low, found.wh, found.wh_high) == pytest.approx(interval(by_hand))
    assert (found.calls, found.input, found.cached, found.output) == (1, 1_200, 5_000, 400)
    assert found.gco2e == interval([wh * g / 1e3 for wh, g in zip(by_hand, grid("world").draws, strict=True)]).middle
    assert found.estimated and not found.embodied
    [source] = found.models
    assert (source.model, source.basis, source.name) == (SONNET, "class", "frontier")


def test_a_thousand_calls_of_a_model_are_a_thousand_times_as_uncertain(ledger: Path) -> None:
    record(ledger, *[(SONNET, CALL, {})] * 10)
    many, one = energy(ledger), energy(ledger, by="call")
    assert many.wh_high == pytest.approx(10 * one.rows[0].wh_high) and many.wh_low == pytest.approx(10 * one.rows[0].wh_low)
    assert [row.wh for row in one.rows] == pytest.approx([one.rows[0].wh] * 10)


def test_other_models_are_uncertain_by_themselves_too(ledger: Path) -> None:
    record(ledger, (SONNET, CALL, {}), ("openai/gpt-4o", CALL, {}))
    found = energy(ledger)
    ends = [sum(getattr(row, end) for row in found.rows) for end in ("wh_low", "wh_high")]
    assert ends[0] < found.wh_low < found.wh_high < ends[1]


def test_what_nobody_knows_is_in_no_sum(ledger: Path) -> None:
    record(ledger, (SONNET, CALL, {}), ("acme/frobnicate-1", CALL, {}), ("openai/text-embedding-3-small", Usage(input=50), {}))
    found, known = energy(ledger), energy(ledger, by="key")
    assert (found.unknown_calls, found.unknown_tokens, found.calls) == (2, 6_650, 3)
    assert [(one.model, one.calls, one.tokens) for one in found.unknown] == [
        ("acme/frobnicate-1", 1, 6_600),
        ("openai/text-embedding-3-small", 1, 50),
    ]
    assert "State its size" in found.unknown[0].why
    [frobnicate] = [row for row in found.rows if row.label == "acme/frobnicate-1"]
    assert (frobnicate.wh, frobnicate.wh_high, frobnicate.unknown_calls) == (0, 0, 1)
    assert found.wh == known.wh == found.rows[0].wh


def test_the_local_model_is_its_seconds(ledger: Path) -> None:
    record(ledger, (LOCAL, CALL, {"ms": 36_000}), (LOCAL, CALL, {"ms": 10_000, "source": "litellm"}))
    found = energy(ledger, watts=(100, 100))
    assert found.wh == pytest.approx(1.0, rel=0.06)  # 100 W for a hundredth of an hour; PUE 1.0 to 1.05
    assert (found.unknown_calls, found.models[0].basis) == (1, "this machine")
    assert "does not say how long" in found.unknown[0].why
    assert 20 / 100 <= energy(ledger).wh_low < energy(ledger).wh_high < 45 * 1.1 / 100


def test_calls_at_once_share_the_machine(ledger: Path) -> None:
    """Eight of ten seconds each at once: ten seconds of the machine, not eighty; and each its part, asked for alone or not."""
    together = [(LOCAL, CALL, {"ms": 10_000 - number, "after_ms": number}) for number in range(8)]
    record(ledger, *together, (LOCAL, CALL, {"ms": 4_000, "after_ms": 60_000}))
    watts = (100, 100)
    found, each = energy(ledger, watts=watts), energy(ledger, by="call", watts=watts).rows
    alone = each[-1].wh / 4
    assert found.wh == pytest.approx(14 * alone) and [row.wh for row in each[:8]] == pytest.approx([10 / 8 * alone] * 8, rel=0.01)
    assert energy(ledger, request=each[0].label, watts=watts).wh == pytest.approx(each[0].wh)


def test_an_imported_sum_of_calls_is_no_long_conversation(ledger: Path) -> None:
    sums = Usage(input=1_000_000, output=100_000)
    fields = [{"requests": 1}, {"requests": 100}, {"requests": 0}]
    record(ledger, *[(SONNET, sums, {"source": "openai", "key_id": 1, **one}) for one in fields])
    one, hundred, untold = energy(ledger, by="call").rows
    assert one.wh > 2 * hundred.wh and hundred.wh > untold.wh > 0.8 * hundred.wh


@pytest.mark.parametrize(
    ("by", "labels"),
    [
        ("model", [SONNET, LLAMA]),
        ("org", ["acme", "default"]),
        ("team", ["acme/search", ""]),
        ("key", ["key-2", "key-1"]),
        ("agent", ["coder", ""]),
        ("day", ["2026-09-21", "2026-09-22"]),
        ("run", ["r1", ""]),
    ],
)
def test_by_any_part(ledger: Path, by: Any, labels: list[str]) -> None:
    record(ledger, (LLAMA, CALL, {}), (SONNET, CALL, {"key_id": 2, "agent": "coder", "run_id": "r1", "after_ms": DAY_MS}))
    found = energy(ledger, by=by)
    assert [row.label for row in found.rows] == labels
    assert found.wh == pytest.approx(energy(ledger).wh)


def test_some_calls(ledger: Path) -> None:
    first, second, *_ = record(
        ledger,
        (SONNET, CALL, {"run_id": "root"}),
        (SONNET, CALL, {"run_id": "child", "parent_run_id": "root"}),
        (SONNET, CALL, {"key_id": 2}),
        (SONNET, CALL, {"after_ms": 3 * DAY_MS}),
        (SONNET, Usage(), {"outcome": Outcome.CACHED}),
        (SONNET, Usage(), {"outcome": Outcome.VOID}),
    )
    assert energy(ledger).calls == 4
    assert energy(ledger, run="root").calls == 2 and energy(ledger, run="child").calls == 1
    assert energy(ledger, key="key-2").calls == 1
    assert energy(ledger, since_ms=NOON_MS + DAY_MS).calls == 1 and energy(ledger, until_ms=NOON_MS + DAY_MS).calls == 3
    [row] = energy(ledger, request=request_text(second), by="call").rows
    assert (row.label, row.calls) == (request_text(second), 1) and first != second
    nothing = energy(ledger, since_ms=NOON_MS + 9 * DAY_MS)
    assert (nothing.calls, nothing.wh, nothing.rows) == (0, 0, [])


def test_what_is_not_there_is_said(ledger: Path) -> None:
    record(ledger, (SONNET, CALL, {}))
    for asked, said in (
        ({"request": "req_1"}, "no request id"),
        ({"request": "req_000000000000001"}, "no call"),
        ({"run": "x"}, "no run"),
    ):
        with pytest.raises(LedgerError, match=said):
            energy(ledger, **asked)
    with pytest.raises(UnknownFact, match="grid"):
        energy(ledger, in_grid="atlantis")


def test_too_many_calls_one_by_one_are_refused(ledger: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record(ledger, *[(SONNET, CALL, {})] * 3)
    monkeypatch.setattr(report, "CALLS_MAX", 2)
    with pytest.raises(UnitCostError, match="3 calls; 2 are listed"):
        energy(ledger, by="call")
    assert energy(ledger).calls == 3


@pytest.mark.skipif(version() is None, reason="pip install 'ecologits>=0.11'")
def test_ecologits_stands_beside_with_the_calls_that_it_has(ledger: Path) -> None:
    record(ledger, (SONNET, CALL, {}), (SONNET, CALL, {}), (LLAMA, CALL, {}))
    found: Energy = energy(ledger)
    with_it = next(row for row in found.rows if row.label == SONNET)
    without = next(row for row in found.rows if row.label == LLAMA)
    assert (with_it.ecologits_calls, without.ecologits_calls, found.ecologits_calls) == (2, 0, 2)
    assert without.ecologits_wh_low is None and found.ecologits_wh_high == with_it.ecologits_wh_high
    assert with_it.ecologits_gco2e_total_low is not None and with_it.ecologits_gco2e_low is not None
    assert with_it.ecologits_gco2e_total_low > with_it.ecologits_gco2e_low > 0
