"""What the operator says of caching: `[cache]` and its parts in jevons.toml."""

from typing import Annotated, Literal

import msgspec

from jevons.core.limits import ANSWERS_RAM_MIB, ANSWERS_TTL_S, SIMILAR_ENTRIES_MAX, SIMILAR_RAM_MIB, TRIM_RAM_MIB, TRIM_TTL_H

PromptMode = Literal["off", "observe", "on"]


class PromptCacheSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[cache.prompt]`: the provider's own prompt cache."""

    mode: PromptMode = "observe"
    """on: mark what is worth keeping. observe: plan and learn, send the client's bytes. off: neither."""
    upstreams: dict[str, PromptMode] = {}
    """Another mode for single upstreams, by their names. "on" also says that it knows the members of OpenAI's API."""

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

    enabled: bool = False
    """Answers are given by similarity, to requests that ask for it (`x-jevons-cache: semantic`) and to callers listed here."""
    orgs: tuple[str, ...] = ()
    """Organisations all of whose requests take part; keys that name none belong to "default"."""
    keys: tuple[str, ...] = ()
    """The same by the names of keys."""
    delta: Annotated[float, msgspec.Meta(ge=0.001, le=0.5)] = 0.02
    """Share of requests that may be answered wrongly, for each organisation and model."""
    force: bool = False
    """Also requests whose answers depend on the time, on the person or on tools."""
    max_entries: Annotated[int, msgspec.Meta(ge=1)] = SIMILAR_ENTRIES_MAX
    """Questions that are remembered."""
    ram_mib: Annotated[int, msgspec.Meta(ge=1)] = SIMILAR_RAM_MIB
    """Memory for them; their answers lie with those of `[cache.answers]`."""


class TrimSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[cache.trim]`: long tool output made shorter before it is first cached."""

    enabled: bool = False
    min_tokens: Annotated[int, msgspec.Meta(ge=1)] = 200
    """A shorter output is left as it is."""
    min_share: Annotated[float, msgspec.Meta(gt=0, lt=1)] = 0.1
    """And one that would not lose this share of its tokens."""
    plain_tokens: Annotated[int, msgspec.Meta(ge=0)] = 0
    """What is kept of a text that is neither JSON, log nor diff, at its beginning and its end; 0 = all of it."""
    keep_tools: tuple[str, ...] = (
        "read",
        "view",
        "open",
        "*read_file*",
        "*read_text_file*",
        "*read_multiple_files*",
        "*get_file_contents*",
        "*view_file*",
        "*edit*",
        "*write*",
        "*str_replace*",
    )
    """Tools whose output is never touched: an agent edits a file by its exact words."""
    history: bool = False
    """Also outputs that were sent whole before, where taking them out saves more than the prefix costs."""
    ram_mib: Annotated[int, msgspec.Meta(ge=1)] = TRIM_RAM_MIB
    """Memory for the originals."""
    ttl_h: Annotated[int, msgspec.Meta(ge=1)] = TRIM_TTL_H
    """Hours for which an original can be fetched after it was last sent."""


class CacheSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[cache]`."""

    prompt: PromptCacheSettings = PromptCacheSettings()
    answers: AnswerCacheSettings = AnswerCacheSettings()
    semantic: SemanticCacheSettings = SemanticCacheSettings()
    trim: TrimSettings = TrimSettings()
