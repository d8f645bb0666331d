"""What came of a replay: sums, and who was stopped where. Filled by a `World`, read by the report.

Does not know: how anything was decided.
"""

from collections import Counter

from jevons.replay.rows import Call

Whose = tuple[str, str]
"""(key, run); the run is "" where a call named none."""


class Stopped:
    """What one limit, fence or route stopped."""

    def __init__(self) -> None:
        self.requests = 0
        """Refused by it."""
        self.unmade = 0
        """Later requests of runs that it ended."""
        self.asked = 0
        """Of the refused ones: a person would have been asked."""
        self.nusd = 0
        """What all of these would have cost."""
        self.first: tuple[int, Whose] | None = None
        """(Unix ms, whose) of the first."""
        self.runs: Counter[Whose] = Counter()
        """What each run would have cost from there on."""


class Moved:
    """Calls of one agent that go to another model than they went to."""

    def __init__(self) -> None:
        self.calls = 0
        self.degraded = 0
        """By a limit that is nearly used up; the others by route."""
        self.input_nusd = 0
        """At the other model's price, with the same tokens. The rest of their cost is output's."""
        self.output_nusd = 0


class Tally:
    """One pass through a policy."""

    def __init__(self) -> None:
        self.calls = 0
        """Attempts that were made."""
        self.billed_nusd = 0
        self.list_nusd = 0
        self.estimated_nusd = 0
        """Of the billed: whole holds, of calls of which nobody knows what they used."""
        self.stopped: dict[str, Stopped] = {}
        self.moved: dict[tuple[str, str, str], Moved] = {}
        """(agent, model that it went to, model that it goes to)"""
        self.waits = 0
        self.waited_ms = 0
        self.cut = 0
        """Answers that would have been cut for their length, and were not."""
        self.longer = 0
        """Answers that were cut for their length, and might have gone on."""
        self.longer_nusd = 0
        """What these might have cost more, at most."""
        self.observed: Counter[str] = Counter()
        """Calls that an observed limit would have refused."""
        self.overruns: Counter[tuple[str, int, str]] = Counter()
        """(account, start of its window, cause) -> what came over its limit, in the unit of its measure."""
        self.fixed = 0
        """Calls that were taken as they stand: of before terms were recorded."""
        self.imported = 0
        self.spared = 0
        """Attempts that do not come because routes are others: shadows, judges, tries of cascades."""
        self.spared_nusd = 0
        """What these would have cost."""
        self.unknown_routes = 0
        """Attempts of routed requests of which too little was recorded for what the policy's routes say: they go where they went."""
        self.hindsight = 0
        """Thresholds that were made anew, from all labels."""
        self.unjudged = 0
        """Calls under a limit on repetition of which nobody looked whether they repeat."""

    def stop(self, name: str, call: Call, whose: Whose, nusd: int, *, asked: bool) -> None:
        """A request is refused."""
        stopped = self.stopped.setdefault(name, Stopped())
        stopped.requests += 1
        stopped.asked += asked
        stopped.first = stopped.first or (call.at_ms, whose)
        stopped.nusd += nusd
        stopped.runs[whose] += nusd

    def spare(self, nusd: int) -> None:
        """An attempt does not come because routes are others."""
        self.spared += 1
        self.spared_nusd += nusd

    def unmade(self, name: str, whose: Whose, nusd: int) -> None:
        """A request does not come any more: its run ended."""
        stopped = self.stopped[name]
        stopped.unmade += 1
        stopped.nusd += nusd
        stopped.runs[whose] += nusd

    def move(self, route: tuple[str, str, str], input_nusd: int, output_nusd: int, *, degraded: bool) -> None:
        """A call goes to another model."""
        moved = self.moved.setdefault(route, Moved())
        moved.calls += 1
        moved.degraded += degraded
        moved.input_nusd += input_nusd
        moved.output_nusd += output_nusd

    @property
    def refused(self) -> int:
        return sum(stopped.requests for stopped in self.stopped.values())

    @property
    def ended(self) -> int:
        return sum(stopped.unmade for stopped in self.stopped.values())
