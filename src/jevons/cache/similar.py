"""Which kept answers are near a question: their codes in memory, bounded in bytes and number; never on the disk, and no text among them.

Comes in: a place (organisation, model, everything of a request but its question), a question's code, the key under which the exact cache
keeps its answer. Goes out: the nearest entries of that place. Each organisation has a partition of its own, and each place a scan of
its own in it: what another organisation or another context stored is not passed over, it is not there. An organisation that has more than
its share loses entries first, the ones used longest ago. With each entry stands what it has proved, with each organisation and model what was learnt
of them (policy/semantic.py). Does not know: texts, answers, whether one is given.
"""

from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

import msgspec

from jevons.core.limits import SIMILAR_ENTRY_BYTES, SIMILAR_MODELS_MAX, SIMILAR_PLACE_BYTES, SIMILAR_TIDIED
from jevons.policy.semantic import NEIGHBOURS, Partition, Proof
from jevons.quant.scan import Code, Coder, Flat


class Place(NamedTuple):
    """Where questions may be answered by each other's answers."""

    org: str
    model: str
    context: bytes
    """A digest of all that is asked besides the question: what was said before, tools, every parameter."""


class Entry(msgspec.Struct, gc=False):
    """One question that was answered. It refers to nothing that refers to it, so the collector need not look at it."""

    key: bytes
    """Of its answer in the exact cache."""
    answer: int
    """Entries whose answers were judged to be the same have one number."""
    proof: Proof
    place: Place
    number: int
    """In its place's scan."""


class Near(NamedTuple):
    """An entry, and how near it is."""

    similarity: float
    """Cosine, at most 1."""
    entry: Entry


class _Space:
    """One place's codes, and the entry of each."""

    __slots__ = ("entries", "flat", "place")

    def __init__(self, place: Place, coder: Coder) -> None:
        self.place = place
        self.flat = Flat(coder)
        self.entries: list[Entry] = []


class _Partition:
    """One organisation's entries, the one used longest ago first."""

    __slots__ = ("bytes", "entries", "learnt", "spaces")

    def __init__(self) -> None:
        self.entries: OrderedDict[bytes, Entry] = OrderedDict()
        self.spaces: dict[tuple[str, bytes], _Space] = {}
        self.learnt: OrderedDict[str, Partition] = OrderedDict()
        self.bytes = 0


class SimilarAnswers:
    """All organisations' entries. Lives on one event loop."""

    def __init__(self, coder: Coder, entries_max: int, bytes_max: int) -> None:
        self._coder = coder
        self._entries_max = entries_max
        self._bytes_max = bytes_max
        self._partitions: dict[str, _Partition] = {}
        self._count = 0
        self.bytes = 0
        self.displaced = 0
        """Entries that went because room was needed."""

    def __len__(self) -> int:
        return self._count

    @property
    def orgs(self) -> int:
        return len(self._partitions)

    def nearest(self, place: Place, code: Code) -> list[Near]:
        """At most NEIGHBOURS entries of this place, the nearest first."""
        partition = self._partitions.get(place.org)
        space = partition.spaces.get((place.model, place.context)) if partition is not None else None
        if space is None:
            return []
        return [Near(similarity, space.entries[number]) for number, similarity in space.flat.nearest(code, NEIGHBOURS)]

    def learnt(self, place: Place) -> Partition:
        """What is known of answers by similarity in this organisation and model: one bound holds for all of its contexts."""
        partition = self._partitions.setdefault(place.org, _Partition())
        known = partition.learnt.setdefault(place.model, Partition())
        partition.learnt.move_to_end(place.model)
        if len(partition.learnt) > SIMILAR_MODELS_MAX:
            partition.learnt.popitem(last=False)
        return known

    def used(self, entry: Entry) -> None:
        """Its answer was given: it stays longest."""
        partition = self._partitions.get(entry.place.org)
        if partition is not None and partition.entries.get(entry.key) is entry:
            partition.entries.move_to_end(entry.key)

    def add(self, place: Place, code: Code, key: bytes, answer: int, proof: Proof) -> None:
        """An answered question; an earlier one whose answer has the same key goes."""
        partition = self._partitions.setdefault(place.org, _Partition())
        if (earlier := partition.entries.get(key)) is not None:
            self.remove(earlier)
        space = partition.spaces.get((place.model, place.context))
        if space is None:
            space = partition.spaces[place.model, place.context] = _Space(place, self._coder)
            self._weigh(partition, SIMILAR_PLACE_BYTES)
        before = space.flat.nbytes
        entry = Entry(key, answer, proof, space.place, space.flat.add(code))
        space.entries.append(entry)
        partition.entries[key] = entry
        self._count += 1
        self._weigh(partition, SIMILAR_ENTRY_BYTES + space.flat.nbytes - before)
        while self._count > self._entries_max or self.bytes > self._bytes_max:
            self._displace(partition)

    def remove(self, entry: Entry) -> None:
        """Forget an entry, if it is still there."""
        partition = self._partitions.get(entry.place.org)
        if partition is None or partition.entries.get(entry.key) is not entry:
            return
        del partition.entries[entry.key]
        where = entry.place.model, entry.place.context
        space = partition.spaces[where]
        before = space.flat.nbytes
        last = space.entries[space.flat.remove(entry.number)]
        space.entries[entry.number], last.number = last, entry.number
        space.entries.pop()
        self._count -= 1
        self._weigh(partition, space.flat.nbytes - before - SIMILAR_ENTRY_BYTES)
        if not space.entries:
            del partition.spaces[where]
            self._weigh(partition, -SIMILAR_PLACE_BYTES)

    def tidy(self, org: str, is_kept: Callable[[bytes], bool]) -> None:
        """Of the entries used longest ago those go whose answers are not kept, until one is; at most SIMILAR_TIDIED at a time."""
        partition = self._partitions.get(org)
        entries = partition.entries if partition is not None else {}
        for _ in range(SIMILAR_TIDIED):
            oldest = next(iter(entries.values()), None)
            if oldest is None or is_kept(oldest.key):
                return
            self.remove(oldest)

    def erase(self, org: str | None) -> int:
        """Forget an organisation, what was learnt of it too, or all. Returns how many entries it had."""
        gone = [self._partitions.pop(org, None)] if org is not None else list(self._partitions.values())
        if org is None:
            self._partitions = {}
        self.bytes -= sum(one.bytes for one in gone if one is not None)
        entries = sum(len(one.entries) for one in gone if one is not None)
        self._count -= entries
        return entries

    def _displace(self, partition: _Partition) -> None:
        """One entry goes: of the organisation that stores another if it has its share, else of the one that has most."""
        if partition.bytes * len(self._partitions) < self.bytes:
            partition = max(self._partitions.values(), key=lambda one: one.bytes)
        self.remove(next(iter(partition.entries.values())))
        self.displaced += 1

    def _weigh(self, partition: _Partition, more: int) -> None:
        partition.bytes += more
        self.bytes += more
