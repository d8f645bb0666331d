"""What the operator says of routing: `[[routes]]` and `[[classes]]` in jevons.toml. Values only.

A route says which requests it takes, and which models may answer them. The first route that fits a request takes it (`policy.matching`). Does not
know: how a request is read, how a model is chosen among several (`policy.objective`).
"""

import re
from collections.abc import Callable, Container, Sequence
from typing import Annotated, Literal

import msgspec

from jevons.core.money import parse_usd
from jevons.core.routed import Stage

AUTO = "auto"
"""The name that a route takes if it says nothing else: a model that is nowhere, chosen for each request."""
OFF = "off"
"""In the place of a route's name: none."""
STUDENT = "student/"
"""Before the name of a student (`learn.student`) in `to`."""
STUDENTS = STUDENT.rstrip("/")
"""The upstream that answers for all of them."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Small = Annotated[float, msgspec.Meta(gt=0, le=0.5)]
Count = Annotated[int, msgspec.Meta(ge=0)]
Grader = Literal["same", "exact", "number", "choice", "json", "judge", "feedback"]
_ASKED: Container[Grader] = ("judge", "feedback")
"""Graders that are somebody: no answer is judged by them for nothing."""
Modality = Literal["text", "image", "audio", "file"]


class Route(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One `[[routes]]` table: which requests, and who answers them."""

    name: str
    to: tuple[str, ...]
    """Model names, as a client would ask for them. The last is the reference: what the others are held against, and what answers when none may."""
    models: tuple[str, ...] = (AUTO,)
    """Asked-for names (shell patterns) that it takes."""
    orgs: tuple[str, ...] = ()
    teams: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    agents: tuple[str, ...] = ()
    """Whose requests (shell patterns); empty = everybody's."""
    classes: tuple[str, ...] = ()
    """Of `[[classes]]`; empty = any request."""
    languages: tuple[str, ...] = ()
    """ISO 639-1 codes of the question's language."""
    modalities: tuple[Modality, ...] = ()
    """What the request may hold. One that holds a picture, a sound or a file fits if all that it holds is listed; `text` is for those that hold none
    of these. Empty = any."""
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


def check(
    routes: Sequence[Route], classes: Sequence[TaskClass], is_offered: Callable[[str], bool], languages: Container[str]
) -> None:
    """Raises ValueError that names what is wrong, and where. `is_offered`: does any upstream answer to this name? `languages`: codes that can be told."""
    for kind, names in (("routes", [route.name for route in routes]), ("classes", [one.name for one in classes])):
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"{kind}: each needs a name of its own, and {name!r} is there {names.count(name)} times")
            if not _NAME.fullmatch(name) or name == OFF:
                raise ValueError(
                    f"{kind}: {name!r} cannot be a name; use 1 to 64 letters, digits, dots, dashes, underscores, and not {OFF!r}"
                )
    for one in classes:
        if not any(example.strip() for example in one.examples):
            raise ValueError(f"class {one.name!r} has no examples; give it some questions that belong to it")
    for route in routes:
        try:
            _check(route, {one.name for one in classes}, is_offered, languages)
        except ValueError as error:
            raise ValueError(f"route {route.name!r}: {error}") from None


def _check(route: Route, classes: set[str], is_offered: Callable[[str], bool], languages: Container[str]) -> None:
    if not route.to:
        raise ValueError("`to` is empty; name the models that may answer, the one that the others are held against last")
    if route.grader == "judge" and not route.judge:
        raise ValueError('grader = "judge" needs a model that judges: judge = "MODEL"')
    if route.to[-1].startswith(STUDENT):
        raise ValueError(
            f"{route.to[-1]!r} is last, and what the others are held against cannot be a student; name its teacher last"
        )
    if route.choose == "first" and any(name.startswith(STUDENT) for name in route.to):
        raise ValueError('a student answers only where that is promised: choose = "learned"')
    for name in (*route.to, *((route.judge,) if route.grader == "judge" else ())):
        if set(name) & set("*?"):
            raise ValueError(f"{name!r} is a pattern; `to` and `judge` name models")
        if not is_offered(name):
            loop = "; a route cannot lead to a name that routes take" if name in (AUTO, *route.models) else ""
            raise ValueError(f"no upstream offers {name!r}{loop}. Add it under `models` of an upstream, or as [[models]]")
    if len(set(route.to)) < len(route.to):
        raise ValueError("a model is in `to` twice")
    if route.choose == "cascade" and len(route.to) > 2:
        raise ValueError(
            f'a cascade asks one model, and then the reference: choose = "cascade" takes two models in `to`, not {len(route.to)}'
        )
    if route.choose == "cascade" and route.to[0].startswith(STUDENT):
        raise ValueError('a student tells no confidence in its answer that a cascade could go by: choose = "learned"')
    if any(name.startswith(STUDENT) for name in route.to) and route.grader in _ASKED:
        raise ValueError(
            f'a student is held against all that its teacher answers, and grader = "{route.grader}" asks somebody for each;'
            ' use "same", "exact", "number", "choice" or "json"'
        )
    if route.choose == "cascade" and route.grader in _ASKED and route.stage in (Stage.SHARE, Stage.FULL):
        raise ValueError(
            f'grader = "{route.grader}" judges the answers of a cascade that are shown and never those that are not, so nothing could be promised; use'
            ' "same", "exact", "number", "choice" or "json", or stage = "shadow"'
        )
    if route.choose != "first" and len(route.to) < 2:
        raise ValueError(f'choose = "{route.choose}" needs at least two models in `to`')
    if route.max_tokens and route.min_tokens > route.max_tokens:
        raise ValueError(f"min_tokens is {route.min_tokens}, more than max_tokens, {route.max_tokens}")
    if unknown := [name for name in route.classes if name not in classes]:
        raise ValueError(f"no [[classes]] table has the name {unknown[0]!r}")
    if unknown := [code for code in route.languages if code not in languages]:
        raise ValueError(f'{unknown[0]!r} is no language that can be told; use ISO 639-1 codes such as "es"')
    for setting, value in (("sample_usd_day", route.sample_usd_day), ("latency_usd_s", route.latency_usd_s)):
        if parse_usd(value) < 0:
            raise ValueError(f"{setting} is {value}; it must not be less than 0")
