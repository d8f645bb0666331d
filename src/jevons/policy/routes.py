"""What the operator says of routing: `[[routes]]` and `[[classes]]` in jevons.toml. Values only.

A route says which requests it takes, and which models may answer them. The first route that fits a request takes it. Does not know: how a request
is read, how a model is chosen among several (`policy.objective`).
"""

from typing import Annotated, Literal

import msgspec

from jevons.core.routed import Stage

Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Small = Annotated[float, msgspec.Meta(gt=0, le=0.5)]
Count = Annotated[int, msgspec.Meta(ge=0)]
Grader = Literal["same", "exact", "number", "choice", "json", "judge", "feedback"]


class Route(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One `[[routes]]` table: which requests, and who answers them."""

    name: str
    to: tuple[str, ...]
    """Model names, as a client would ask for them. The last is the reference: what the others are held against, and what answers when none may."""
    models: tuple[str, ...] = ("auto",)
    """Asked-for names (shell patterns) that it takes."""
    orgs: tuple[str, ...] = ()
    teams: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    agents: tuple[str, ...] = ()
    """Whose requests; empty = everybody's."""
    classes: tuple[str, ...] = ()
    """Of `[[classes]]`; empty = any request."""
    languages: tuple[str, ...] = ()
    """ISO 639-1 codes of the question's language."""
    modalities: tuple[str, ...] = ()
    """text, image, audio, file: those of the request must be among them; empty = any."""
    tools: bool | None = None
    """Only requests that offer tools (true), or that offer none (false)."""
    min_tokens: Count = 0
    max_tokens: Count = 0
    """About how long the prompt is; 0 = no bound."""
    choose: Literal["first", "learned", "cascade"] = "first"
    """first: the first of `to` that may be used. learned: the cheapest whose answer is believed to be good enough. cascade: the first answers, and its own
    confidence decides whether the reference is asked."""
    alpha: Small = 0.05
    """Share of what it routes away from the reference that may be worse for it."""
    delta: Small = 0.05
    """Chance that this share is passed all the same."""
    stage: Stage = Stage.OBSERVE
    """How far it may go; it goes there step by step, and back when quality drifts."""
    share: Share = 0.1
    """In the stage `share`: of what it would route."""
    sample: Share = 0.05
    """Of its requests, those that another model answers too, for labels."""
    sample_usd_day: str = "1"
    """What these may cost in a day; "0" = nothing is sampled."""
    grader: Grader = "same"
    """How an answer is judged against the reference's."""
    judge: str = ""
    """With grader = "judge": the model that judges."""
    latency_usd_s: str = "0"
    """What a second of waiting is worth: among good enough answers, cost and waiting are weighed by it."""


class TaskClass(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One `[[classes]]` table: requests like these examples belong to it."""

    name: str
    examples: tuple[str, ...]
    min_likeness: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.5
    """Cosine to the nearest example, from which a question belongs to it."""
