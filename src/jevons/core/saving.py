"""What a request would have cost without us, less what it cost: one line for each reason, and the lines sum.

A request's baseline is what it asked for, as it asked for it: its own model, nothing trimmed, no prompt cache, no answer cache. Each saving
is the step from one of these to the next, so that baseline - Σ savings = list cost, to the nano-dollar. A saving may be negative: a cache
write that nobody read, a check of a cached answer. Does not know: how a step is decided.
"""

import enum

import msgspec


class SavingKind(enum.StrEnum):
    """Why a request cost less than its baseline, in the order in which the steps are taken."""

    ROUTE = "route"
    """Another model, because a route sent it there; negative where the small model of a cascade was asked in vain."""
    STUDENT = "student"
    """A student's answer in place of its teacher's."""
    MODEL = "model"
    """A cheaper model than the one asked for, as a budget ran out."""
    TRIM = "trim"
    """Tool output that was made shorter."""
    PROMPT_PLANNED = "prompt_planned"
    """The provider's prompt cache, by breakpoints that we set: reads less write premiums."""
    PROMPT_CLIENT = "prompt_client"
    """The same by the client's own markers."""
    PROMPT_AUTOMATIC = "prompt_automatic"
    """The same without anybody's: the provider caches by itself."""
    ANSWER_EXACT = "answer_exact"
    """An answer of ours to the very same request."""
    ANSWER_SEMANTIC = "answer_semantic"
    """An answer of ours to a similar request, under an error bound."""
    CHECK = "check"
    """What asking again cost, to check cached answers: always negative."""
    SHADOW = "shadow"
    """What comparing models cost, answers and judgements: always negative."""


class Saving(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One line against a request's baseline. Stored as [kind, nusd, tokens, estimated]."""

    kind: SavingKind
    nusd: int
    """At list price; negative = it cost that much more."""
    tokens: int
    """Tokens that were not sent, not made, or read from a cache instead of computed; negative for a check."""
    estimated: bool = False
    """The other way was not taken, and its count or price is ours (an answer's length, tokens trimmed)."""


class Break(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Where a request left the prefix that its conversation had, so that a prompt cache could not go on. Names no content."""

    position: int
    """The first message that differs, as `Ask.messages` counts: tools and system first."""
    role: str
    """tools, system, user, assistant, tool."""
    cause: str
    """What changed (`policy.breaks`)."""
    lost_tokens: int
    """Tokens behind it that were computed before, and had to be again."""
    lost_nusd: int
    """What they cost above reading them from the cache, at list price: an estimate."""
