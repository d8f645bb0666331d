"""Indices, factors and verdicts on ledgers whose answer is known, and the words that say so."""

from collections.abc import Callable
from datetime import date, timedelta
from math import exp, log, prod
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree import ElementTree

import pytest

from jevons.core.entry import Estimate, Outcome, first_id_of_ms
from jevons.core.price import Line
from jevons.core.usage import Usage
from jevons.economics.paradox import Paradox, paradox
from jevons.economics.paradox_shown import picture, sentences
from jevons.economics.periods import CREDITS, NO_CALLS, NO_PRICE, NO_TOKENS, WHOLE_HOLD, Whose, used
from jevons.ledger.ops import Adjusted, Imported, ImportRow, KeyCreated, KeySettings
from jevons.ledger.sqlite import SqliteStore
from tests.ledger.making import make_entry, make_hold, make_key

MONDAY = date(2026, 8, 3)
DAY_MS = 86_400_000
EVER = (date(2000, 1, 1), date(2100, 1, 1))


class Day(NamedTuple):
    """What is used on one day: runs of some steps, each of some tokens at a price (nano-USD a token) for each kind; loose calls besides."""

    runs: int = 4
    steps: int = 5
    input: int = 1_000
    output: int = 100
    input_rate: int = 3_000
    output_rate: int = 15_000
    loose: int = 0
    model: str = "claude-sonnet-4-5"
    billed: float = 1.0


class Ledger:
    """Rows of others' logs, a second apart, as many as are asked for."""

    def __init__(self, path: Path, **settings: Any) -> None:
        self.path = path
        self._store = SqliteStore(path, synchronous="OFF")
        self._made: list[ImportRow] = []
        self._store.apply([KeyCreated(make_key(1, settings=KeySettings(source="test", team="search", **settings)))])
        self._rows = 0

    def add(self, day: date, used: Day, key_id: int = 1) -> None:
        for run in range(used.runs):
            for _ in range(used.steps):
                self.call(day, used, f"{day}-{run}", key_id)
        for _ in range(used.loose):
            self.call(day, used, None, key_id)

    def call(self, day: date, used: Day, run: str | None, key_id: int = 1, parent: str | None = None, **changes: Any) -> None:
        self._rows += 1
        lines = (
            Line("input", used.input, used.input * used.input_rate, 1),
            Line("output", used.output, used.output * used.output_rate, 1),
        )
        nusd = sum(line.nusd for line in lines)
        at_ms = (day - date(1970, 1, 1)).days * DAY_MS + self._rows % 80_000 * 1_000
        hold = make_hold(
            first_id_of_ms(at_ms),
            key_id=key_id,
            run_id=run,
            parent_run_id=parent,
            target=used.model,
            upstream="anthropic",
            agent="codex",
        )
        fields = {
            "outcome": Outcome.OK, "usage": Usage(input=used.input, output=used.output), "lines": lines, "billed_nusd": round(nusd * used.billed),
            "source": "test", **changes,
        }  # fmt: skip
        entry = make_entry(hold, changes.pop("list_nusd", nusd), **fields)
        self._made.append(ImportRow(self._rows.to_bytes(16), entry))

    def apply(self, *ops: Any) -> None:
        self._store.apply(ops)

    def close(self) -> None:
        self._store.apply([Imported(tuple(self._made))])
        self._store.close()


def seen(path: Path, plan: Callable[[int], Day], days: int = 84, **asked: Any) -> Paradox:
    """The paradox of a ledger in which day n uses what `plan(n)` says."""
    ledger = Ledger(path)
    for n in range(days):
        ledger.add(MONDAY + timedelta(n), plan(n))
    ledger.close()
    return paradox(used(path, *EVER, **asked))


def said(found: Paradox) -> str:
    return "\n".join(sentences(found))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


def test_it_holds_by_depth(path: Path) -> None:
    """Prices halve over the time, tasks take four times the steps: the bill doubles."""
    found = seen(
        path,
        lambda n: Day(steps=4 if n < 42 else 16, input_rate=3_000 if n < 42 else 1_500, output_rate=15_000 if n < 42 else 7_500),
    )
    assert (found.per, found.cost, found.verdict, found.driver) == ("week", "billed", "holds", "depth")
    assert found.unit_price_pct == pytest.approx(-50) and found.basket_price_pct == pytest.approx(-50)
    assert found.bill_pct == pytest.approx(100)
    ratio = {factor.name: factor.ratio for factor in found.factors}
    assert ratio == pytest.approx(
        {"basket": 0.5, "bought": 1, "discount": 1, "steps_per_task": 4, "tokens_per_step": 1, "tasks": 1}
    )
    assert found.elasticity == pytest.approx(log(4) / log(0.5))
    assert "The paradox holds here, driven by depth" in said(found)
    assert "fell by 50 %, and the bill rose by 100 % all the same" in said(found)
    assert "ln(bill) = ln(price) + ln(tokens per task) + ln(tasks): +0.69 = -0.69 + 1.39 + 0.00." in said(found)
    assert "no estimate of what a lower price causes" in said(found) and "−1.11" in said(found)


def test_it_holds_by_growth(path: Path) -> None:
    found = seen(
        path,
        lambda n: Day(runs=3 if n < 42 else 12, input_rate=3_000 if n < 42 else 1_500, output_rate=15_000 if n < 42 else 7_500),
    )
    assert (found.verdict, found.driver) == ("holds", "growth")
    assert "driven by growth" in said(found)


@pytest.mark.parametrize(
    ("late", "verdict", "words"),
    [
        (
            {"input_rate": 1_500, "output_rate": 7_500},
            "cheaper_and_less",
            "does not hold here: a token's price fell by 50 %, and the bill fell by 50 %",
        ),
        (
            {"input_rate": 6_000, "output_rate": 30_000},
            "dearer_and_more",
            "no paradox: a token's price rose by 100 %, and the bill rose by 100 %.",
        ),
        (
            {"input_rate": 6_000, "output_rate": 30_000, "runs": 1},
            "dearer_and_less",
            "no paradox: a token's price rose by 100 %, and the bill fell by 50 %.",
        ),
        ({"runs": 8}, "steady", "price stayed as it was, and the bill rose by 100 %, driven by growth"),
    ],
)
def test_it_does_not_hold(path: Path, late: dict[str, Any], verdict: str, words: str) -> None:
    found = seen(path, lambda n: Day()._replace(**late) if n >= 42 else Day())
    assert found.verdict == verdict and words in said(found)


def test_cheaper_models_are_no_cheaper_prices(path: Path) -> None:
    """Half of the calls move to a model at a tenth of the price; no price has changed."""
    ledger = Ledger(path)
    for n in range(84):
        day = MONDAY + timedelta(n)
        ledger.add(day, Day(runs=1 if n >= 42 else 3))
        ledger.add(day, Day(runs=3 if n >= 42 else 1, model="gpt-5-mini", input_rate=300, output_rate=1_500))
    ledger.close()
    found = paradox(used(path, *EVER))
    assert found.basket_price_pct == pytest.approx(0) and found.unit_price_pct == pytest.approx(100 * (1.3 / 3.1 - 1))
    assert {row.basket_coverage for row in found.rows} == {1.0}
    assert "No price fell: tokens became cheaper because others were bought." in said(found)
    assert "the same basket of models and kinds of token × 1.00; buying others" in said(found)
    assert found.rows[0].tiers["frontier"].of_tokens == pytest.approx(0.75) and found.rows[-1].tiers[
        "frontier"
    ].of_tokens == pytest.approx(0.25)
    assert found.rows[0].tiers["commodity"].of_cost == pytest.approx(0.1 / 3.1)
    assert "commodity 25 % of tokens and 3 % of list cost, then 75 % and 23 %" in said(found)


def test_a_discount_is_told_from_prices_and_a_model_that_takes_anothers_place(path: Path) -> None:
    found = seen(path, lambda n: Day(model="claude-sonnet-4-5" if n < 42 else "claude-sonnet-5", billed=1.0 if n < 42 else 0.75))
    ratio = {factor.name: factor.ratio for factor in found.factors}
    assert (ratio["basket"], ratio["bought"], ratio["discount"]) == pytest.approx((1, 1, 0.75))
    assert found.rows[6].basket_coverage == 0.0
    assert "billed against list × 0.75" in said(found)


def test_factors_multiply_to_the_bill_whatever_happens(path: Path) -> None:
    found = seen(
        path,
        lambda n: Day(
            2 + n % 3,
            3 + n % 5,
            500 + 37 * n,
            50 + n,
            3_000 - 20 * n,
            15_000 - 31 * n,
            n % 4,
            "gpt-5-mini" if n % 7 else "gpt-4o",
            0.9,
        ),
    )
    assert found.base is not None and found.latest is not None and found.bill_pct is not None
    bill = found.latest.billed_nusd / found.latest.days / (found.base.billed_nusd / found.base.days)
    assert prod(factor.ratio for factor in found.factors) == pytest.approx(bill)
    assert exp(sum(factor.ln for factor in found.factors)) == pytest.approx(bill) and found.bill_pct == pytest.approx(
        100 * (bill - 1)
    )
    assert [factor.name for factor in found.factors] == [
        "basket",
        "bought",
        "discount",
        "steps_per_task",
        "tokens_per_step",
        "tasks",
    ]
    first = found.rows[0].index
    assert [first.bill, first.unit_price, first.basket_price, first.tokens, first.tasks, first.steps_per_task] == pytest.approx(
        [100] * 6
    )
    for row in found.rows:
        one = row.index
        assert None not in (
            one.unit_price,
            one.tokens,
            one.tasks,
            one.tokens_per_task,
            one.bill,
            one.steps_per_task,
            one.tokens_per_step,
        )
        assert one.unit_price * one.tokens / 100 == pytest.approx(one.bill)  # type: ignore[operator]
        assert one.tasks * one.tokens_per_task / 100 == pytest.approx(one.tokens)  # type: ignore[operator]
        assert one.steps_per_task * one.tokens_per_step / 100 == pytest.approx(one.tokens_per_task)  # type: ignore[operator]
        assert sum(share.of_tokens for share in row.tiers.values()) == pytest.approx(1)
        assert sum(share.tokens for share in row.tiers.values()) == row.tokens


def test_ends_that_the_time_between_contradicts_conclude_nothing(path: Path) -> None:
    """Prices fall in all weeks but the last quarter, in which they stand a little above the first."""
    rates = [3_000, 3_000, 2_400, 2_000, 1_500, 1_200, 900, 700, 3_200, 3_200]
    found = seen(path, lambda n: Day(input_rate=rates[n // 7], output_rate=5 * rates[n // 7]), days=70)
    assert found.verdict == "unclear" and "over all periods between it fell by" in said(found)


def test_too_little_is_said(path: Path) -> None:
    found = seen(path, lambda n: Day(), days=3)
    assert (found.verdict, found.factors, found.elasticity) == ("too_little", [], None)
    assert "Too little data to say whether the paradox holds: of the periods 3 had calls, and it takes 4." in said(found)
    assert len(found.rows) == 3 and "<svg" in picture(found)


def test_few_calls_at_an_end(path: Path) -> None:
    found = seen(path, lambda n: Day(runs=1, steps=1), days=84)
    assert "21 calls in the first part, 2026-08-03 to 2026-08-23; it takes 30" in said(found)


def test_an_empty_ledger(path: Path) -> None:
    SqliteStore(path).close()
    found = paradox(used(path, *EVER))
    assert (found.rows, found.verdict) == ([], "too_little")
    assert "of the periods 0 had calls" in said(found) and ElementTree.fromstring(picture(found)) is not None


@pytest.mark.parametrize(("days", "per"), [(21, "day"), (22, "week"), (180, "week"), (181, "month")])
def test_the_length_of_the_time_chooses_the_period(path: Path, days: int, per: str) -> None:
    found = seen(path, lambda n: Day(runs=1, steps=1), days=days)
    assert found.per == per
    assert seen(path.with_name("other.db"), lambda n: Day(runs=1, steps=1), days=days, per="month").per == "month"


def test_weeks_have_all_seven_days(path: Path) -> None:
    found = seen(path, lambda n: Day(), days=32)
    assert [(row.start, row.days) for row in found.rows] == [
        ("2026-08-07", 7),
        ("2026-08-14", 7),
        ("2026-08-21", 7),
        ("2026-08-28", 7),
    ]
    assert found.left_out_days == 4 and "4 days at the ends are of no whole week, and left out." in said(found)


def test_a_piece_of_a_month_is_no_month(path: Path) -> None:
    found = seen(path, lambda n: Day(runs=1, steps=1), days=70, per="month")
    assert [(row.start, row.days) for row in found.rows] == [("2026-08-03", 29), ("2026-09-01", 30)]


def test_a_task_counts_where_it_works(path: Path) -> None:
    """A run that lasts over weeks is a task of each of them, one that another started is a task of its own never."""
    ledger = Ledger(path)
    for n in range(28):
        ledger.call(MONDAY + timedelta(n), Day(), "long")
        ledger.call(MONDAY + timedelta(n), Day(), None)
    hold = make_hold(
        first_id_of_ms((MONDAY - date(1970, 1, 1)).days * DAY_MS + 5), run_id="child", parent_run_id="long", target="gpt-4o"
    )
    ledger.apply(Imported((ImportRow(b"c" * 16, make_entry(hold, 60, source="test")),)))
    ledger.close()
    found = paradox(used(path, *EVER))
    assert [(row.tasks, row.steps) for row in found.rows] == [(8, 15), (8, 14), (8, 14), (8, 14)]


def test_where_only_parts_of_others_runs_are_in_sight_a_call_is_a_task(path: Path) -> None:
    ledger = Ledger(path)
    for n in range(28):
        for _ in range(5):
            ledger.call(MONDAY + timedelta(n), Day(), "child", parent="elsewhere")
    ledger.close()
    found = paradox(used(path, *EVER))
    assert [(row.tasks, row.steps) for row in found.rows] == [(35, 35)] * 4 and found.verdict == "steady"


def test_tasks_that_are_counted_otherwise_than_before_say_nothing_of_depth(path: Path) -> None:
    """In the second half the caller tells its runs; nothing else has changed but the price."""
    found = seen(path, lambda n: Day(runs=0, loose=20) if n < 42 else Day(runs=4, steps=10, input_rate=2_000))
    assert (found.verdict, found.driver, found.tasks_known) == (
        "steady" if found.verdict == "steady" else "cheaper_and_less",
        "",
        False,
    ) or (found.driver == "volume")
    assert "A caller began to tell its runs" in said(found) and "Calls that stand in runs: 0 %, then 100 %" in said(found)


def test_what_has_no_tokens_or_price_is_left_aside_and_said(path: Path) -> None:
    ledger = Ledger(path)
    for n in range(28):
        ledger.add(MONDAY + timedelta(n), Day())
    day, plain = MONDAY + timedelta(3), Day()
    told = (Line("told", 1, 700, 0),)
    ledger.call(
        day, plain._replace(model="of-a-bill"), None, usage=Usage(), lines=told, list_nusd=700, billed_nusd=700, unknown="tokens"
    )
    ledger.call(day, plain._replace(input_rate=0, output_rate=0, model="unknown-one"), None, unknown="price")
    ledger.call(day, plain._replace(model="uncounted"), None, requests=0, unknown="requests")
    ledger.call(day, plain, None, lines=(Line("told", 1, -50, 0),), list_nusd=-50, billed_nusd=-50, tariff="credit")
    ledger.call(
        day, plain, None, lines=(Line("hold", 1, 900, 0),), list_nusd=900, billed_nusd=900, tariff="held", estimate=Estimate.HOLD
    )
    ledger.apply(Adjusted(1, -5_000_000_000, "refund", (day - date(1970, 1, 1)).days * DAY_MS))
    ledger.close()
    found = paradox(used(path, *EVER))
    assert {left.reason: (left.tokens, left.billed_nusd) for left in found.aside} == {
        NO_TOKENS: (0, 700),
        NO_PRICE: (1_100, 0),
        NO_CALLS: (1_100, 4_500_000),
        CREDITS: (1_100, -50),
        WHOLE_HOLD: (1_100, 900),
    }
    assert {row.tokens for row in found.rows} == {7 * 20 * 1_100} and found.corrections_nusd == -5_000_000_000
    assert "Corrections of -$5.00" in said(found) and "Left aside: whole holds" in said(found)


def test_without_a_number_of_calls_there_is_price_and_volume(path: Path) -> None:
    ledger = Ledger(path)
    for n in range(28):
        late = n >= 14
        ledger.call(
            MONDAY + timedelta(n),
            Day(input=4_000 if late else 1_000, input_rate=1_500 if late else 3_000),
            None,
            requests=0,
            unknown="requests",
        )
    ledger.close()
    found = paradox(used(path, *EVER))
    assert [factor.name for factor in found.factors] == ["basket", "bought", "discount", "tokens"] and not found.aside
    assert (found.verdict, found.driver) == ("holds", "volume")
    assert "ln(bill) = ln(price) + ln(tokens)" in said(found) and "How many calls there were is not told" in said(found)


def test_a_subscription_is_seen_at_list_prices(path: Path) -> None:
    found = seen(path, lambda n: Day(billed=0.0))
    assert found.cost == "list" and found.verdict == "steady" and "what it costs at list prices" in said(found)
    assert paradox(used(path, *EVER), "billed").verdict == "too_little"


def test_only_some_callers(path: Path) -> None:
    ledger = Ledger(path)
    ledger.apply(KeyCreated(make_key(2, settings=KeySettings(source="test"))))
    for n in range(28):
        ledger.add(MONDAY + timedelta(n), Day())
        ledger.add(MONDAY + timedelta(n), Day(runs=0, loose=1), key_id=2)
    ledger.close()
    assert {row.steps for row in paradox(used(path, *EVER, whose=Whose(key="key-2"))).rows} == {7}
    assert {row.steps for row in paradox(used(path, *EVER, whose=Whose(team="search"))).rows} == {140}
    assert paradox(used(path, *EVER, whose=Whose(agent="claude-code"))).rows == []
    assert {row.steps for row in paradox(used(path, *EVER, whose=Whose(agent="codex"))).rows} == {147}


def test_a_day_without_calls_leaves_a_gap(path: Path) -> None:
    found = seen(path, lambda n: Day() if n != 3 else Day(runs=0), days=10)
    assert (
        found.rows[3].index.unit_price is None
        and found.rows[3].index.bill is None
        and found.rows[4].index.bill == pytest.approx(100)
    )
    svg = picture(found)
    assert svg.count('class="line s0" d="M') == 1 and "M" in svg.split('class="line s0" d="M')[1].split('"')[0]


def test_the_picture(path: Path) -> None:
    found = seen(
        path,
        lambda n: Day(steps=4 if n < 42 else 16, input_rate=3_000 if n < 42 else 1_500, output_rate=15_000 if n < 42 else 7_500),
    )
    root = ElementTree.fromstring(picture(found))
    texts = ["".join(element.itertext()) for element in root.iter() if element.tag.endswith("text")]
    assert {"bill 200", "price of a token 50", "same basket 50", "tokens 400", "tokens per task 400", "tasks 100"} <= set(texts)
    assert any("2026-08-03 = 100" in text for text in texts)
    [desc] = [element for element in root.iter() if element.tag.endswith("desc")]
    assert desc.text is not None and "bill 200" in desc.text
    heights = [float(element.get("y", "0")) for element in root.iter() if "name" in (element.get("class") or "")]
    assert len(heights) == 7 and all(b - a >= 16.9 for a, b in zip(sorted(heights), sorted(heights)[1:], strict=False))
