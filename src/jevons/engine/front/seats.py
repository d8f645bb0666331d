"""Which slot holds whose conversation, and who gets one next: decisions over values, without clock or socket.

A seat is one slot of llama.cpp's server. It keeps the keys and values of the last request it served, and llama.cpp reuses them for the
longest run of equal tokens. So a request that goes on from a seat's conversation takes that seat; any other takes the seat that is the least
loss: an empty one, then the one unused for longest. Nobody sits where another tenant's content still is: `Place.clear` says so.
"""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(slots=True)
class Seat:
    """One slot as we know it. Only `Seats` changes it."""

    index: int
    tenant: bytes = b""
    """Whose content is in it; empty: nobody's."""
    links: tuple[bytes, ...] = ()
    """The message chain of the request it served last."""
    busy: bool = False
    moving: bool = False
    """Busy only because its state is on the way out; it keeps its content."""
    used_s: float = 0.0
    unparked: bool = False
    """It holds something that no parked state has."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a request may sit, and what has to happen before."""

    seat: Seat
    matched: int
    """Links of the request that the seat's content has too."""
    clear: bool
    """Another tenant's content is in the slot: erase it first."""
    leaves: bool
    """What the slot holds belongs to another conversation and is parked nowhere: park it first."""


class Seats:
    """All slots of one engine."""

    def __init__(self, count: int) -> None:
        self.all = [Seat(index) for index in range(count)]

    def choose(self, tenant: bytes, links: Sequence[bytes]) -> Place | None:
        """The seat for a request, now busy; None if all are, or if its own will be free in a moment. `links`: its chain, shallow first."""
        if any(seat.moving and seat.tenant == tenant and seat.links and _goes_on(seat.links, links) for seat in self.all):
            return None
        free = [seat for seat in self.all if not seat.busy]
        if not free:
            return None
        going_on = [seat for seat in free if seat.tenant == tenant and seat.links and _goes_on(seat.links, links)]
        seat = (
            max(going_on, key=lambda one: len(one.links))
            if going_on
            else min(free, key=lambda one: (bool(one.tenant), one.used_s))
        )
        seat.busy = True
        same = seat.tenant == tenant
        matched = common(seat.links, links) if same else 0
        return Place(seat, matched, bool(seat.tenant) and not same, seat.unparked and not going_on)

    def donor(self, tenant: bytes, links: Sequence[bytes], than: int) -> Seat | None:
        """An idle seat with unparked content of this tenant that matches more than `than` links: worth parking, to start from it elsewhere."""
        found = [s for s in self.all if not s.busy and s.unparked and s.tenant == tenant and common(s.links, links) > than]
        return max(found, key=lambda one: common(one.links, links)) if found else None

    def leave(
        self, seat: Seat, now_s: float, tenant: bytes = b"", links: tuple[bytes, ...] = (), *, unparked: bool = False
    ) -> None:
        """The seat is free again, and holds this."""
        seat.busy, seat.used_s = False, now_s
        seat.tenant, seat.links, seat.unparked = tenant, links, unparked

    def idle_since(self, before_s: float) -> Seat | None:
        """A free seat with unparked content that nobody used since `before_s`: the one that waited longest."""
        waiting = [seat for seat in self.all if not seat.busy and seat.unparked and seat.used_s <= before_s]
        return min(waiting, key=lambda one: one.used_s) if waiting else None


def common(held: Sequence[bytes], asked: Sequence[bytes]) -> int:
    """Leading links that both have. A request's middle may be left out (labels.py), so what counts is the last link of `asked` that is held."""
    known = set(held)
    return max((place for place, link in enumerate(asked, 1) if link in known), default=0)


def _goes_on(held: Sequence[bytes], asked: Sequence[bytes]) -> bool:
    """Whether a request contains all that the seat's last one had."""
    return held[-1] in asked
