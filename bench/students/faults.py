"""What goes wrong in a loop, in this process: the meaning of answers changes, a teacher errs in one class for a while, a class comes that had no examples.

Comes in: a task. Goes out: how many requests it took until the student was taken away, and what was served meanwhile. The streams begin alike; `most`
requests go before the fault.
"""

import random
from typing import NamedTuple

from bench.students.loop import Embed, Outcome, Same, Told, route, students
from bench.students.sets import Row, Task, taught


class Drift(NamedTuple):
    requests_until_demoted: int
    """From the first request whose answer means something else; 0 = it was not demoted."""
    samples_until_demoted: int
    """Of these, those that the teacher was asked too."""
    served: int
    differed: int
    local_before_pct: float
    local_after_pct: float
    """Of the last thousand."""


class Poison(NamedTuple):
    poisoned: int
    """Wrong answers of the teacher in one class, in a row of its requests."""
    found: int
    """Examples that the training left out, at most in one training."""
    served_pct: float
    """Of that class's requests afterwards: answered by the student."""
    wrong_pct: float
    """Of these: not right."""
    others_wrong_pct: float
    """The same of all other classes."""


class Empty(NamedTuple):
    """Questions of a class that no example had."""

    asked: int
    local_pct: float
    """Of these: answered by the student, which cannot be right."""
    known_local_pct: float
    """The same of the others at the same time."""


def drift(task: Task, embed: Embed, same: Same, alpha: float, most: int, after: int, noise: float) -> Drift:
    """From request `most` on a third of the classes have changed their names among each other."""
    rows = task.stream(0, most + after, noise)
    chance = random.Random(1)
    some = chance.sample(task.answers, len(task.answers) // 3)
    moved = dict(zip(some, [*some[1:], some[0]], strict=True))
    late = [Row(row.question, moved.get(row.right, row.right), moved.get(row.said, row.said)) for row in rows[most:]]
    out = students([*rows[:most], *late], route(task.name, alpha, "exact"), embed, same, 0)
    gone = next((number for number, _ in out.demoted if number >= most), 0)
    until = out.told[most : gone + 1] if gone else out.told[most:]
    return Drift(
        gone - most + 1 if gone else 0,
        sum(one.local and one.asked for one in until),
        sum(one.local for one in until),
        sum(one.differs for one in until),
        _share(out, most - 500, most),
        _share(out, len(out.told) - 1_000, len(out.told)),
    )


def poison(task: Task, embed: Embed, same: Same, alpha: float, most: int, noise: float) -> Poison:
    """For a third of the stream, before the half, the teacher calls every question of the commonest class by another's name."""
    rows = task.stream(0, most, noise)
    counts: dict[str, int] = {}
    for row in rows:
        counts[row.right] = counts.get(row.right, 0) + 1
    victim = max(counts, key=lambda name: counts[name])
    instead = next(name for name in task.answers if name != victim)
    begin, end = most // 6, most // 2
    bad = [Row(row.question, row.right, instead) if row.right == victim else row for row in rows[begin:end]]
    all_rows = [*rows[:begin], *bad, *rows[end:]]
    out = students(all_rows, route(task.name, alpha, "exact"), embed, same, 0)
    later = list(zip(all_rows[end:], out.told[end:], strict=True))
    of, others = [told for row, told in later if row.right == victim], [told for row, told in later if row.right != victim]
    return Poison(
        sum(row.right == victim for row in rows[begin:end]),
        max((one.poisoned for one in out.trained), default=0),
        100 * sum(one.local for one in of) / max(1, len(of)),
        _wrong_pct(of),
        _wrong_pct(others),
    )


def empty(task: Task, embed: Embed, same: Same, alpha: float, most: int, noise: float) -> Empty:
    """After `most` requests one in five is of a class that was never seen, as long as no student is made anew."""
    chance = random.Random(2)
    rows = task.stream(0, most + 800, noise)
    strange = taught(chance.sample(task.strange, 200), task.answers, 0.0, chance)
    late = [*rows[most:], *strange]
    chance.shuffle(late)
    out = students([*rows[:most], *late], route(task.name, alpha, "exact"), embed, same, 0)
    until = next((one.request for one in out.trained if one.request >= most), len(out.told))
    seen = list(zip(late, out.told[most:], strict=True))[: until - most]
    new, known = [told for row, told in seen if row in strange], [told for row, told in seen if row not in strange]
    return Empty(
        len(new),
        100 * sum(one.local for one in new) / max(1, len(new)),
        100 * sum(one.local for one in known) / max(1, len(known)),
    )


def _share(out: Outcome, begin: int, end: int) -> float:
    told = out.told[begin:end]
    return 100 * sum(one.local for one in told) / len(told)


def _wrong_pct(told: list[Told]) -> float:
    served = [one for one in told if one.local]
    return 100 * sum(one.wrong for one in served) / max(1, len(served))
