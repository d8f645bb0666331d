"""Which upstreams may answer a request, in order. Pure: a table in, candidates out.

A name is looked up as: an alias of the operator, then "upstream/model", then each upstream whose patterns match it.
"""

import fnmatch
from collections.abc import Sequence
from typing import Annotated

import msgspec

from jevons.core.ask import Dialect

TRANSLATED = {Dialect.CHAT: Dialect.MESSAGES, Dialect.MESSAGES: Dialect.CHAT}
"""The pairs that can be translated into each other."""


class Offer(msgspec.Struct, frozen=True):
    """What one upstream offers, as far as routing cares."""

    upstream: str
    models: tuple[str, ...]
    """Names or shell patterns it answers to."""
    dialects: frozenset[Dialect]


class Alias(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A name of the operator's own for a model of an upstream. Several of one name are tried in order, or share its calls."""

    name: str
    upstream: str
    target: str
    weight: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    """Its share of the name's calls among those that have a weight; 0 = it is tried after these, in the order of the file."""


class Target(msgspec.Struct, frozen=True):
    """One candidate: which upstream, under which model name, in which dialect."""

    upstream: str
    model: str
    dialect: Dialect
    alias: str = ""
    """The operator's name that it stands for; "" = its own."""
    weight: float = 0.0
    """Its share of that name's calls; 0 = it waits in its place."""

    @property
    def group(self) -> str:
        """Targets that follow each other with one group answer to one name."""
        return self.alias or self.model


class Table(msgspec.Struct, frozen=True):
    offers: tuple[Offer, ...]
    aliases: tuple[Alias, ...] = ()


def choose(table: Table, model: str, dialect: Dialect) -> tuple[Target, ...]:
    """Candidates for a model name, best first; empty if nobody offers it in a dialect that can be reached from this one."""
    found = []
    for offer, name, alias, weight in _candidates(table, model):
        behind = reachable(dialect, offer.dialects)
        if behind is not None:
            found.append(Target(offer.upstream, name, behind, alias, weight))
    return tuple(found)


def offered(table: Table, model: str) -> Target | None:
    """The first upstream that knows this name, whatever it speaks."""
    for offer, name, _, _ in _candidates(table, model):
        return Target(offer.upstream, name, min(offer.dialects))
    return None


def reachable(dialect: Dialect, spoken: frozenset[Dialect]) -> Dialect | None:
    """The dialect to speak to an upstream: the client's own if it can, else the one it can be translated to."""
    if dialect in spoken:
        return dialect
    other = TRANSLATED.get(dialect)
    return other if other in spoken else None


def allowed(models: Sequence[str], model: str) -> bool:
    """Is the model on a key's allow-list? An empty list allows all."""
    return not models or any(fnmatch.fnmatchcase(model, pattern) for pattern in models)


def _candidates(table: Table, model: str) -> list[tuple[Offer, str, str, float]]:
    """(offer, its own name for the model, alias, weight)"""
    by_name = {offer.upstream: offer for offer in table.offers}
    aliases = [(by_name[alias.upstream], alias.target, model, alias.weight) for alias in table.aliases if alias.name == model]
    if aliases:
        return aliases
    prefix, _, rest = model.partition("/")
    if rest and prefix in by_name:
        return [(by_name[prefix], rest, "", 0.0)]
    return [
        (offer, model, "", 0.0) for offer in table.offers if any(fnmatch.fnmatchcase(model, pattern) for pattern in offer.models)
    ]
