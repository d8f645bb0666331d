"""Why the bill changed, for the page: the explanation with its picture, and the segments of one effect, which are those of the same explanation.

Comes in: the ledger's file, a period and the one before. Goes out: plain values. Keeps the latest explanations, so that segments that a person
opens sum to the effect that stands on the page, whatever was spent meanwhile. Does not know: how effects are found, HTML.
"""

from collections import OrderedDict
from pathlib import Path
from typing import Any

from jevons.core.limits import EXPLANATIONS_KEPT
from jevons.dashboard.rows import Period
from jevons.economics.explain import Effect, Explanation, explain
from jevons.economics.frames import Span
from jevons.economics.waterfall import waterfall
from jevons.ledger.errors import Unknown


class Why:
    """Explanations of one ledger."""

    def __init__(self, ledger: Path) -> None:
        self._ledger = ledger
        self._kept: OrderedDict[tuple[Period, Period], Explanation] = OrderedDict()

    def explanation(self, period: Period, base: Period) -> dict[str, Any]:
        """A new one: {"why", "picture", "most"}."""
        found = self._explain(period, base)
        links = {effect.name: f"#effect-{place}" for place, effect in enumerate(found.effects)}
        steps = [(effect.name, effect.lmdi_nusd) for effect in found.effects]
        title = f"{found.base.first} to {found.base.last}, and {found.now.first} to {found.now.last}"
        picture = waterfall(title, ("before", found.base_nusd), steps, ("now", found.bill_nusd), links=links)
        most = max((abs(nusd) for effect in found.effects for nusd in (effect.lmdi_nusd, effect.shapley_nusd)), default=0)
        return {"why": found, "picture": picture, "most": most}

    def effect(self, period: Period, base: Period, name: str) -> Effect:
        """One effect of the explanation that was shown. Raises Unknown."""
        found = self._kept.get((period, base)) or self._explain(period, base)
        for effect in found.effects:
            if effect.name == name:
                return effect
        raise Unknown(
            f"There is no effect {name!r} in this change; there are {', '.join(one.name for one in found.effects) or 'none'}."
        )

    def _explain(self, period: Period, base: Period) -> Explanation:
        found = explain(self._ledger, Span(period.first, period.last + 1), Span(base.first, base.last + 1))
        self._kept.pop((period, base), None)  # each step by itself: several threads explain at once
        self._kept[period, base] = found
        while len(self._kept) > EXPLANATIONS_KEPT:
            self._kept.popitem(last=False)
        return found
