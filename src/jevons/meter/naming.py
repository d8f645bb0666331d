"""Which model of the price book a person means by a name, and who sells it.

Comes in: a price book, a name as a person writes it ("Gemini 3.1 Pro"). Goes out: (provider id, model name as that provider is asked). Does not know:
what it costs.
"""

import re
from collections.abc import Iterable

from jevons.meter.catalogue import plain
from jevons.meter.pricebook import FREE_VARIANT, PriceBook

_LOOSE_TAIL = re.compile(r"(-(preview|latest|exp|experimental|it|instruct|chat|v\d+|\d{2,8}))+")
"""What may follow the name a person says in the id a vendor sells: gemini-3.1-pro -> gemini-3.1-pro-preview."""


class UnknownModel(Exception):
    """No model of the book has such a name; the message suggests some."""

    def __init__(self, message: str, suggestions: list[str]) -> None:
        super().__init__(message)
        self.suggestions = suggestions


def resolve_model(book: PriceBook, name: str, provider: str | None = None) -> tuple[str, str]:
    """(provider id, model name as that provider is asked) of a name as a person writes it.

    Exact names first, then the same letters and digits in another spelling, then a missing "-preview", "-latest" or date. Of
    several providers the maker comes first. Raises UnknownModel.
    """
    catalogue = book.catalogue
    own = [p for p in book.providers() if p not in catalogue.providers()]
    if provider is None:
        head, slash, rest = name.partition("/")
        if name.lower() in own:
            return name.lower(), name  # "local" is a provider and answers to its own name
        if slash and head.lower() in book.providers() and book.find(head, rest):
            return head.lower(), rest
        seller = catalogue.maker(name)
    else:
        seller = provider.lower() if provider.lower() in own else catalogue.provider_id(provider)
        if seller is None:
            raise UnknownModel(f"unknown provider {provider!r}; known are: {', '.join(book.providers())}", [])
    if seller is not None and book.find(seller, name):
        return seller, name
    wanted, among = plain(name), [seller] if provider is not None and seller is not None else catalogue.providers()
    if wanted and (loose := _loose(book, wanted, among)):
        return loose
    close = book.suggest(name)
    hint = f"did you mean {', '.join(close)}?" if close else "write it as its provider does"
    at = f" at {seller}" if provider is not None else ""
    raise UnknownModel(f"no price is known for a model called {name!r}{at}; {hint}", close)


def resolve_variant(book: PriceBook, name: str, provider: str | None) -> tuple[str, str]:
    """As `resolve_model`; but a free variant is looked for at those who list it so. Its maker sells it and gives nothing away."""
    wanted = name.lower()
    if not wanted.endswith(FREE_VARIANT):
        return resolve_model(book, name, provider)
    for seller in book.catalogue.providers() if provider is None else [book.catalogue.provider_id(provider) or ""]:
        for model in book.models(seller):
            if wanted in (model.id.lower(), f"{seller}/{model.id}".lower(), model.id.lower().rpartition("/")[2]):
                return seller, model.id
    if provider is None:
        paid = name[: -len(FREE_VARIANT)]
        raise UnknownModel(
            f"nobody is known to list {name!r}: name who gives it away with --provider, or ask for {paid!r}, which is paid",
            [paid],
        )
    return resolve_model(book, name, provider)


def sold_by(book: PriceBook, upstream: str | None, model: str) -> tuple[str, str] | None:
    """Who sells it under which name: the upstream, if it is one that the book knows, since it may have any name; else the model's maker. None: nobody."""
    for seller in dict.fromkeys((upstream, None)):
        try:
            return resolve_model(book, model, seller)
        except UnknownModel:
            continue
    return None


def sellers(book: PriceBook, provider: str, model: str) -> tuple[str, ...]:
    """Other providers that resell this very model or have one of the same name."""
    found = book.catalogue.find(provider, model)
    if found is None:
        return ()
    name = plain(found.model.id)
    others = (p for p in book.catalogue.providers() if p != provider)
    return tuple(
        p
        for p in others
        if any(plain(m.id) == name for m in book.models(p)) or ((it := book.catalogue.find(p, model)) and it.model is found.model)
    )


def _loose(book: PriceBook, wanted: str, providers: Iterable[str]) -> tuple[str, str] | None:
    best: tuple[tuple[bool, bool, bool, int], str, str] | None = None
    for provider in providers:
        for model in book.models(provider):
            for spelling in (plain(model.id), plain(model.name)):
                if not spelling.startswith(wanted) or not (
                    tail := _LOOSE_TAIL.fullmatch(spelling, len(wanted)) or spelling == wanted
                ):
                    continue
                ref = book.catalogue.reference(provider, model)
                makes = book.catalogue.makes_models(provider)
                rank = (tail is not True, book.catalogue.maker(model.id) != provider, not makes, len(model.id))
                if ref is not None and (best is None or rank < best[0]):
                    best = (rank, provider, ref)
    return best and best[1:]
