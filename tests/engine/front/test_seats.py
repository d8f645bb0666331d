"""Who sits where: a conversation finds its seat again, and nobody sits on another tenant's content unwarned."""

from hypothesis import given
from hypothesis import strategies as st

from jevons.engine.front.seats import Seats, common

A, B = b"tenant a", b"tenant b"


def chain(*names: str) -> tuple[bytes, ...]:
    return tuple(name.encode() for name in names)


def test_a_conversation_gets_its_seat_back() -> None:
    seats = Seats(3)
    first = seats.choose(A, chain("system", "one"))
    assert first is not None
    seats.leave(first.seat, 1.0, A, chain("system", "one"), unparked=True)
    other = seats.choose(A, chain("system", "two"))
    assert other is not None
    assert other.seat is not first.seat  # an empty seat is the lesser loss
    seats.leave(other.seat, 2.0, A, chain("system", "two"), unparked=True)
    again = seats.choose(A, chain("system", "one", "answer", "more"))
    assert again is not None
    assert again.seat is first.seat
    assert (again.matched, again.clear, again.leaves) == (2, False, False)


def test_a_stranger_takes_the_seat_unused_for_longest_and_what_is_there_leaves() -> None:
    seats = Seats(2)
    for at, name in enumerate(("one", "two")):
        place = seats.choose(A, chain(name))
        assert place is not None
        seats.leave(place.seat, float(at), A, chain(name), unparked=True)
    place = seats.choose(A, chain("three"))
    assert place is not None
    assert place.seat.links == chain("one")
    assert (place.matched, place.clear, place.leaves) == (0, False, True)
    foreign = seats.choose(B, chain("one"))
    assert foreign is not None
    assert (foreign.matched, foreign.clear, foreign.leaves) == (0, True, True)
    assert seats.choose(B, chain("one")) is None  # both are taken


def test_the_same_text_of_another_tenant_is_no_match() -> None:
    seats = Seats(1)
    place = seats.choose(A, chain("system", "one"))
    assert place is not None
    seats.leave(place.seat, 1.0, A, chain("system", "one"))
    place = seats.choose(B, chain("system", "one"))
    assert place is not None
    assert (place.matched, place.clear) == (0, True)


def test_a_donor_is_an_idle_seat_of_the_tenant_with_more_than_the_park_has() -> None:
    seats = Seats(2)
    place = seats.choose(A, chain("system", "one"))
    assert place is not None
    seats.leave(place.seat, 1.0, A, chain("system", "one"), unparked=True)
    assert seats.donor(A, chain("system", "two"), 0) is place.seat
    assert seats.donor(A, chain("system", "two"), 1) is None
    assert seats.donor(B, chain("system", "two"), 0) is None


def test_a_request_whose_middle_links_were_left_out_is_still_found() -> None:
    held = chain(*"abcdefgh")
    assert common(held, chain("a", "b", "g", "h", "i")) == 4
    assert common(held, chain("x", "y")) == 0


@given(st.lists(st.tuples(st.sampled_from([A, B]), st.integers(0, 3), st.booleans()), max_size=40))
def test_nobody_sits_on_a_foreign_content_unwarned(visits: list[tuple[bytes, int, bool]]) -> None:
    """Whoever gets a seat is told to clear it exactly when the slot holds another tenant's content; one seat serves one request at a time."""
    seats, slots, open_places, now = Seats(3), {0: b"", 1: b"", 2: b""}, [], 0.0
    for tenant, conversation, stays in visits:
        now += 1
        place = seats.choose(tenant, chain("system", str(conversation)))
        if place is None:
            assert len(open_places) == 3
            done, its_tenant = open_places.pop(0)
            seats.leave(done.seat, now, its_tenant, chain("system"), unparked=True)
            continue
        index = place.seat.index
        assert index not in {one.seat.index for one, _ in open_places}
        assert place.clear == (slots[index] not in (b"", tenant))
        slots[index] = tenant
        if stays:
            open_places.append((place, tenant))
        else:
            seats.leave(place.seat, now, tenant, chain("system", str(conversation)), unparked=True)
