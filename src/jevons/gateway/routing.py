"""Where a request goes: the name that it asks for, and the operator's `[[routes]]` over it.

Comes in: a parsed request with its passage. Goes out: a `Way`, the targets in the order in which they are to be tried, and why. Synchronous: no disk, no
waiting. Does not know: how targets are tried (`gateway.journey`), what a call may cost its caller (`gateway.gate`).
"""

from typing import NamedTuple

from jevons.core.ask import Ask, Caller, Dialect
from jevons.core.limits import ROUTE_MEMO_ENTRIES_MAX
from jevons.core.refusal import Kind, Refusal, invalid
from jevons.core.routed import Routed
from jevons.gateway.clients import Named
from jevons.gateway.governor import Passage
from jevons.meter.pricebook import PriceBook
from jevons.policy.route import Table, Target, allowed, choose, offered


class Way(NamedTuple):
    """Where one request goes."""

    targets: tuple[Target, ...]
    """To be tried in order; the chosen one first, the reference last."""
    routed: Routed | None = None
    """Stands with every entry of the request; None = it goes by its name alone."""
    cascade: bool = False
    """targets[0] is asked first, and judged before it is shown."""
    shadows: tuple[Target, ...] = ()
    """Asked too, shown to nobody."""
    weight: float = 1.0
    """1 / probability with which this request was taken for a sample."""


class Router:
    """Knows who offers what."""

    def __init__(self, table: Table, book: PriceBook) -> None:
        """`book` knows names that are like one that nobody offers."""
        self._table = table
        self._book = book
        self._chosen: dict[tuple[str, Dialect], tuple[Target, ...]] = {}

    def check(self, ask: Ask, caller: Caller) -> None:
        """Raises Refusal for a name that the caller may not use, or that nobody answers to."""
        if not allowed(caller.models, ask.model):
            raise Refusal(
                Kind.PERMISSION,
                403,
                f"Key {caller.key_name!r} may not use {ask.model!r}; it is limited to {', '.join(caller.models)}.",
                code="model_not_allowed",
                param="model",
            )
        if not self._targets(ask.model, ask.dialect):
            raise self._nobody(ask.model, ask.dialect)

    def way(self, ask: Ask, passage: Passage, named: Named) -> Way:
        """Where it goes, after `check`."""
        return Way(self._targets(ask.model, ask.dialect))

    def counted_here(self, ask: Ask, caller: Caller) -> Target | None:
        """The target of a model whose upstream has no count_tokens door."""
        if not allowed(caller.models, ask.model) or self._targets(ask.model, Dialect.COUNT_TOKENS):
            return None
        return offered(self._table, ask.model)

    def _targets(self, model: str, dialect: Dialect) -> tuple[Target, ...]:
        targets = self._chosen.get((model, dialect))
        if targets is None:
            targets = choose(self._table, model, dialect)
            if targets and len(self._chosen) < ROUTE_MEMO_ENTRIES_MAX:
                self._chosen[model, dialect] = targets
        return targets

    def _nobody(self, model: str, dialect: Dialect) -> Refusal:
        if offered(self._table, model) is not None:
            return invalid(
                f"Model {model!r} is not offered over this endpoint, and {dialect} cannot be translated for it.",
                param="model",
                code="wrong_endpoint",
            )
        known = sorted(
            {pattern for offer in self._table.offers for pattern in offer.models} | {alias.name for alias in self._table.aliases}
        )
        similar = self._book.suggest(model)
        hint = f" Similar names with a known price: {', '.join(similar)}." if similar else ""
        return Refusal(
            Kind.NOT_FOUND,
            404,
            f"No upstream answers to the model {model!r}. Configured: {', '.join(known) or 'none'}.{hint} Add it under `models` of an upstream in jevons.toml.",
            code="model_not_found",
            param="model",
        )
