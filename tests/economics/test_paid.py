"""The price actually paid: unit values and Fisher's index over a real ledger with known answers."""

import math
from datetime import date, timedelta
from pathlib import Path

import pytest

from jevons.core.entry import first_id_of_ms
from jevons.core.price import Line
from jevons.core.usage import Usage
from jevons.economics.paid import fisher, in_use, paid
from jevons.ledger.errors import LedgerError
from jevons.ledger.ops import KeyCreated, Op, Opened, Posted
from jevons.ledger.sqlite import SqliteStore
from tests.ledger.making import make_entry, make_hold, make_key

DAY_MS = 86_400_000
JULY, AUGUST, SEPTEMBER = date(2026, 7, 1), date(2026, 8, 1), date(2026, 9, 1)


class Bought:
    """A ledger that is filled a purchase at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._store = SqliteStore(path)
        self._store.apply([KeyCreated(make_key())])
        self._count = 0

    def buy(self, day: date, model: str, tokens: tuple[int, int], nusd: tuple[int, int], *, billed: float = 1.0) -> None:
        """(input, output) tokens for (input, output) nano-USD at list price, of which a part is billed."""
        self._count += 1
        at_ms = (day - date(1970, 1, 1)).days * DAY_MS + self._count
        hold = make_hold(first_id_of_ms(at_ms), 10**12, target=model)
        entry = make_entry(
            hold, sum(nusd), usage=Usage(input=tokens[0], output=tokens[1]), billed_nusd=round(sum(nusd) * billed),
            lines=(Line("input", tokens[0], nusd[0], 1), Line("output", tokens[1], nusd[1], 1)),
        )  # fmt: skip
        ops: list[Op] = [Opened(hold), Posted(entry)]
        self._store.apply(ops)

    def close(self) -> Path:
        self._store.close()
        return self.path


@pytest.fixture
def bought(tmp_path: Path) -> Bought:
    return Bought(tmp_path / "ledger.db")


def test_fishers_index_of_a_textbook_basket() -> None:
    """Prices 1, 2 -> 2, 2 and quantities 10, 5 -> 5, 10: Laspeyres 1.5, Paasche 1.2."""
    old = {("a",): (10, 10.0), ("b",): (5, 10.0)}
    new = {("a",): (5, 10.0), ("b",): (10, 20.0)}
    assert fisher(old, new) == pytest.approx(math.sqrt(1.5 * 1.2))
    assert fisher(new, old) == pytest.approx(1 / math.sqrt(1.5 * 1.2))
    assert fisher(old, {}) == fisher({}, new) == 1


def test_moving_to_a_dearer_model_moves_the_unit_value_and_no_index(bought: Bought) -> None:
    bought.buy(JULY, "gpt-5", (1_000_000, 0), (1_000_000_000, 0))
    bought.buy(JULY, "gpt-5-mini", (1_000_000, 0), (100_000_000, 0))
    bought.buy(AUGUST, "gpt-5", (3_000_000, 0), (3_000_000_000, 0))
    bought.buy(AUGUST, "gpt-5-mini", (1_000_000, 0), (100_000_000, 0))
    july, august = paid(bought.close())
    assert (july.nusd_per_mtok, august.nusd_per_mtok) == (550_000_000, 775_000_000)
    assert (august.by_model, august.by_line, august.matched) == (pytest.approx(100), pytest.approx(100), 1)


def test_a_price_cut_moves_all_three(bought: Bought) -> None:
    bought.buy(JULY, "gpt-5", (1_000_000, 1_000_000), (1_000_000_000, 8_000_000_000))
    bought.buy(AUGUST, "gpt-5", (1_000_000, 1_000_000), (500_000_000, 4_000_000_000))
    _, august = paid(bought.close())
    assert august.nusd_per_mtok == 2_250_000_000
    assert august.by_model == pytest.approx(50) and august.by_line == pytest.approx(50)


def test_a_successor_is_a_price_change_of_its_line_only(bought: Bought) -> None:
    bought.buy(JULY, "gpt-5", (1_000_000, 0), (1_000_000_000, 0))
    bought.buy(AUGUST, "gpt-5.1", (1_000_000, 0), (2_000_000_000, 0))
    bought.buy(SEPTEMBER, "gpt-5.1", (2_000_000, 0), (2_000_000_000, 0))
    _, august, september = paid(bought.close())
    assert (august.by_model, august.by_line, august.matched) == (100, pytest.approx(200), 0)
    assert (september.by_model, september.by_line, september.matched) == (pytest.approx(50), pytest.approx(100), 1)


def test_a_discount_is_a_lower_price_paid(bought: Bought) -> None:
    bought.buy(JULY, "gpt-5", (1_000_000, 0), (1_000_000_000, 0))
    bought.buy(AUGUST, "gpt-5", (1_000_000, 0), (1_000_000_000, 0), billed=0.8)
    _, august = paid(bought.close())
    assert (august.nusd_per_mtok, august.by_model) == (800_000_000, pytest.approx(80))


def test_what_is_free_is_in_the_unit_value_and_said(bought: Bought) -> None:
    bought.buy(JULY, "gpt-5", (1_000_000, 0), (1_000_000_000, 0))
    bought.buy(JULY, "gpt-oss-20b", (1_000_000, 0), (0, 0))
    bought.buy(AUGUST, "gpt-5", (1_000_000, 0), (1_000_000_000, 0), billed=0)
    july, august = paid(bought.close())
    assert (july.tokens, july.unpriced_tokens, july.nusd_per_mtok) == (2_000_000, 1_000_000, 500_000_000)
    assert (august.unpriced_tokens, august.nusd_per_mtok, august.by_model) == (0, 0, 100)


def test_a_month_partly_on_a_subscription_has_the_price_of_what_was_paid(bought: Bought) -> None:
    bought.buy(JULY, "gpt-5", (1_000_000, 0), (1_000_000_000, 0))
    bought.buy(AUGUST, "gpt-5", (1_000_000, 0), (1_000_000_000, 0))
    bought.buy(AUGUST + timedelta(days=1), "gpt-5", (3_000_000, 0), (3_000_000_000, 0), billed=0)
    _, august = paid(bought.close())
    assert (august.nusd_per_mtok, august.by_model, august.by_line) == (250_000_000, pytest.approx(100), pytest.approx(100))


def test_only_the_days_asked_for(bought: Bought) -> None:
    for day in (JULY, AUGUST, SEPTEMBER):
        bought.buy(day, "gpt-5", (1_000_000, 0), (1_000_000_000, 0))
    path = bought.close()
    assert [month.day for month in paid(path, last=date(2026, 8, 31))] == [JULY, AUGUST]
    assert [month.day for month in paid(path, first=AUGUST)] == [AUGUST, SEPTEMBER]


def test_models_in_use_are_those_called_since_most_used_first(bought: Bought) -> None:
    bought.buy(JULY, "gpt-4", (1, 0), (1, 0))
    bought.buy(AUGUST, "gpt-5-mini", (1, 0), (1, 0))
    bought.buy(SEPTEMBER, "gpt-5", (1, 0), (1, 0))
    bought.buy(SEPTEMBER, "gpt-5", (1, 0), (1, 0))
    assert in_use(bought.close(), AUGUST) == [("openai", "gpt-5"), ("openai", "gpt-5-mini")]


def test_an_empty_ledger_has_no_months_and_a_missing_one_is_said(bought: Bought, tmp_path: Path) -> None:
    assert paid(bought.close()) == []
    with pytest.raises(LedgerError, match="There is no ledger"):
        paid(tmp_path / "nowhere.db")
