"""How much of a forecast is history's word, and what a reader should know of it, in sentences.

Comes in: a `History` and where the forecast ends. Goes out: weights and notes. Does not know: paths.
"""

import sys
from collections.abc import Collection, Sequence
from itertools import pairwise
from math import expm1

from jevons.economics.forecast.blend import FEWEST, LIGHT
from jevons.economics.forecast.segments import WEEK_DAYS, History
from jevons.economics.forecast.simulate import history_weight

PACE_SHOWN_MIN = 0.1
"""Per cent a week."""
INSTALL = f"{sys.executable} -m pip install 'statsforecast>=2'"


def wanted(past: History, until: int) -> float:
    """As many weeks as are forecast: then history has half of the last one's say."""
    return round((until - past.start) / WEEK_DAYS, 1)


def weights(past: History, starts: Sequence[int]) -> list[float]:
    """In the middle of each month, over segments by what they cost."""
    total = sum(segment.nusd for segment in past.segments)
    known = own_weeks(past)
    found = []
    for start, after in pairwise(starts):
        ahead = ((max(start, past.start) + after) / 2 - past.start) / WEEK_DAYS
        each = [history_weight(own, ahead) * segment.nusd for own, segment in zip(known, past.segments, strict=True)]
        found.append(round(sum(each) / total, 3) if total else 0.0)
    return found


def own_weeks(past: History) -> list[float]:
    """Of each segment, as far as a forecast of its own can be made of it."""
    each = past.days / len(past.spans) / WEEK_DAYS
    return [len(segment.tasks) * each if len(segment.tasks) >= FEWEST else 0.0 for segment in past.segments]


def short(past: History, until: int) -> list[str]:
    so_many, own = wanted(past, until), own_weeks(past)
    if past.weeks >= so_many and all(own):
        return []
    last = weights(past, [until - 30, until])[0]
    there = f"{past.weeks:.0f} weeks" if past.weeks >= 2 else f"{past.days} days"
    share = f"{100 * last:.0f} % is history's word, {100 * (1 - last):.0f} % that of priors (economics/data/forecast_priors.toml)"
    said = [
        f"History is short: there are {there}, a forecast so far ahead wants {so_many:.0f} weeks. Of the growth until the last month {share}."
    ]
    if new := [segment.name for segment, weeks in zip(past.segments, own, strict=True) if not weeks]:
        said.append(f"Too short for a forecast of its own, so continued by priors alone: {', '.join(new)}.")
    return said


def light(methods: Collection[str]) -> list[str]:
    """Of a forecast that AutoETS would have had a voice in, had it been installed."""
    if LIGHT not in methods:
        return []
    return [
        f"AutoETS, which has a voice from three whole years on, is left out: statsforecast is not installed. It comes with: `{INSTALL}`"
    ]


def edges(past: History, announced: bool) -> list[str]:
    said = [
        "Estimated, all of it: list prices move at the pace of their tier since May 2023, new teams and uses are in the prior's growth of tasks.",
        *_entered(past),
        "What another model would need for the same work is not known.",
    ]
    if past.fixed_nusd:
        said.append("Money that came without tokens is continued as it was in the last four weeks.")
    if not announced:
        said.append("No price book was at hand: announced prices are those of the price history alone.")
    return said


def _entered(past: History) -> list[str]:
    pace = 100 * expm1(past.entered[0].a_week)
    if pace < PACE_SHOWN_MIN:
        return []
    return [
        f"Who or what was not there four weeks before added {pace:.1f} % a week to the bill; that goes on, fading, as far as history has its say."
    ]
