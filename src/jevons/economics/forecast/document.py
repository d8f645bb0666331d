"""The document of a forecast: what the command line prints as JSON, and the dashboard and the pictures show. Only values.

Money is in whole nano-dollars; every figure but those of the past is estimated. Does not know: how any of it comes about.
"""

from typing import Literal

import msgspec

from jevons.economics.frames import Cost


class Fan(msgspec.Struct, frozen=True):
    """Quantiles: nano-dollars, or tokens."""

    p2_5: int
    p10: int
    p25: int
    p50: int
    p75: int
    p90: int
    p97_5: int


class Month(msgspec.Struct, frozen=True):
    month: str
    """2026-12."""
    spent_nusd: int
    """Of the running month, what is on record; it is in the fan. Else 0."""
    bill_nusd: Fan
    tokens: Fan
    history_weight: float
    """What part of the growth until then is history's word; the rest is the prior's. The mean over segments, by cost."""


class Past(msgspec.Struct, frozen=True):
    """One whole week, or month."""

    first: str
    last: str
    nusd: int
    tokens: int


class SegmentNow(msgspec.Struct, frozen=True):
    """Today's point of the formula."""

    name: str
    labels: dict[str, str]
    line: str
    tier: str
    nusd_a_month: int
    tasks_a_day: float
    steps_a_task: float
    tokens_a_step: float
    cached_share: float
    weeks: float
    """Of its own history."""
    models: tuple[str, ...]
    final_nusd: Fan
    """Of the last month that is forecast."""


class Change(msgspec.Struct, frozen=True):
    """An announced price."""

    date: str
    model: str
    input_factor: float
    output_factor: float
    source: str


class TierPace(msgspec.Struct, frozen=True):
    tier: str
    changes_a_line_and_year: float
    drift_a_year: float
    """Factor: 0.7 = 30 % less after a year."""
    events: int
    line_years: float
    chronology_weight: float
    """The rest is the prior's."""
    prior_source: str
    floor_input_nusd_per_mtok: int
    floor_output_nusd_per_mtok: int
    floor_of: str
    floor_source: str


class ModelFloor(msgspec.Struct, frozen=True):
    """The least that a model's price falls to."""

    model: str
    input_nusd_per_mtok: int
    output_nusd_per_mtok: int
    of: str
    """Whose cost it is: the model's own, worked out, or that of its tier's reference."""
    source: str


class LeverSlope(msgspec.Struct, frozen=True):
    """d bill / d lever at today's point, nano-dollars a mean month for one percentage point (steps: for one per cent more steps a task)."""

    lever: str
    nusd_per_point: int
    what: str


class LeverPath(msgspec.Struct, frozen=True):
    """The fan with the lever pulled from today on, by the same draws."""

    lever: str
    today_nusd: int
    """What changes in a mean month at today's point; negative = saved."""
    months: tuple[Fan, ...]
    total_nusd: Fan
    change_nusd: Fan
    """Of the total, path by path."""


class ScenarioPath(msgspec.Struct, frozen=True):
    name: str
    unit_cost: float
    begins: str
    by: str
    tokens_per_task: tuple[float, float] | None
    pass_through: float
    break_even: float
    """By how many times tokens per task may grow until the bill is what it was, if all of the fall is passed on."""
    break_even_passed_on: float
    """The same at `pass_through`."""
    break_even_to_come: float
    """Of what is still to come from today on, all passed on."""
    bill_factor: tuple[float, float] | None
    """Unit cost times tokens per task, before tasks grow."""
    source: str
    reading: str
    months: tuple[Fan, ...]
    total_nusd: Fan


class Basis(msgspec.Struct, frozen=True):
    """One prior."""

    name: str
    value: str
    source: str
    reading: str


class Within(msgspec.Struct, frozen=True):
    """One window."""

    start: str
    probability: float
    """That it is used up before the window ends."""
    median_day: str | None
    """Of the paths on which it is."""


class Exhaustion(msgspec.Struct, frozen=True):
    """Estimated, of the forecast's paths."""

    name: str
    subject: str
    per: str
    """week, month, year or total."""
    limit_nusd: int
    posted_nusd: int
    enforced: bool
    exhausted: bool
    """It is used up now."""
    probability: float
    """That it is used up on some day until the last that is forecast."""
    dates: tuple[str | None, ...]
    """Three: by which that has happened with probability 0.1, 0.5 and 0.9; None = later than the last that is forecast, if ever."""
    windows: tuple[Within, ...]
    """This one and the next; of a total the whole."""


class Forecast(msgspec.Struct, frozen=True):
    """`estimated` is true of every figure but those of the past."""

    estimated: Literal[True]
    today: str
    cost: Cost
    per: Literal["week", "month"]
    weeks: float
    weeks_wanted: float
    paths: int
    seed: int
    correlation: float
    without: tuple[str, ...]
    """Packages whose voice is missing, as they are not installed; empty where all that this history asks for is there."""
    past: tuple[Past, ...]
    months: tuple[Month, ...]
    """The running one first, then as many whole ones as were asked for."""
    total_nusd: Fan
    """Of the whole months, without the running one."""
    total_tokens: Fan
    segments: tuple[SegmentNow, ...]
    prices: tuple[TierPace, ...]
    floors: tuple[ModelFloor, ...]
    """Of every model in use, and of those that levers bring in."""
    announced: tuple[Change, ...]
    slopes: tuple[LeverSlope, ...]
    levers: tuple[LeverPath, ...]
    scenarios: tuple[ScenarioPath, ...]
    exhaustion: tuple[Exhaustion, ...]
    priors: tuple[Basis, ...]
    notes: tuple[str, ...]
