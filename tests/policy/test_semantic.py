"""Serving by similarity under an error bound: what is never exceeded, what is learnt, what is noticed."""

from random import Random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jevons.policy.semantic import BANKED, CHECKED, NEIGHBOURS, Act, Decision, Neighbour, Partition, Proof

DELTA = 0.05
EASY = 0.5
"""Share of requests near which all neighbours agree."""


class World:
    """Requests whose neighbours are right as often as they agree: all alike 99 %, else 60 %. `turned`: meanings have changed."""

    def __init__(self, delta: float = DELTA) -> None:
        self.chance, self.partition, self.delta = Random(7), Partition(), delta
        self.proofs = [Proof()] * 50
        self.served = self.wrong = self.checked = 0

    def request(self, turned: bool = False) -> Decision:
        easy = self.chance.random() < EASY
        entry = self.chance.randrange(len(self.proofs))
        others = [Neighbour(0.7, 1 if easy else 2, self.proofs[entry])] * (NEIGHBOURS - 1)
        neighbours = [Neighbour(0.9 if easy else 0.75, 1, self.proofs[entry]), *others]
        right = self.chance.random() < (0.05 if turned else 0.99 if easy else 0.6)
        decision = self.partition.decide(neighbours, self.chance.random(), self.delta)
        if decision.act is not Act.EXPLORE:
            self.served += 1
            self.wrong += not right
            self.checked += decision.act is Act.CHECK
        if decision.act is not Act.SERVE:
            self.proofs[entry] = self.partition.observe(decision, neighbours[decision.index], right)
        return decision


def test_with_nothing_near_the_model_is_asked() -> None:
    decision = Partition().decide([], 0.5, DELTA)
    assert (decision.act, decision.index) == (Act.EXPLORE, -1)


def test_a_fresh_partition_explores_and_then_serves_what_is_sure() -> None:
    world = World()
    assert all(world.request().act is Act.EXPLORE for _ in range(20))
    for _ in range(3_000):
        world.request()
    assert world.served > 0.8 * EASY * 3_000
    assert world.wrong <= DELTA * 3_000
    assert 0.5 * CHECKED < world.checked / world.served < 5 * CHECKED


def test_a_smaller_bound_serves_less() -> None:
    worlds = [World(delta) for delta in (0.002, 0.05)]
    for world in worlds:
        for _ in range(1_500):
            world.request()
    assert worlds[0].served < worlds[1].served
    assert worlds[0].wrong <= 0.002 * 1_500


def test_when_meanings_change_nothing_is_believed_until_it_is_proved_again() -> None:
    world = World()
    for _ in range(2_000):
        world.request()
    wrong, before, requests = world.wrong, world.partition.allowance, 0
    while not world.partition.generation:
        world.request(turned=True)
        requests += 1
    assert requests < 60
    assert world.wrong - wrong < 40
    assert before - world.partition.allowance > 5, "what was served meanwhile is booked"
    assert all(world.request().act is Act.EXPLORE for _ in range(10))
    for _ in range(4_000):
        world.request()
    assert world.request().index >= 0
    assert {proof.generation for proof in world.proofs} == {1}, "right again, and believed again"
    assert world.wrong <= DELTA * 6_000
    assert any(world.request().act is Act.SERVE for _ in range(50))


def test_steady_traffic_is_not_taken_for_a_change() -> None:
    world = World()
    for _ in range(6_000):
        world.request()
    assert world.partition.generation == 0


def test_what_looks_suspicious_is_checked_more() -> None:
    world = World()
    for _ in range(2_000):
        world.request()
    shares = []
    for won in (1.0, 20.0):
        world.partition.bets[0].won = won
        world.partition.bets[1].won = 1.0
        partition = msgspec.msgpack.encode(world.partition)
        acts = []
        for u in (0.01, 0.3, 0.7):
            trial = msgspec.msgpack.decode(partition, type=Partition)
            acts.append(trial.decide([Neighbour(0.9, 1, Proof())] * NEIGHBOURS, u, DELTA).act)
        shares.append(acts.count(Act.CHECK))
    assert shares == [1, 2]


def test_an_entry_of_an_earlier_generation_is_explored_whatever_it_was() -> None:
    world = World()
    for _ in range(2_000):
        world.request()
    world.partition.generation = 1
    old, new = Neighbour(0.95, 1, Proof()), Neighbour(0.9, 2, Proof(generation=1))
    assert world.partition.decide([old] * NEIGHBOURS, 0.5, DELTA).act is Act.EXPLORE
    assert world.partition.decide([old, old, new], 0.5, DELTA).index == 2


def test_a_check_that_finds_a_wrong_answer_costs_a_whole_one() -> None:
    world = World()
    while (decision := world.request()).act is not Act.SERVE:
        pass
    before = world.partition.allowance
    world.partition.observe(msgspec.structs.replace(decision, act=Act.CHECK), Neighbour(0.9, 1, Proof()), False)
    assert before - world.partition.allowance == pytest.approx(1 - decision.wrong)


def test_checks_that_find_more_than_was_foreseen_raise_the_bounds() -> None:
    partition = Partition(allowance=DELTA * BANKED)
    partition.belief.weights = [3.0, 0.0, 0.0, 0.0]
    partition.belief.covariance = [[0.0] * 4 for _ in range(4)]
    near = Neighbour(0.9, 1, Proof())
    before = partition.decide([near], 0.0, DELTA)
    assert before.act is Act.CHECK
    partition.observe(before, near, False)
    partition.belief.weights = [3.0, 0.0, 0.0, 0.0]  # as if it had learnt nothing
    assert partition.decide([near], 0.5, DELTA).wrong > 1.3 * before.wrong


def test_a_hit_that_was_not_served_gives_back_what_it_took() -> None:
    partition = Partition(allowance=DELTA * BANKED)
    partition.belief.weights = [10.0, 0.0, 0.0, 0.0]
    partition.belief.covariance = [[0.0] * 4 for _ in range(4)]
    decision = partition.decide([Neighbour(0.9, 1, Proof())], 0.5, DELTA)
    assert decision.act is Act.SERVE
    partition.undo(decision)
    assert (partition.allowance, [bet.served for bet in partition.bets]) == (DELTA * BANKED, [0, 0])
    explored = partition.decide([], 0.5, DELTA)
    partition.undo(explored)
    assert partition.allowance == DELTA * BANKED


def test_what_is_known_outlives_a_restart() -> None:
    world = World()
    for _ in range(500):
        world.request()
    again = msgspec.msgpack.decode(msgspec.msgpack.encode(world.partition), type=Partition)
    neighbours = [Neighbour(0.9, 1, Proof())] * NEIGHBOURS
    assert again.decide(neighbours, 0.5, DELTA) == world.partition.decide(neighbours, 0.5, DELTA)


@settings(max_examples=20, deadline=None)
@given(st.sampled_from((0.002, 0.01, 0.05, 0.3)), st.floats(0, 1), st.floats(-1, 1), st.integers(0, 2**32))
def test_what_was_spent_never_exceeds_delta_a_request(delta: float, right: float, nearness: float, seed: int) -> None:
    """Whatever is asked, and however it turns out."""
    partition, spent, chance = Partition(), 0.0, Random(seed)
    partition.belief.covariance = [[0.01 if i == j else 0.0 for j in range(4)] for i in range(4)]  # as if it had learnt much
    for number in range(1, 200):
        found = sorted((chance.uniform(nearness, 1) for _ in range(chance.randint(0, NEIGHBOURS))), reverse=True)
        neighbours = [Neighbour(similarity, chance.randint(0, 2), Proof()) for similarity in found]
        decision = partition.decide(neighbours, chance.random(), delta)
        if decision.act is not Act.EXPLORE:
            spent += decision.wrong
        correct = chance.random() < right
        if decision.act is not Act.SERVE and decision.index >= 0:
            partition.observe(decision, neighbours[decision.index], correct)
            if decision.act is Act.CHECK and not correct:
                spent += 1 - decision.wrong  # taken when it is found out, so that it may come once too much
        assert spent - 1 <= delta * number
