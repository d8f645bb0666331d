"""Today's point multiplies back to the recorded bill: the forecast starts from what the explanation explains."""

from pathlib import Path

import pytest

from jevons.economics.explain import explain
from jevons.economics.forecast.formula import Rates, Terms, bill, step, terms_of
from jevons.economics.forecast.segments import RECENT_DAYS, history
from jevons.economics.frames import Span
from tests.economics.forecast.using import NOW, TODAY, company


def test_the_product_is_the_bill_that_is_explained(tmp_path: Path) -> None:
    ledger = company(tmp_path / "ledger.db")
    found = history(ledger, TODAY)
    assert found is not None
    span = Span(NOW - RECENT_DAYS, NOW)
    explained = explain(ledger, span, Span(span.first - RECENT_DAYS, span.first))
    assert sum(bill(part.terms) for part in found.parts) * RECENT_DAYS == pytest.approx(explained.bill_nusd, rel=1e-12)
    assert sum(part.terms.tokens for part in found.parts) == pytest.approx(2 * 84_000 + 5 * 10_500)


def test_what_is_billed_is_shared_out_as_the_list_cost_is() -> None:
    sums = [10, 600, 300, 60, 40, 200, 6_000, 300, 600, 800, 2_000, 10_000, 5_000]  # fees of 300 at list
    terms = terms_of(sums, tasks=5, days=2, cost="billed")
    assert (terms.tasks, terms.depth, terms.context, terms.output) == (2.5, 2, 100, 20)
    assert (terms.cached, terms.written) == (0.3, 0.1)
    assert terms.rates == Rates(5, 0.5, 7, 5, 15)
    assert bill(terms) * 2 == pytest.approx(5_000)
    assert bill(terms_of(sums, 5, 2, "list")) * 2 == pytest.approx(10_000)


def test_tokens_without_a_rate_are_never_free() -> None:
    with pytest.raises(ValueError, match="no rate"):
        step(Terms(1, 1, 100, 0, 0.5, 0, Rates(1, None, None, None)))
    assert step(Terms(1, 1, 100, 0, 0, 0, Rates(1, None, None, None))) == (100, 0, 0, 0, 0)
