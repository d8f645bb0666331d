"""What the operator says of caching: `[cache]` and its parts in jevons.toml."""

from typing import Annotated, Literal

import msgspec

from jevons.core.limits import ANSWERS_RAM_MIB, ANSWERS_TTL_S

PromptMode = Literal["off", "observe", "on"]


class PromptCacheSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[cache.prompt]`: the provider's own prompt cache."""

    mode: PromptMode = "observe"
    """on: mark what is worth keeping. observe: plan and learn, send the client's bytes. off: neither."""
    upstreams: dict[str, PromptMode] = {}
    """Another mode for single upstreams, by their names."""

    def of(self, upstream: str) -> PromptMode:
        return self.upstreams.get(upstream, self.mode)


class AnswerCacheSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[cache.answers]`: our own answers to the very same requests."""

    ram_mib: Annotated[int, msgspec.Meta(ge=0)] = ANSWERS_RAM_MIB
    """Memory for them; 0 = none is kept."""
    ttl_s: Annotated[int, msgspec.Meta(gt=0)] = ANSWERS_TTL_S
    """Seconds after which an answer is not given again."""
    orgs: tuple[str, ...] = ()
    """Organisations whose deterministic requests take part without a header; keys that name none belong to "default"."""
    keys: tuple[str, ...] = ()
    """The same by the names of keys."""


class SemanticCacheSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[cache.semantic]`: our own answers to similar requests, under an error bound."""


class TrimSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[cache.trim]`: long tool output made shorter before it is first cached."""


class CacheSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[cache]`."""

    prompt: PromptCacheSettings = PromptCacheSettings()
    answers: AnswerCacheSettings = AnswerCacheSettings()
    semantic: SemanticCacheSettings = SemanticCacheSettings()
    trim: TrimSettings = TrimSettings()
