"""Originals of trimmed tool output: whose they are, how long they stay, how much they may take."""

from hypothesis import given, settings
from hypothesis import strategies as st

from jevons.cache.originals import Originals

ORGS = ["a", "b"]
REFS = ["0", "1", "2"]


def test_an_original_is_there_for_its_time_and_longer_if_it_is_sent_again() -> None:
    kept = Originals(10_000, ttl_s=10)
    kept.put("a", "0", b"raw", b"small", 0)
    kept.put("a", "1", b"other", b"small", 5)
    found = kept.get("a", "0", 9)
    assert found is not None and (found.raw, found.small) == (b"raw", b"small")
    assert kept.get("a", "0", 10) is None
    kept.put("a", "1", b"other", b"small", 14)
    assert kept.get("a", "1", 20) is not None
    assert kept.bytes_held < 600, "what is past its time is let go"


def test_the_organisation_that_has_the_most_lets_go_first() -> None:
    kept = Originals(4_000, ttl_s=10)
    kept.put("quiet", "0", b"x" * 200, b"", 0)
    for number in range(50):
        kept.put("loud", str(number), b"x" * 200, b"", 1)
    assert kept.get("quiet", "0", 2) is not None
    assert kept.get("loud", "0", 2) is None and kept.get("loud", "49", 2) is not None
    assert kept.fits(b"x" * 1_500) and not kept.fits(b"x" * 2_000)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(ORGS), st.sampled_from(REFS), st.integers(0, 900), st.integers(0, 3)), max_size=40))
def test_it_never_gives_what_another_put_and_never_takes_more_than_it_may(
    puts: list[tuple[str, str, int, int]],
) -> None:
    kept, now_s, latest = Originals(3_000, ttl_s=5), 0, {}
    for org, ref, size, later in puts:
        now_s += later
        raw = org.encode() * size
        kept.put(org, ref, raw, b"", now_s)
        latest[org, ref] = raw
        assert kept.bytes_held <= 3_000
        for one in ORGS:
            for name in REFS:
                found = kept.get(one, name, now_s)
                assert found is None or found.raw == latest[one, name]
