"""What a provider's prompt cache does for one model, and what it charges.

Comes in: rules as the data file states them (`meter/data/prompt_cache.toml`), and a resolved price. Goes out: values that the planner, the
bench and the gateway share. Does not know: which model it is, where the rules come from, requests.
"""

import enum

import msgspec

from jevons.core.price import Price
from jevons.core.usage import CACHE_READ, INPUT


class Style(enum.StrEnum):
    """How a prefix comes to be cached."""

    EXPLICIT = "explicit"
    """Where the request marks it (Anthropic's `cache_control`, OpenAI's `prompt_cache_breakpoint`)."""
    AUTOMATIC = "automatic"
    """Wherever the provider finds one; nothing can be marked."""
    NONE = "none"
    """Never."""


class Ttl(msgspec.Struct, frozen=True):
    """One lifetime that a prefix can be cached for."""

    name: str
    """As a request asks for it: "5m", "1h", "24h"."""
    seconds: int
    kind: str
    """Usage kind that tokens written for it are billed as: cache_write_5m, cache_write_1h; input where writing costs nothing more."""


class CacheRules(msgspec.Struct, frozen=True):
    """One model's prompt cache. Tokens count from the beginning of the prompt."""

    style: Style
    ttls: tuple[Ttl, ...] = ()
    """Shortest first, which is the default. () only where nothing is cached."""
    min_tokens: int = 0
    """A shorter prefix is not cached."""
    step_tokens: int = 1
    """Where the provider matches by itself, it does so up to a multiple of this many tokens."""
    breakpoints_max: int = 0
    """Marks that one request may carry, the client's own included."""
    lookback_blocks: int = 0
    """A mark finds what was cached at most this many blocks before it; 0 = however far."""
    refreshes: bool = True
    """A read begins the lifetime anew, at no cost."""
    by_itself: bool = False
    """A request without marks is cached too, to its end, and billed for it, unless it says that it wants marks only (OpenAI from 5.6 on).
    True wherever the style is automatic."""
    keyed: bool = False
    """Takes a key by which requests with a common beginning are sent to one machine (`prompt_cache_key`)."""

    def __post_init__(self) -> None:
        assert self.style is Style.NONE or self.ttls
        assert self.min_tokens >= 0 and self.step_tokens > 0 and self.breakpoints_max >= 0 and self.lookback_blocks >= 0
        assert self.style is not Style.EXPLICIT or self.breakpoints_max > 0
        assert self.style is not Style.AUTOMATIC or self.by_itself
        assert all(a.seconds < b.seconds for a, b in zip(self.ttls, self.ttls[1:], strict=False))


class CacheRates(msgspec.Struct, frozen=True):
    """What a token of the prompt costs by what the cache does with it: numerators over `den`, nano-USD. Exact."""

    den: int
    plain: int
    read: int
    writes: tuple[int, ...]
    """For each of the model's lifetimes."""


def rates(rules: CacheRules, price: Price, input_tokens: int) -> CacheRates | None:
    """Of a request with so many tokens; None where the price names no rate for input, reads or a write: then nothing is planned."""
    nums = price.tier(input_tokens).nums
    try:
        return CacheRates(price.den, nums[INPUT], nums[CACHE_READ], tuple([nums[ttl.kind] for ttl in rules.ttls]))
    except KeyError:
        return None
