"""Which run a request continues that names none: a conversation names itself, since each request repeats the one before.

Comes in: links (core/chain.py): link i of a request stands for its messages 0 to i. Goes out: the run whose latest request lies at the
beginning of this one, or the run that this one branches off. Runs that were found so are denied by their caps like others, and never
granted extra: nothing here is authority.

The *head* of a request is its last link. The rules, by the longest part of a request that is a head which the same key sent before:

    the latest head of a run          the request continues that run; an equal request too: a retry, or a loop that is stuck
    an earlier head of a run          an answer lies within, so both share a history: a child of that run
    the first of several of a root    they share an opening and no answer: two users may both begin with "hi". A root of its own
    none                              a root

Does not know: messages, clocks (every instant is given), how runs are called.
"""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Literal, NamedTuple

from jevons.core.limits import LINEAGE_NAMES_MAX, LINEAGE_NAMES_OF_RUN_MAX, LINEAGE_TTL_S

_BATCHES = 4_096
"""To find the key that has the most, all are looked at: so it makes room for this part of all at once."""


class Found(NamedTuple):
    """What a request comes from."""

    run_id: str
    kind: Literal["continues", "child"]
    length: int
    """Its first messages, so many, are the request that was found."""
    identity: bytes
    """The identity link of that request; empty if `remember` was given none."""


class _Head:
    __slots__ = ("answered", "identity", "run")

    def __init__(self, run: "_Run", answered: bool, identity: bytes) -> None:
        self.run = run
        self.answered = answered
        """Another request of its run, or of the one it branches off, came before: an answer lies within."""
        self.identity = identity


class _Run:
    __slots__ = ("head", "last_ms", "names", "run_id")

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id
        self.head: _Head | None = None
        """Of its latest request."""
        self.last_ms = 0
        self.names: list[bytes] = []
        """Links under which its heads are found, oldest first."""


class _Kin:
    """What one key sent."""

    __slots__ = ("heads", "names", "runs")

    def __init__(self) -> None:
        self.heads: dict[bytes, _Head] = {}
        self.runs: OrderedDict[str, _Run] = OrderedDict()
        """The one used last stands last. (A plain dict finds its first item ever more slowly, the more were taken from its front.)"""
        self.names = 0

    def latest(self, run_id: str) -> _Run:
        run = self.runs.get(run_id)
        if run is None:
            run = self.runs[run_id] = _Run(run_id)
        self.runs.move_to_end(run_id)
        return run

    def drop_name(self, run: _Run) -> None:
        """Forget a run's oldest name, unless another run has taken it since."""
        name = run.names.pop(0)
        self.names -= 1
        head = self.heads.get(name)
        if head is not None and head.run is run:
            del self.heads[name]

    def drop_oldest(self) -> None:
        _, run = self.runs.popitem(last=False)
        while run.names:
            self.drop_name(run)


class Lineage:
    """Requests by their heads, for each key apart. Bounded: when it is full, the key with the most lets go of its oldest run."""

    def __init__(
        self,
        names_max: int = LINEAGE_NAMES_MAX,
        names_of_run_max: int = LINEAGE_NAMES_OF_RUN_MAX,
        ttl_ms: int = LINEAGE_TTL_S * 1000,
    ) -> None:
        self._kin: dict[int, _Kin] = {}
        self._names_max = names_max
        self._names_of_run_max = names_of_run_max
        self._ttl_ms = ttl_ms
        self._names = 0
        self._batch = max(1, names_max // _BATCHES)

    def __len__(self) -> int:
        """Links that are remembered."""
        return self._names

    def find(self, key_id: int, links: Sequence[bytes], now_ms: int) -> Found | None:
        """What a request of this key comes from; None = it begins a run. `links`: all raw links, or all identity links."""
        kin = self._kin.get(key_id)
        if kin is None:
            return None
        heads, rested_ms = kin.heads, now_ms - self._ttl_ms
        for place in range(len(links) - 1, -1, -1):
            head = heads.get(links[place])
            if head is None or head.run.last_ms < rested_ms:
                continue
            if head is head.run.head:
                return Found(head.run.run_id, "continues", place + 1, head.identity)
            return Found(head.run.run_id, "child", place + 1, head.identity) if head.answered else None
        return None

    def remember(
        self, key_id: int, run_id: str, links: Sequence[bytes], now_ms: int, *, identity: bytes = b"", child: bool = False
    ) -> None:
        """This request was the latest of that run. `identity`: its last identity link, under which it is found too. `child`: the
        run is new and branches off another."""
        if not links:
            return
        kin = self._kin.get(key_id) or self._kin.setdefault(key_id, _Kin())
        names_before = kin.names
        run = kin.latest(run_id)
        run.last_ms = now_ms
        names = (links[-1], identity) if identity else (links[-1],)
        head = run.head
        if head is None or all(kin.heads.get(name) is not head for name in names):
            head = run.head = _Head(run, head is not None or child, identity)
        for name in names:
            if kin.heads.get(name) is not head:
                kin.heads[name] = head
                run.names.append(name)
                kin.names += 1
        while len(run.names) > self._names_of_run_max:
            kin.drop_name(run)
        while kin.runs[next(iter(kin.runs))].last_ms < now_ms - self._ttl_ms:
            kin.drop_oldest()
        self._names += kin.names - names_before
        while self._names > self._names_max:
            self._make_room()

    def _make_room(self) -> None:
        kin = max(self._kin.values(), key=lambda each: each.names)
        names_before = kin.names
        while kin.names > max(0, names_before - self._batch):
            kin.drop_oldest()
        self._names += kin.names - names_before
