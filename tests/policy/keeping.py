"""What policy is told by a ledger, kept in memory: the posts so far, with whom they were for."""

from collections.abc import Iterator
from typing import NamedTuple

from jevons.policy.amounts import Amounts
from jevons.policy.rules import Rule, Scope, Who, matches


class Post(NamedTuple):
    """One posted call or correction. `line`: labels from its root run to its own."""

    at_ms: int
    who: Who
    line: tuple[str, ...]
    model: str
    amounts: Amounts


def counts(rule: Rule, subject: str, who: Who, line: tuple[str, ...], model: str) -> bool:
    """Does a call count in the account that the rule has for the subject? Said once more, in other words than policy's."""
    names = ((rule.org, who.org), (rule.team, who.team), (rule.key, who.key), (rule.agent, who.agent), (rule.model, model))
    if not all(matches(name, pattern) for pattern, name in names):
        return False
    subjects = {
        Scope.ORG: {f"org:{who.org}"},
        Scope.TEAM: {f"team:{who.org}/{who.team}"} if who.team else set(),
        Scope.KEY: {f"key:{who.key}"},
        Scope.AGENT: {f"agent:{who.key}/{who.agent}"} if who.agent else set(),
        Scope.RUN: {f"run:{who.key}/{label}" for label in line},
        Scope.CHILD: {f"run:{who.key}/{label}" for label in line[1:]},
    }
    return subject in subjects[rule.scope]


class Kept:
    """A `policy.books.History` over a list."""

    def __init__(self) -> None:
        self.posts: list[Post] = []
        self.overruns: dict[tuple[str, int], int] = {}
        self.grants: dict[tuple[str, int], int] = {}
        self.asked: list[tuple[str, str | None, int]] = []
        """(rule's name, run, since when) of each question."""

    def posted(self, rule: Rule, who: Who, run: str | None, since_ms: int) -> Iterator[tuple[int, int]]:
        self.asked.append((rule.name, run, since_ms))
        of_run = Scope.RUN, Scope.CHILD
        assert (run is not None) is (rule.scope in of_run)
        mine = {
            Scope.ORG: f"org:{who.org}",
            Scope.TEAM: f"team:{who.org}/{who.team}",
            Scope.KEY: f"key:{who.key}",
            Scope.AGENT: f"agent:{who.key}/{who.agent}",
        }.get(rule.scope, f"run:{who.key}/{run}")
        for post in self.posts:
            if post.at_ms >= since_ms and counts(rule, mine, post.who, post.line, post.model):
                yield post.at_ms, post.amounts[rule.index]

    def overrun(self, label: str, window_ms: int) -> int:
        return self.overruns.get((label, window_ms), 0)

    def granted(self, label: str, window_ms: int) -> int:
        return self.grants.get((label, window_ms), 0)
