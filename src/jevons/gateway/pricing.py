"""What of a request decides its price: the context of the rates, and about its size.

Comes in: a request and the settings of the upstream that it goes to. Goes out: what the price book is asked with, and the refusal of a model that it
does not know. Does not know: prices, callers, what is held.
"""

import re

from jevons.core.ask import Ask
from jevons.core.refusal import Kind, Refusal
from jevons.gateway.settings import UpstreamSettings
from jevons.meter.overrides import override_line
from jevons.meter.pricebook import BILLED, UNBILLED

BYTES_PER_TOKEN = 4
"""For comparing two prices at about the size of a request."""
_RATE_NAME = re.compile(r"[\w.:-]{1,32}", re.ASCII)
"""What may name a tier or a speed. It is recorded with the call, and whatever else a client writes there is no name: it stays off the disk."""


def size_tokens(ask: Ask) -> int:
    """About how long the request is."""
    return len(ask.body) // BYTES_PER_TOKEN


def price_context(ask: Ask, settings: UpstreamSettings, answered_tier: str = "") -> dict[str, str]:
    """What besides the date decides the rates: the tier that answered, else the one asked for, else the upstream's own; the speed; and
    whether the call is billed at all."""
    tier = answered_tier or ask.service_tier or settings.service_tier
    context = {"service_tier": tier} if tier != "default" and _RATE_NAME.fullmatch(tier) else {}
    if ask.speed is not None and _RATE_NAME.fullmatch(ask.speed):
        context["speed"] = ask.speed
    if not settings.billed:
        context[BILLED] = UNBILLED
    return context


def unpriced(provider: str, model: str, kinds: list[str], similar: list[str]) -> Refusal:
    """A model whose price is not known is refused: unknown is not free."""
    hint = f" Did you mean {', '.join(similar)}?" if similar else ""
    return Refusal(
        Kind.INVALID,
        400,
        f"The price of {provider}/{model} ({', '.join(kinds)}) is unknown, and unmetered calls are refused.{hint} If {provider!r} only"
        ' resells, name whose prices apply: `provider = "openai"` in its [[upstreams]] table. Or state the price in prices.toml:\n'
        + override_line(provider, model, tuple(kinds)),
        code="unknown_price",
        param="model",
    )
