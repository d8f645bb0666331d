"""Follows recorded agents request by request through the loop detector; prints a table and, as its last line, one JSON object."""

import json
import random
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

from msgspec.structs import replace

from bench.gateway import machine
from bench.loops import trajectories as t
from jevons.core.ask import Dialect
from jevons.core.chain import chain
from jevons.gateway.trails import Trails
from jevons.meter.bpe import count_text
from jevons.policy.loops import Loops, Trail
from jevons.wire.parse import parse

SECRET = b"a bench has no secrets to keep.."
LADDER = {"warn": 5, "approve": 10, "stop": 20}
IDENTICAL = (3, 5, 10)
STALLED = (1_000, 2_000, 5_000, 10_000)
ROUNDS = 3
SEED = 1865
Plant = Callable[[t.Script, random.Random], t.Script | None]

LOOPS: dict[str, tuple[str, Plant]] = {
    "identical": ("the same call, the same result", t.cycle(1)),
    "cycle_2": ("A-B-A-B", t.cycle(2)),
    "cycle_3": ("A-B-C-A-B-C", t.cycle(3)),
    "turns_exact": ("the same turn without tools", t.turns(t.exactly, t.exactly)),
    "turns_near": ("the same, 1 word in 25 of the answer new", t.turns(t.reworded, t.exactly)),
    "turns_near_both": ("the same, 1 word in 25 of both new", t.turns(t.reworded, t.reworded)),
    "compacted": ("the same call, history cut every 8", t.compacted),
    "aimless": ("four known calls in no order", t.aimless),
}
CONTROLS: dict[str, tuple[str, Plant]] = {
    "polling": ("the same call, its result changes", t.polling),
    "waiting": ("the same between equal pauses", t.waiting),
    "batch": ("other arguments, the same result", t.batch),
    "conversations": ("a conversation per customer, one run", t.conversations),
    "templated_turns": ("a turn per customer, one conversation", t.turns(t.for_another, t.for_another)),
    "templated_words": ("the same, told apart by a plain word", t.turns(t.for_a_thing, t.for_a_thing)),
}


@dataclass
class Costs:
    """Microseconds of each followed request, by what was new in it."""

    tool: list[float] = field(default_factory=list)
    turn: list[float] = field(default_factory=list)
    anew: list[float] = field(default_factory=list)


class Follower:
    """Sends scripts as a Chat agent would, and keeps what the detector said."""

    def __init__(self, view: Callable[[t.Message], t.Message] | None = None) -> None:
        self.trails = Trails(SECRET)
        self._view = view
        self._tokens: dict[bytes, int] = {}

    def follow(self, script: t.Script, trail: Trail | None = None, costs: Costs | None = None, anew: bool = False) -> list[Loops]:
        """What was seen at each request of a run, conversation after conversation. `anew`: with no trail to go on from."""
        trail, found = trail or Trail(), []
        for messages, ends in zip(script.conversations, script.ends, strict=True):
            seen = [self._view(message) for message in messages] if self._view else messages
            raw = [json.dumps(message).encode() for message in seen]
            whole = parse(Dialect.CHAT, b'{"model":"m","messages":[' + b",".join(raw) + b"]}")
            digests = chain(SECRET, whole.messages).digests
            tokens = list(accumulate(map(self._count, whole.messages)))
            for end in ends:
                ask = replace(whole, messages=whole.messages[:end])
                known = digests[:end]
                trail = Trail() if anew else trail
                begin = time.perf_counter_ns()
                loops = self.trails.follow(trail, ask, known, tokens[end - 1])
                spent = (time.perf_counter_ns() - begin) / 1e3
                found.append(loops)
                if costs is not None and end > 2:
                    (costs.anew if anew else costs.tool if messages[end - 1]["role"] == "tool" else costs.turn).append(spent)
        return found

    def _count(self, raw: bytes) -> int:
        count = self._tokens.get(raw)
        if count is None:
            count = self._tokens[raw] = count_text(raw.decode(), "o200k_base")
        return count


def calls_alone(message: t.Message) -> t.Message:
    """How a detector sees a message that looks at calls and not at results."""
    return {**message, "content": ""} if message["role"] == "tool" else message


def results_alone(message: t.Message) -> t.Message:
    """How a detector sees a message that looks at results and not at calls."""
    calls = message.get("tool_calls")
    if not calls:
        return message
    return {**message, "tool_calls": [{**call, "function": {"name": "tool", "arguments": "{}"}} for call in calls]}


def share(hits: int, of: int) -> float:
    return round(100 * hits / of, 2) if of else 0.0


def false_alarms(scripts: list[t.Script], follower: Follower, figures: dict[str, Any]) -> None:
    """Recorded agents as they are, each a run of its own."""
    costs, found = Costs(), []
    for _ in range(ROUNDS):
        found = [follower.follow(script, costs=costs) for script in scripts]
    for script in scripts:
        follower.follow(script, costs=costs, anew=True)
    figures["trajectories"], figures["requests"] = len(scripts), sum(map(len, found))
    for name, spent in (("", [*costs.tool, *costs.turn]), ("tool_", costs.tool), ("turn_", costs.turn), ("anew_", costs.anew)):
        figures[f"follow_{name}us"] = round(statistics.median(spent), 1)
        figures[f"follow_{name}p10_us"] = round(statistics.quantiles(spent, n=10)[0], 1)
    print(
        f"\n{len(scripts)} recorded conversations, {figures['requests']} requests, each a run of its own: share that ever reaches …"
    )
    measures = [
        ("repeats", LADDER.items()),
        ("identical", [(n, n) for n in IDENTICAL]),
        ("stalled_tokens", [(n, n) for n in STALLED]),
    ]
    for measure, thresholds in measures:
        for rung, threshold in thresholds:
            hits = sum(any(getattr(loops, measure) >= threshold for loops in run) for run in found)
            figures[f"false_{measure}_{rung}_pct"] = share(hits, len(found))
            print(f"  {measure + ' >= ' + format(threshold, ','):<26} {share(hits, len(found)):6.2f} %   ({hits})")
    for script, run in zip(scripts, found, strict=True):
        most = max(run, key=lambda loops: (loops.identical, loops.repeats))
        if most.repeats > 2 or most.identical > 2:
            print(f"  {script.name}: {most.why}")
    figures["max_repeats"] = max(loops.repeats for run in found for loops in run)
    trail = Trail()
    one_run = [loops for script in scripts for loops in follower.follow(script, trail)]
    figures["one_run_max_repeats"] = max(loops.repeats for loops in one_run)
    print(f"  all {len(scripts)} conversations as one run: most repeats {figures['one_run_max_repeats']}")


def planted(name: str, scripts: list[t.Script], follower: Follower) -> tuple[int, list[list[Loops]]]:
    """(scripts that it could be planted in, what was seen from its first step on)."""
    plant = (LOOPS | CONTROLS)[name][1]
    chance = random.Random(f"{SEED} {name}")
    made = [script for script in (plant(one, chance) for one in scripts) if script is not None]
    return len(made), [follower.follow(script)[-script.planted :] for script in made]


def detection(scripts: list[t.Script], follower: Follower, figures: dict[str, Any]) -> None:
    """Loops planted in the conversations: how many are noticed, after how many of their steps."""
    print("\nloops planted in them: share that reaches …, after how many steps (median, most)")
    print(f"  {'':<40} {'in':>4}  {'warn 5':>20} {'approve 10':>20} {'stop 20':>20}")
    for name, (title, _) in LOOPS.items():
        count, runs = planted(name, scripts, follower)
        cells = []
        for rung, threshold in LADDER.items():
            cells.append(reached(runs, "repeats", threshold, figures, f"{name}_{rung}"))
        print(f"  {title:<40} {count:>4}  {cells[0]:>20} {cells[1]:>20} {cells[2]:>20}")
        if name == "aimless":
            for measure, thresholds in (("stalled_tokens", STALLED[1:]), ("identical", IDENTICAL[1:])):
                cells = [f"{n:,}: {reached(runs, measure, n, figures, f'{name}_{measure}_{n}')}" for n in thresholds]
                print(f"  {'  the same by ' + measure:<46} {'   '.join(cells)}")


def reached(runs: list[list[Loops]], measure: str, threshold: int, figures: dict[str, Any], key: str) -> str:
    """Share of the runs that reach the threshold, and after how many steps."""
    steps = [next((n for n, loops in enumerate(run, 1) if getattr(loops, measure) >= threshold), 0) for run in runs]
    hits = [step for step in steps if step]
    figures[f"detected_{key}_pct"] = share(len(hits), len(runs))
    figures[f"detected_{key}_steps"] = statistics.median(hits) if hits else None
    after = f" ({statistics.median(hits):g}, {max(hits)})" if hits else ""
    return f"{share(len(hits), len(runs)):g} %{after}"


def controls(scripts: list[t.Script], figures: dict[str, Any]) -> None:
    """Work that looks like a loop, seen by this detector and by two simpler ones."""
    views = {"": Follower(), "calls_alone_": Follower(calls_alone), "results_alone_": Follower(results_alone)}
    print(
        "\nwork that is no loop, planted in them: share that is warned / stopped; beside, if only calls or only results were looked at"
    )
    print(f"  {'':<40} {'in':>4} {'':>16} {'calls alone':>18} {'results alone':>18}")
    for name, (title, _) in CONTROLS.items():
        cells = []
        for view, follower in views.items():
            count, runs = planted(name, scripts, follower)
            rates = {
                rung: share(sum(any(loops.repeats >= LADDER[rung] for loops in run) for run in runs), count)
                for rung in ("warn", "stop")
            }
            figures |= {f"{view}false_{name}_{rung}_pct": rate for rung, rate in rates.items()}
            cells.append(f"{rates['warn']:g} % / {rates['stop']:g} %")
        print(f"  {title:<40} {count:>4} {cells[0]:>16} {cells[1]:>18} {cells[2]:>18}")


def main() -> None:
    """Measure and print."""
    scripts = t.load()
    follower, figures = Follower(), {}
    false_alarms(scripts, follower, figures)
    detection(scripts, follower, figures)
    controls(scripts, figures)
    facts = machine.facts()
    print("\nµs of a followed request, each timed once: median, and the fastest tenth (others may use this machine too)")
    for name, title in (("tool_", "a tool step is new"), ("turn_", "a turn without tools is new"), ("", "all")):
        print(f"  {title:<40} {figures[f'follow_{name}us']:>8} {figures[f'follow_{name}p10_us']:>8}")
    print(f"  {'all, without a trail to go on from':<40} {figures['follow_anew_us']:>8} {figures['follow_anew_p10_us']:>8}")
    print(f"{facts['cpu']}, {facts['cores']} cores, Python {facts['python']}\n")
    print(json.dumps({"benchmark": "loops", **figures, "machine": facts}))


if __name__ == "__main__":
    main()
