"""Which model of the price book a name means: genai-prices' matching rules over the compiled book.

Comes in: a provider's name (or none) and a model's name, as an upstream is asked. Goes out: the provider and model of the book.
Does not know: prices in money, dates, overrides.
"""

import re
from collections.abc import Iterator
from datetime import date
from typing import NamedTuple

from jevons.core.limits import PRICE_MEMO_ENTRIES_MAX
from jevons.meter.compiled import Model, Provider, decode_models

_COMPACT_DATE = re.compile(r"(-)(20\d{2})(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])(?=-|:|$)")


class Found(NamedTuple):
    """A model of the book."""

    provider: str
    """Id of the provider whose price list it stands in."""
    model: Model
    own: bool
    """It is the asked provider's own, not one it resells (`Provider.fallbacks`): request context prices only those."""

    @property
    def row(self) -> str:
        return f"{self.provider}/{self.model.id}"


def dashed_date(model: str) -> str:
    """Rewrite a compact date, "gpt-5.2-20251211" -> "gpt-5.2-2025-12-11"; other digits stay (genai_prices.types)."""

    def rewrite(found: re.Match[str]) -> str:
        year, month, day = (int(found.group(i)) for i in (2, 3, 4))
        try:
            return f"-{date(year, month, day).isoformat()}"
        except ValueError:
            return found.group(0)

    return _COMPACT_DATE.sub(rewrite, model)


def plain(name: str) -> str:
    """A name without its spelling: "Gemini 3.1 Pro", "google/gemini-3.1-pro" -> "gemini-3-1-pro"."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower().rpartition("/")[2]).strip("-")


class Catalogue:
    """Providers and their models; answers are remembered."""

    def __init__(self, providers: tuple[Provider, ...]) -> None:
        self._providers = {provider.id: provider for provider in providers}
        self._models: dict[str, tuple[Model, ...]] = {}
        self._found: dict[tuple[str | None, str], Found | None] = {}
        self._pieces: dict[str, tuple[str, frozenset[str]]] = {}

    def providers(self) -> list[str]:
        return list(self._providers)

    def makes_models(self, provider: str) -> bool:
        """It has names of its own that point to it, as makers have and most resellers do not."""
        return self._providers[provider].model_match is not None

    def models(self, provider: str) -> tuple[Model, ...]:
        """Models of one provider id in the book's order; empty if there is no such provider."""
        known = self._models.get(provider)
        if known is None:
            known = decode_models(self._providers[provider]) if provider in self._providers else ()
            self._models[provider] = known
        return known

    def provider_id(self, name: str) -> str | None:
        """The provider that a name means: its id, else the first whose rule matches ("vertex" -> google)."""
        name = name.lower().strip()
        if name in self._providers:
            return name
        return next((p.id for p in self._providers.values() if p.provider_match and p.provider_match.matches(name)), None)

    def maker(self, model: str) -> str | None:
        """The provider that a model's name points to by itself ("claude-…" -> anthropic)."""
        model = model.lower()
        return next((p.id for p in self._providers.values() if p.model_match and p.model_match.matches(model)), None)

    def find(self, provider: str | None, model: str) -> Found | None:
        """The book's model for a name, as genai-prices finds it; None if it knows none. Without a provider: at its maker."""
        key = (provider, model)
        try:
            return self._found[key]
        except KeyError:
            if len(self._found) >= PRICE_MEMO_ENTRIES_MAX:
                self._found.clear()
            found = self._found[key] = self._find(provider, model.lower())
            return found

    def _find(self, provider: str | None, model: str) -> Found | None:
        if provider and provider.lower() == "litellm":  # names its provider in the model
            seller, slash, rest = model.partition("/")
            if slash and (seller_id := self.provider_id(seller)):
                return self._match(seller_id, rest)
            provider = None
        seller_id = self.provider_id(provider) if provider else self.maker(model)
        return self._match(seller_id, model) if seller_id else None

    def _match(self, seller: str, model: str) -> Found | None:
        for name in dict.fromkeys((model, dashed_date(model))):
            for provider in (seller, *self._providers[seller].fallbacks):
                for candidate in self.models(provider):
                    if candidate.match.matches(name):
                        return Found(provider, candidate, provider == seller)
        return None

    def reference(self, provider: str, model: Model) -> str | None:
        """A name under which `find` gives this very model: its id or a text of its match clause; None if others take them all."""
        names, clauses = [model.id], [model.match]
        while clauses:
            clause = clauses.pop(0)
            clauses += clause.parts
            names.append(clause.text)
        for name in filter(None, names):
            if (found := self.find(provider, name)) and found.model is model:
                return name
        return None

    def everything(self) -> Iterator[tuple[str, Model]]:
        for provider in self._providers:
            for model in self.models(provider):
                yield provider, model

    def suggest(self, name: str, n: int) -> list[str]:
        """Up to n ids of models whose name is close, closest first; each id once, the maker's before a reseller's.

        Closeness is Dice's coefficient over three-letter pieces: it forgives a typo and a missing "-preview".
        """
        if not self._pieces:
            for provider, model in self.everything():
                for spelling in filter(None, (plain(model.id), plain(model.name))):
                    if spelling not in self._pieces or self.maker(model.id) == provider:
                        self._pieces[spelling] = (model.id, _pieces(spelling))
        wanted = _pieces(plain(name))
        scored = []
        for model_id, pieces in self._pieces.values():
            score = 2 * len(wanted & pieces) / (len(wanted) + len(pieces))
            if score >= 0.5:
                scored.append((-score, len(pieces), model_id))
        return list(dict.fromkeys(model_id for _, _, model_id in sorted(scored)))[:n]


def _pieces(name: str) -> frozenset[str]:
    padded = f"  {name} "
    return frozenset(padded[i : i + 3] for i in range(len(padded) - 2))
