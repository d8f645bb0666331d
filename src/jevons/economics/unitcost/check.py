"""How far predictions are from measured rows: from the specification alone, after three points of the same system, by the plain roofline.

Comes in: the text of a table (`measured.rows`), efficiencies. Goes out: a `Check` with a verdict on every row; one that cannot be judged is
kept with its reason. Does not know: what the efficiencies were fitted to; a table that was part of the fit is judged too kindly. Needs numpy.

Calibration. What a system does otherwise than the fit says is taken as small changes of the parameters, each with `SYSTEM_SHARE` of its
prior's spread, a factor of its own (`SYSTEM_SPREAD`), and noise (`POINT_NOISE`). Given three measured points, the expected change anywhere
else is linear (Gaussian conditioning, as in kriging), so that few points cannot bend a prediction far. The three are chosen by load: the
slowest, the middle and the fastest as predicted, never by what was measured. They are not judged, nor is another run of the same load: what three
points tell of themselves is no prediction. A table may hold such copies; they count once among the loads that a system was measured under.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import exp, sqrt
from statistics import median
from typing import Any, NamedTuple

from jevons.economics.unitcost.cycle import plain_s
from jevons.economics.unitcost.efficiency import PRIORS, Z90, Efficiencies
from jevons.economics.unitcost.errors import UnitCostError
from jevons.economics.unitcost.fit import DIFFERENCE, Rows, errors, joules, numpy, predicted, stacked
from jevons.economics.unitcost.measured import Point, Unjudged, points, rows
from jevons.economics.unitcost.serving import Load

SYSTEM_SHARE, SYSTEM_SPREAD, POINT_NOISE = 0.5, 0.2, 0.05
CALIBRATING = 3


class Verdict(NamedTuple):
    """On one row. Errors are ln(predicted / measured)."""

    point: Point
    tok_s: float
    low: float
    high: float
    """90 % by the fit."""
    error: float
    plain_error: float
    calibrated_error: float | None
    """None: its system has fewer than four loads, or it is of one of the three."""
    joules_per_token: float | None
    joules_error: float | None


@dataclass(frozen=True)
class Check:
    """Of a table."""

    verdicts: tuple[Verdict, ...]
    unjudged: tuple[Unjudged, ...]

    @property
    def figures(self) -> dict[str, float | int | None]:
        """Medians of absolute errors in percent, None where there is no row; shares in percent."""
        inside = [verdict.low <= verdict.point.tok_s <= verdict.high for verdict in self.verdicts]
        return {
            "rows": len(self.verdicts) + len(self.unjudged),
            "judged": len(self.verdicts),
            "unjudged": len(self.unjudged),
            "median_ape_spec_pct": median_ape(verdict.error for verdict in self.verdicts),
            "median_ape_calibrated_pct": median_ape(verdict.calibrated_error for verdict in self.verdicts),
            "calibrated_rows": sum(verdict.calibrated_error is not None for verdict in self.verdicts),
            "median_ape_joules_pct": median_ape(verdict.joules_error for verdict in self.verdicts),
            "joules_rows": sum(verdict.joules_error is not None for verdict in self.verdicts),
            "plain_roofline_ape_pct": median_ape(verdict.plain_error for verdict in self.verdicts),
            "inside_90_pct": round(100 * sum(inside) / len(inside), 1) if inside else None,
        }

    def by(self, name: str) -> dict[str, tuple[int, float | None]]:
        """Rows and median error of groups: model, hardware, framework, precision."""
        groups: defaultdict[str, list[float]] = defaultdict(list)
        for verdict in self.verdicts:
            groups[_group(verdict.point, name)].append(verdict.error)
        return {key: (len(values), median_ape(values)) for key, values in sorted(groups.items())}


def _group(point: Point, name: str) -> str:
    return {
        "model": point.model,
        "hardware": point.on.part.name,
        "framework": point.framework,
        "precision": point.precision.name,
    }[name]  # fmt: skip


def median_ape(found: Any) -> float | None:
    """Median of |predicted / measured - 1| in percent, from logarithms; None is passed over."""
    values = [100 * abs(exp(value) - 1) for value in found if value is not None]
    return round(median(values), 2) if values else None


def check(text: str, efficiencies: Efficiencies) -> Check:
    """Of a table's text. Raises UnitCostError if it is no table of this format, or numpy is missing."""
    numpy()
    judged, unjudged = points(rows(text))
    workable, failed = ready(judged)
    if not workable:
        return Check((), tuple(unjudged + failed))
    return Check(tuple(verdicts(stacked(workable), efficiencies)), tuple(unjudged + failed))


def ready(judged: Sequence[Point]) -> tuple[list[Point], list[Unjudged]]:
    """Those whose demand can be worked out: the model fits, the part's figures are known."""
    workable, failed = [], []
    for point in judged:
        try:
            stacked([point])
        except (UnitCostError, OverflowError) as error:
            failed.append(Unjudged(point.id, str(error).splitlines()[0]))
        else:
            workable.append(point)
    return workable, failed


def verdicts(found: Rows, efficiencies: Efficiencies) -> list[Verdict]:
    """Row by row, in their order."""
    np = numpy()
    error = errors(found, efficiencies)
    calibrated = calibrate(found, efficiencies)
    plain_error = found.log_s - np.log(plain_s(found.steps))
    joules_per_token = joules(found, efficiencies)
    logs = [predicted(found, np.log([draw[name] for name in PRIORS])) for draw in efficiencies.resamples]
    varied = np.var(logs, axis=0) if logs else np.zeros(len(error))
    judged = []
    for row, point in enumerate(found.points):
        tok_s = point.tok_s * exp(error[row])
        factor = exp(Z90 * sqrt(efficiencies.evidence(point.on.part, point.framework).spread ** 2 + varied[row]))
        watts = float(joules_per_token[row])
        known = watts if watts == watts else None
        measured = point.joules_per_token
        judged.append(
            Verdict(
                point, tok_s, tok_s / factor, tok_s * factor, float(error[row]), float(plain_error[row]), calibrated.get(row), known,
                float(np.log(known / measured)) if known and measured else None,
            )
        )  # fmt: skip
    return judged


def spanning(ordered: Sequence[int]) -> list[int]:
    """Of a system's rows, slowest first as predicted: the first, the middle, the last."""
    return [ordered[0], ordered[len(ordered) // 2], ordered[-1]]


def calibrate(
    found: Rows, efficiencies: Efficiencies, chosen: Callable[[Sequence[int]], list[int]] = spanning
) -> dict[int, float]:
    """ln(predicted / measured) of every row of another load when three of its system are known; see the module's head."""
    np = numpy()
    logs = np.log([efficiencies.parameters[name] for name in PRIORS])
    spread = SYSTEM_SHARE * np.array([prior.spread for prior in PRIORS.values()])
    error, times = errors(found, efficiencies), predicted(found, logs)
    slopes = np.stack([(predicted(found, logs + DIFFERENCE * unit) - times) / DIFFERENCE for unit in np.eye(len(logs))], axis=1)
    speeds = np.log([cycle.tokens for cycle in found.cycles]) - times
    systems: defaultdict[str, list[int]] = defaultdict(list)
    for row, point in enumerate(found.points):
        systems[point.system].append(row)
    left: dict[int, float] = {}
    for members in systems.values():
        first: dict[tuple[Load, bool], int] = {}
        for row in members:
            first.setdefault(_asked(found.points[row]), row)
        if len(first) <= CALIBRATING:
            continue
        known = chosen(sorted(first.values(), key=lambda row: (speeds[row], row)))
        given = {_asked(found.points[row]) for row in known}
        judged = [row for row in members if _asked(found.points[row]) not in given]
        near = (slopes[known] * spread**2) @ slopes[known].T + SYSTEM_SPREAD**2 + POINT_NOISE**2 * np.eye(CALIBRATING)
        far = (slopes[judged] * spread**2) @ slopes[known].T + SYSTEM_SPREAD**2
        left.update(zip(judged, map(float, error[judged] - far @ np.linalg.solve(near, error[known])), strict=True))
    return left


def _asked(point: Point) -> tuple[Load, bool]:
    """Equal of rows that are runs of the same load."""
    return point.load, point.reads
