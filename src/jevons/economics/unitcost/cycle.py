"""Steps of a steady state: some read prompts, the others do not; how long the mean one lasts.

Comes in: how many prompts begin in a step, the demand of a step by the prompts that it reads (`steps`). Goes out: a `Mix` of both, its mean
`StepTime`, its mean `Demand`; a `Cycle`. Does not know: models, loads (`serving`).

An engine reads a prompt whole, in one step or in as many as its budget of tokens asks for, and none in the next twenty (chunked prefill:
Agrawal and others, Sarathi-Serve, OSDI 2024). That costs otherwise than as many tokens spread evenly over all steps: a few tokens of a mixture
take many experts, and a step that waits for memory computes a few more for nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields
from math import expm1
from typing import Any, NamedTuple

from jevons.economics.unitcost.efficiency import PEAK
from jevons.economics.unitcost.steps import Demand, Rates, Seconds, StepTime, time

PREFILL_TOKENS = 8192
"""Of prompts in one pass of a group: both engines' default budget or near it."""


class Steps(NamedTuple):
    """Those that are alike."""

    share: Seconds
    """Of all steps."""
    demand: Demand


Mix = tuple[Steps, ...]
"""Of all steps; their shares sum to 1."""


def reading_share(prompts: float, prompt: int, *, waves: bool) -> float:
    """Share of a group's steps in which prompts are read, where `prompts` of `prompt` new tokens begin in the mean step.

    They begin when others end, independently of each other: in 1 - exp(-prompts) of the steps at least one does (Poisson). No step reads more
    than the budget while another has room for it. In `waves` of equal requests those that were read together end together, so that whole
    budgets are read.
    """
    budgets = min(1.0, prompts * prompt / PREFILL_TOKENS)
    return budgets if waves else max(budgets, -expm1(-prompts))


def mixed(prompts: float, share: float, reading: Callable[[float], Demand]) -> Mix:
    """Steps that read `prompts` in the mean, all of them in a share of the steps. `reading`: the demand of one that reads so many."""
    kinds = ((1 - share, 0.0), (share, prompts / share if share else 0.0))
    return tuple(Steps(of, reading(each)) for of, each in kinds if of)


def mean_time(mix: Mix, rates: Rates) -> StepTime:
    """Of a step."""
    times = [(steps.share, time(steps.demand, rates)) for steps in mix]
    return StepTime(*(sum(share * one[place] for share, one in times) for place in range(len(StepTime._fields))))


def mean_demand(mix: Mix) -> Demand:
    """What a step uses. It is not to be timed: what overlaps in one step does not in another."""
    return Demand(*(_mean([(steps.share, getattr(steps.demand, field.name)) for steps in mix]) for field in fields(Demand)))


def _mean(values: list[tuple[Seconds, Any]]) -> Any:
    if isinstance(values[0][1], dict):
        labels = {label for _, value in values for label in value}
        return {label: sum(share * value.get(label, 0.0) for share, value in values) for label in sorted(labels)}
    return sum(share * value for share, value in values)


def plain_s(mix: Mix) -> Seconds:
    """Seconds of a step by the plain roofline: the longest of computing, moving and sending, all at their peaks."""
    return sum(steps.share * time(steps.demand, PEAK).longest_s for steps in mix)


@dataclass(frozen=True)
class Cycle:
    """The mean step of the steady state, before efficiencies."""

    batch: float
    produced: float
    """Tokens that a sequence gets."""
    steps: Mix
    drafts: Mix
    """Steps of the drafting model; empty where none drafts."""
    drafted: int

    def seconds(self, rates: Rates) -> Any:
        """Of the step and the drafts before it."""
        drafts = self.drafted * mean_time(self.drafts, rates).total_s if self.drafts else 0.0
        return mean_time(self.steps, rates).total_s + drafts

    @property
    def tokens(self) -> float:
        return self.batch * self.produced
