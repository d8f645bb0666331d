from hypothesis import given, settings
from hypothesis import strategies as st

from jevons.engine.park.trails import Match, Trail, Trails

ACME, GLOBEX = b"a" * 16, b"g" * 16
KEYS = [bytes([n]) * 32 for n in range(8)]
LINKS = [bytes([n]) * 16 for n in range(8)]


def test_the_deepest_known_link_leads_to_the_newest_state() -> None:
    trails = Trails()
    trails.remember(ACME, LINKS[:2], KEYS[:1], 200)
    trails.learn(ACME, LINKS[1], 180)
    assert trails.find(ACME, LINKS) == Match(Trail((KEYS[0],), 200), 2, 200)  # it goes on where that state was left
    trails.remember(ACME, LINKS[:4], KEYS[:3], 700)
    newest = Trail(tuple(KEYS[:3]), 700)
    assert trails.find(ACME, LINKS) == Match(newest, 4, 700)
    assert trails.find(ACME, LINKS[:3]) == Match(newest, 3, None)  # nobody has said how long that is
    assert trails.find(ACME, LINKS[:2]) == Match(newest, 2, 180)
    assert trails.find(ACME, [LINKS[0], LINKS[7]]) == Match(newest, 1, None)
    assert trails.find(ACME, LINKS[5:]) is None


def test_tenants_have_trails_of_their_own() -> None:
    trails = Trails()
    trails.remember(ACME, LINKS[:1], KEYS[:1], 1)
    trails.remember(GLOBEX, LINKS[:1], KEYS[1:2], 2)
    trails.forget(ACME)
    assert trails.find(ACME, LINKS) is None
    assert trails.find(GLOBEX, LINKS) == Match(Trail((KEYS[1],), 2), 1, 2)


def test_what_was_used_longest_ago_is_let_go() -> None:
    trails = Trails(links_max=3, keys_max=100)
    for n in range(3):
        trails.remember(ACME, [LINKS[n]], [KEYS[n]], n)
    trails.find(ACME, [LINKS[0]])
    trails.remember(ACME, [LINKS[3]], [KEYS[3]], 3)
    assert [trails.find(ACME, [link]) is not None for link in LINKS[:4]] == [True, False, True, True]
    assert len(trails) == 3


def test_one_state_over_the_bounds_leaves_nothing_behind() -> None:
    trails = Trails(links_max=4, keys_max=4)
    trails.remember(ACME, LINKS[:2], KEYS[:5], 5)
    assert len(trails) == 0
    trails.remember(ACME, LINKS[:6], KEYS[:4], 4)
    assert len(trails) == 4


def test_a_file_gives_back_all_but_what_is_newer_or_gone() -> None:
    trails = Trails()
    trails.remember(ACME, LINKS[:2], KEYS[:2], 300)
    trails.learn(ACME, LINKS[0], 40)
    trails.remember(ACME, LINKS[3:5], KEYS[4:6], 500)
    trails.remember(GLOBEX, LINKS[:1], KEYS[:1], 9)
    filed = trails.changed()
    assert set(filed) == {ACME, GLOBEX}
    assert trails.changed() == {}

    again = Trails()
    again.remember(ACME, LINKS[:1], KEYS[7:], 100)
    again.restore(ACME, filed[ACME], present=KEYS[:2])
    assert again.find(ACME, LINKS[:2]) == Match(Trail(tuple(KEYS[:2]), 300), 2, 300)
    assert again.find(ACME, LINKS[:1]) == Match(Trail((KEYS[7],), 100), 1, 100)
    again.remember(ACME, [LINKS[0], LINKS[6]], KEYS[:1], 200)
    assert again.find(ACME, LINKS[:1]) == Match(Trail((KEYS[0],), 200), 1, 40)
    assert again.find(ACME, LINKS[3:5]) is None
    for damaged in (b"", b"\xc1", filed[ACME][:-1], b"\x93\x01\x02\x03"):
        again.restore(ACME, damaged, present=KEYS)
    assert len(again) == 3


step = st.tuples(st.sampled_from([ACME, GLOBEX]), st.lists(st.sampled_from(LINKS), max_size=6, unique=True), st.integers(0, 5))


@settings(max_examples=60, deadline=None)
@given(st.lists(step, max_size=12))
def test_it_agrees_with_a_plain_table(steps: list[tuple[bytes, list[bytes], int]]) -> None:
    trails, table, ends = Trails(), {}, {}
    for tag, links, keys in steps:
        trails.remember(tag, links, KEYS[:keys], 10 * keys)
        if links and keys:
            table.update({(tag, link): keys for link in links})
            ends.update({(tag, link): links[-1] for link in links})
    for tag in (ACME, GLOBEX):
        for link in LINKS:
            found = trails.find(tag, [link])
            keys = table.get((tag, link))
            whole = 10 * keys if keys and ends[tag, link] == link else None
            expected = None if keys is None else Match(Trail(tuple(KEYS[:keys]), 10 * keys), 1, whole)
            assert found == expected
    assert len(trails) == len(table)
