"""The book-keeping of the park, against a plain set and through every order of events."""

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from jevons.engine.park import shelf as shelf_module
from jevons.engine.park.shelf import Block, Shelf
from jevons.policy.park import Learnt, Lru, Prefill

CAPACITY = 60
EVEN = Prefill(1e-3, 1e12)


def key(*path: int) -> bytes:
    return bytes(path)


def state(*path: int, size: int = 10) -> list[Block]:
    """The blocks of a conversation; each is named by all turns up to its end."""
    return [
        Block(key(*path[: end + 1]), key(*path[:end]) if end else None, size, 256, end * 256, len(path) * 256)
        for end in range(len(path))
    ]


def keys(*path: int) -> list[bytes]:
    return [block.key for block in state(*path)]


def park(shelf: Shelf, now_s: float, *path: int) -> list[bytes]:
    """Offers a conversation; what went for it."""
    return [gone for block in state(*path) for gone in shelf.offer(block, now_s).evicted]


def test_a_prefix_is_found_and_nothing_after_a_gap():
    shelf = Shelf(CAPACITY)
    assert park(shelf, 0.0, 1, 2, 3) == []
    assert shelf.lookup(keys(1, 2, 3, 4), 10.0) == 3 == shelf.leading(keys(1, 2, 3, 4))
    assert shelf.lookup(keys(1, 9), 11.0) == 1 and shelf.lookup(keys(9), 12.0) == 0
    assert len(shelf) == 3 and shelf.bytes_held == 30


def test_lru_lets_the_oldest_go_from_its_end():
    shelf = Shelf(CAPACITY, Lru(), EVEN)
    park(shelf, 0.0, 1, 2, 3)
    park(shelf, 10.0, 4, 5, 6)
    assert park(shelf, 20.0, 7, 8) == [key(1, 2, 3), key(1, 2)]
    assert shelf.lookup(keys(1), 30.0) == 1
    assert park(shelf, 40.0, 9) == [key(4, 5, 6)]  # the one just used stays, though it came first


def test_a_common_beginning_stays_while_anything_builds_on_it():
    shelf = Shelf(CAPACITY, Lru(), EVEN)
    park(shelf, 0.0, 0, 1)
    for branch in (2, 3, 4, 5):
        park(shelf, branch * 10.0, 0, branch)
    assert park(shelf, 100.0, 7, 8, 9) == [key(0, 1), key(0, 2), key(0, 3)]
    assert key(0) in shelf


def test_an_orphan_is_refused():
    shelf = Shelf(CAPACITY)
    assert shelf.offer(state(1, 2)[1], 0.0) == (False, [])
    assert len(shelf) == 0 == shelf.bytes_held


def test_what_is_larger_than_the_shelf_is_refused_and_costs_nothing():
    shelf = Shelf(CAPACITY)
    park(shelf, 0.0, 1, 2)
    assert shelf.offer(state(3, size=CAPACITY + 1)[0], 1.0) == (False, [])
    assert len(shelf) == 2


def test_a_block_not_worth_its_price_is_refused_though_there_is_room():
    dear = Shelf(CAPACITY, Learnt(), EVEN, price=1e9)
    assert not dear.offer(state(1)[0], 0.0).admitted


def test_a_path_longer_than_the_shelf_keeps_its_beginning():
    shelf = Shelf(CAPACITY, Lru(), EVEN)
    assert park(shelf, 0.0, 1, 2, 3, 4, 5, 6, 7, 8) == []
    assert shelf.leading(keys(1, 2, 3, 4, 5, 6, 7, 8)) == 6


def test_offered_again_is_held_once():
    shelf = Shelf(CAPACITY)
    park(shelf, 0.0, 1, 2)
    assert [shelf.offer(block, 50.0) for block in state(1, 2)] == [(True, []), (True, [])]
    assert shelf.bytes_held == 20


def test_growing_makes_a_conversation_young_again():
    shelf = Shelf(CAPACITY, Lru(), EVEN)
    park(shelf, 0.0, 1, 2)
    park(shelf, 10.0, 3, 4)
    park(shelf, 20.0, 1, 2, 5)
    assert park(shelf, 30.0, 6, 7) == [key(3, 4)]


def test_a_thousand_turns_without_eviction_leave_the_order_right():
    shelf = Shelf(CAPACITY, Lru(), EVEN)
    park(shelf, 0.0, 3, 4)
    for turn in range(1, 1_000):
        assert shelf.lookup(keys(1, 2), turn * 10.0) == (2 if turn > 1 else 0)
        park(shelf, turn * 10.0, 1, 2)
    assert park(shelf, 20_000.0, 5, 6, 7, 8) == [key(3, 4), key(3)]


def test_dropping_takes_what_builds_on_it():
    shelf = Shelf(CAPACITY)
    park(shelf, 0.0, 1, 2, 3)
    park(shelf, 1.0, 1, 4)
    dropped = shelf.drop(key(1))
    assert sorted(dropped) == sorted([key(1), key(1, 2), key(1, 2, 3), key(1, 4)])
    assert dropped[-1] == key(1) and dropped.index(key(1, 2, 3)) < dropped.index(key(1, 2))
    assert shelf.bytes_held == 0 and shelf.drop(key(1)) == []


def test_it_learns_to_keep_the_conversation_that_goes_on():
    """One goes on every minute; meanwhile singles come that fill the shelf. LRU loses it each time; what was learnt keeps it."""

    def found(shelf: Shelf) -> list[int]:
        counts = []
        for minute in range(60):
            counts.append(shelf.lookup(keys(200, 201), minute * 60.0))
            park(shelf, minute * 60.0, 200, 201)
            for single in range(10):
                park(shelf, minute * 60.0 + 5.0 * (single + 1), (minute * 10 + single) % 200)
        return counts

    assert sum(found(Shelf(100, Lru(), EVEN))) == 0
    assert sum(found(Shelf(100, Learnt(), EVEN))[30:]) >= 50


class Machine(RuleBasedStateMachine):
    """Any order of parking, asking, dropping and waiting."""

    def __init__(self) -> None:
        super().__init__()
        self.shelf = Shelf(CAPACITY, Learnt(), Prefill(1e-3, 1_000))
        self.held: dict[bytes, Block] = {}
        self.now_s = 0.0

    paths = st.lists(st.integers(0, 2), min_size=1, max_size=5)

    @rule(path=paths, size=st.integers(1, 25), back=st.booleans())
    def park(self, path: list[int], size: int, back: bool) -> None:
        blocks = state(*path, size=size)
        for block in blocks if not back else reversed(blocks):
            offered = self.shelf.offer(block, self.now_s)
            self.gone(offered.evicted)
            if offered.admitted:
                self.held.setdefault(block.key, block)
            else:
                assert block.key not in self.shelf

    @rule(path=paths)
    def ask(self, path: list[int]) -> None:
        found = self.shelf.lookup(keys(*path), self.now_s)
        assert found == self.shelf.leading(keys(*path))
        assert found == next((place for place, each in enumerate(keys(*path)) if each not in self.held), len(path))

    @rule(path=paths)
    def drop(self, path: list[int]) -> None:
        dropped = self.shelf.drop(key(*path))
        assert set(dropped) == {each for each in self.held if each.startswith(key(*path))}
        self.gone(dropped)

    @rule(seconds=st.sampled_from([0.5, 3.0, 100.0, 10_000.0]))
    def wait(self, seconds: float) -> None:
        self.now_s += seconds

    def gone(self, keys: list[bytes]) -> None:
        """Each key that goes was held, goes once, and nothing that builds on it is left."""
        for each in keys:
            del self.held[each]
            assert not any(block.parent == each for block in self.held.values())

    @invariant()
    def books_agree(self) -> None:
        assert all(each in self.shelf for each in self.held)
        assert len(self.shelf) == len(self.held)
        assert self.shelf.bytes_held == sum(block.size_bytes for block in self.held.values()) <= CAPACITY
        assert all(block.parent is None or block.parent in self.held for block in self.held.values())


class ForgetfulMachine(Machine):
    """The same, remembering hardly anything of what went."""

    def __init__(self) -> None:
        super().__init__()
        self.kept = shelf_module.REMEMBERED_MIN, shelf_module.REMEMBERED_PER_HELD
        shelf_module.REMEMBERED_MIN, shelf_module.REMEMBERED_PER_HELD = 2, 0

    def teardown(self) -> None:
        shelf_module.REMEMBERED_MIN, shelf_module.REMEMBERED_PER_HELD = self.kept


TestShelf = Machine.TestCase
TestShelf.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
TestForgetfulShelf = ForgetfulMachine.TestCase
TestForgetfulShelf.settings = TestShelf.settings
