"""Whether a cached answer is served for a similar request, so that wrong answers stay under delta of all requests.

Comes in: the nearest entries of a request, one number of chance, delta. Goes out: serve, serve and check, or explore (ask the model). What
the model then says comes back as an observation.

The bound. Every request adds delta to an allowance. Every answer that is served takes from it the upper bound of the probability that it is
wrong (semantic_belief.py); a check that finds it wrong takes the rest of one. What the allowance does not cover is not served: at every
moment those probabilities sum to delta times the requests at most, and so does the expected number of wrong answers, as far as the
probabilities hold. The allowance is bounded: a quiet month buys no bad hour. It is also the price of a hit: when it is full, an answer may be
wrong with MOST_WRONG, when half full with half of that; so it settles where it is just used up. Sure answers thus pay for less sure ones,
which serves more than asking 1 - delta of every single answer, as vCache does (arXiv 2502.03771: exploring, and deciding by an upper bound of
a curve that is learnt from it, are its ideas).

The watch. Probabilities may be wrong, and meanings change. So a share of hits is checked for ever, and every observation is a bet against
the bounds: a likelihood ratio, whose expectation is 1 at most while they hold, whatever else is true (an e-value). When such a bet has won
ODDS to 1 of late, nothing cached is believed until it is right anew, and what was served since it began to win is booked as wrong.

Does not know: texts, vectors, tenants, clocks.
"""

import enum
from collections.abc import Sequence

import msgspec

from jevons.policy.semantic_belief import LEAST, NEIGHBOURS, Belief, Neighbour, Proof, spoken

__all__ = ["NEIGHBOURS", "Act", "Decision", "Neighbour", "Partition", "Proof"]

CHECKED = 0.03
"""Share of hits that are checked, for ever. While a bet has won, so many times more: a suspicion is looked into at once."""
MOST_WRONG = 0.3
"""No answer is served that may be wrong with a higher probability, however much is allowed."""
DEVIATIONS = 2.0
"""How many standard deviations of the shared curve the upper bound of a probability lies above it."""
DOUBT = 2.0
"""Bounds are raised by the ratio of what checks found wrong to what was foreseen, each with so many wrong answers added to it."""
BANKED = 500
"""The allowance is at most what this many requests add."""
TURNED = (0.2, 0.7)
"""Two bets: that such a share of what is right has turned wrong. The one wins by many that are a little worse, the other by few that are much."""
SURE = 0.02
"""Bets take a smaller probability for this: one accident among sure answers is no change of the world."""
ODDS = 3_000.0
"""While the bounds hold, one bet wins so much once in this many observations at most, on average (Lorden 1971, for CUSUM)."""


class Act(enum.Enum):
    """What is done with a request."""

    SERVE = "serve"
    CHECK = "check"
    """Serve, and ask the model as well."""
    EXPLORE = "explore"
    """Ask the model; its answer is served."""


class Decision(msgspec.Struct, frozen=True):
    """What is done, and with which of the neighbours."""

    act: Act
    index: int
    """The neighbour that is served or, when exploring, that is compared with what the model says; -1 = there is none."""
    wrong: float
    """Upper bound of the probability that its answer is wrong; 1 = nothing is near."""
    features: tuple[float, ...]


_NOTHING_NEAR = Decision(Act.EXPLORE, -1, 1.0, ())


class Bet(msgspec.Struct):
    """A bet against the bounds."""

    won: float = 1.0
    """What it has made of 1 of late."""
    served: float = 0.0
    """Of the answers served since it was at 1: the sum of their probabilities to be right."""


class Partition(msgspec.Struct):
    """What is known and allowed where one bound holds: one tenant, one model. 30 numbers; msgspec writes and reads it."""

    belief: Belief = msgspec.field(default_factory=Belief)
    allowance: float = 0.0
    """Wrong answers that may still be served; below 0 = a debt."""
    generation: int = 0
    """Grows when the watch strikes: entries of earlier ones are not believed until they are right again."""
    found: float = 0.0
    """Checks that found a wrong answer."""
    foreseen: float = 0.0
    """How many they would have found if the bounds just held."""
    bets: list[Bet] = msgspec.field(default_factory=lambda: [Bet() for _ in TURNED])
    """Against the bounds, one for each of TURNED."""

    def decide(self, neighbours: Sequence[Neighbour], u: float, delta: float) -> Decision:
        """What to do with one request; to be called once for each, since it counts it.

        `neighbours`: at most NEIGHBOURS, nearest first; `u`: uniform in [0, 1); `delta`: wrong answers per request, above 0.
        """
        self.allowance = min(self.allowance + delta, BANKED * delta)
        if not neighbours:
            return _NOTHING_NEAR
        believed = [i for i, near in enumerate(neighbours) if near.proof.generation >= self.generation]
        among = believed or range(len(neighbours))
        found, features = spoken([neighbours[i] for i in among])
        index = among[found]
        wrong = self._bound(features, neighbours[index].proof)
        wrong = min(wrong * max(1.0, (DOUBT + self.found) / (DOUBT + self.foreseen)), 1 - LEAST)
        price = MOST_WRONG * self.allowance / (BANKED * delta)
        if not believed or wrong > min(price, self.allowance):
            return Decision(Act.EXPLORE, index, wrong, features)
        self._serve(wrong, 1)
        checked = CHECKED * max(bet.won for bet in self.bets)
        return Decision(Act.CHECK if u < checked else Act.SERVE, index, wrong, features)

    def observe(self, decision: Decision, neighbour: Neighbour, correct: bool) -> Proof:
        """After EXPLORE or CHECK: was the answer of `neighbour`, the one decided on, right? Returns what its entry has proved with it."""
        if decision.act is Act.CHECK:
            self.foreseen += self._bound(decision.features, neighbour.proof)
            self.found += not correct
            self.allowance -= (not correct) * (1 - decision.wrong)
        proof = self.belief.learn(decision.features, neighbour.proof, correct, self.generation)
        if neighbour.proof.generation >= self.generation:
            self._bet(decision.wrong, correct)
        return proof

    def undo(self, decision: Decision) -> None:
        """A hit was decided on, and not served after all."""
        if decision.act is not Act.EXPLORE:
            self._serve(decision.wrong, -1)

    def _bound(self, features: tuple[float, ...], proof: Proof) -> float:
        return self.belief.wrong_at_most(features, proof, DEVIATIONS)

    def _serve(self, wrong: float, count: int) -> None:
        self.allowance -= count * wrong
        for bet in self.bets:
            bet.served += count * (1 - wrong)

    def _bet(self, wrong: float, correct: bool) -> None:
        wrong = max(wrong, SURE)
        for bet, turned in zip(self.bets, TURNED, strict=True):
            bet.won *= 1 - turned if correct else 1 + turned * (1 - wrong) / wrong
            if bet.won <= 1:
                bet.won, bet.served = 1.0, 0.0
        worst = max(self.bets, key=lambda bet: bet.won)
        if worst.won > ODDS:
            self.allowance -= worst.served
            self.generation += 1
            self.belief, self.bets = Belief(), [Bet() for _ in TURNED]
            self.found = self.foreseen = 0.0
