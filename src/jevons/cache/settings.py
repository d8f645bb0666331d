"""What the operator says of caching: `[cache]` and its parts in jevons.toml."""

import msgspec


class PromptCacheSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[cache.prompt]`: the provider's own prompt cache."""


class AnswerCacheSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[cache.answers]`: our own answers to the very same requests."""


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
