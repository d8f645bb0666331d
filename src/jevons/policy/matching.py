"""Which `[[routes]]` table takes a request: the first that fits who asks, the name that is asked for, and what the request is.

Comes in: routes in the operator's order, a caller, a name, `Features`. Goes out: a route, or None. Two steps, for the first needs nothing of the
request's content, and most requests end there. Does not know: how a request is read, which models there are.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from jevons.core.features import Features
from jevons.policy.routes import Route
from jevons.policy.rules import Who, matches

TEXT = ("text",)
"""What a request holds that holds no picture, sound or file. Text beside those does not count: it is always there."""


class Needs(NamedTuple):
    """What has to be read of a request before routes can be held against it."""

    body: bool
    """Tools, modalities, length."""
    language: bool
    task: bool


def claiming(routes: Sequence[Route], asked: str, who: Who) -> tuple[Route, ...]:
    """Those that take this name from this caller, in order. All are shell patterns."""
    return tuple([route for route in routes if covers(route.models, asked) and _is_for(route, who)])


def fitting(routes: Iterable[Route], features: Features) -> Route | None:
    """The first that fits the request."""
    return next((route for route in routes if _fits(route, features)), None)


def needs(routes: Sequence[Route]) -> Needs:
    """What `fitting` looks at for these."""
    return Needs(
        body=any(route.modalities or route.tools is not None or route.min_tokens or route.max_tokens for route in routes),
        language=any(route.languages for route in routes),
        task=any(route.classes for route in routes),
    )


def covers(patterns: Sequence[str], name: str) -> bool:
    """Is the name among them, as a shell pattern or as it is written?"""
    return any(matches(name, pattern) for pattern in patterns)


def _is_for(route: Route, who: Who) -> bool:
    pairs = ((route.orgs, who.org), (route.teams, who.team), (route.keys, who.key), (route.agents, who.agent))
    return all(not patterns or covers(patterns, name) for patterns, name in pairs)


def _fits(route: Route, features: Features) -> bool:
    if route.tools is not None and route.tools is not bool(features.tools):
        return False
    if features.input_tokens < route.min_tokens or (route.max_tokens and features.input_tokens > route.max_tokens):
        return False
    if route.modalities and not set(features.modalities or TEXT).issubset(route.modalities):
        return False
    return (not route.languages or features.language in route.languages) and (not route.classes or features.task in route.classes)
