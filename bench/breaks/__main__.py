"""Plants breaks in recorded agents, and looks whether the doctor names them; prints a table and, as its last line, one JSON object.

The provider's cache stands beside it as a rule: it reads the longest prefix, in bytes, that one of the run's earlier prompts had, in steps of
128 tokens and from 1,024 on. The doctor is told what was read, as by a provider, and nothing else.
"""

import json
import statistics
import time
from collections.abc import Iterable, Iterator

from bench.breaks.plants import PLANTS, Run, run_of
from bench.gateway import machine
from bench.loops import trajectories
from jevons.core.ask import Dialect
from jevons.core.chain import chain
from jevons.core.price import Price, PriceTier
from jevons.core.saving import Break
from jevons.core.usage import Usage
from jevons.gateway.breaking import Breaks, Sent
from jevons.meter.prompt_rules import prompt_rules
from jevons.policy.breaks import LOST_UNCHANGED
from jevons.wire.parse import parse

SECRET = b"a bench has no secrets to keep.."
BYTES_PER_TOKEN, STEP, MIN_TOKENS = 4, 128, 1024
LATEST = 8
"""Prompts that the provider remembers of a run: more than a conversation has requests between two that belong together."""
SECOND_MS = 1000
PRICE = Price("openai/gpt-4o", "", 1, (PriceTier(-1, {"input": 2500, "cache_read": 1250, "output": 10_000}),))


class Provider:
    """What an automatic cache reads of a prompt."""

    def __init__(self) -> None:
        self._prompts: dict[str, list[bytes]] = {}

    def usage(self, body: dict[str, object], messages: Iterable[bytes]) -> Usage:
        prompt = b"\n".join(messages)
        known = self._prompts.setdefault(json.dumps([body["model"], body.get("tool_choice")]), [])
        shared = max((_common(prompt, one) for one in known[-LATEST:]), default=0) // BYTES_PER_TOKEN
        known.append(prompt)
        read = shared // STEP * STEP if shared >= MIN_TOKENS else 0
        return Usage(input=len(prompt) // BYTES_PER_TOKEN - read, cache_read=read, output=100)


class Doctor:
    """Sends runs, and keeps how long each request was looked at."""

    def __init__(self) -> None:
        self.breaks = Breaks()
        self.spent_us: list[float] = []
        self._now_ms = 0

    def follow(self, run: Run, label: str, provider: Provider | None = None) -> Iterator[Break | None]:
        """What is said of each request of a run."""
        provider = provider or Provider()
        for body in run:
            ask = parse(Dialect.CHAT, json.dumps(body).encode())
            self._now_ms += 20 * SECOND_MS
            target = ("openai", ask.model)
            sent = Sent(ask, chain(SECRET, ask.messages), (1, label, "agent"), self._now_ms, target, prompt_rules(*target))
            usage = provider.usage(body, ask.messages)
            begun = time.perf_counter_ns()
            found = self.breaks.ended(sent, self._now_ms + SECOND_MS, usage, PRICE)
            self.spent_us.append((time.perf_counter_ns() - begun) / 1e3)
            yield found


def untouched(runs: list[Run]) -> dict[str, int]:
    """Findings in recorded runs as they are: each under its own name, none named, and all as one run with forks, retries and sub-agents."""
    named, alone, one = Doctor(), Doctor(), Doctor()
    found = {"named": 0, "unnamed": 0, "one_run": 0}
    everything = Provider()
    for number, run in enumerate(runs):
        found["named"] += _count(named.follow(run, f"run-{number}"))
        found["unnamed"] += _count(alone.follow(run, "", everything))
    shared = Provider()
    for number, run in enumerate(runs):
        middle = run[len(run) // 2]
        again = [
            middle,
            {**middle, "messages": [*middle["messages"][:-1], {"role": "user", "content": "No, the other one, please."}]},
        ]
        helper = [
            {**body, "messages": [{"role": "system", "content": "You find flights. " * 300}, *body["messages"][1:2]]}
            for body in run[:1]
        ]
        found["one_run"] += _count(one.follow([*run, *again, *helper, *run[-1:]], f"session-{number // 20}", shared))
    return found


def _common(prompt: bytes, other: bytes) -> int:
    """Bytes that both begin with."""
    low, high = 0, min(len(prompt), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if prompt[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _count(found: Iterable[Break | None]) -> int:
    """A question that another conversation asked some minutes before is a loss (its prefix had expired), and no break."""
    return sum(one is not None and one.cause not in LOST_UNCHANGED for one in found)


def planted(runs: list[Run]) -> dict[str, dict[str, int]]:
    """Of each kind: runs, breaks that are there, those that are named rightly, and findings that are wrong."""
    table = {}
    for name, plant in PLANTS.items():
        row = {"runs": 0, "breaks": 0, "named": 0, "wrong": 0}
        doctor = Doctor()
        for number, run in enumerate(runs):
            made = plant(run)
            if made is None:
                continue
            row["runs"] += 1
            row["breaks"] += len(made.at)
            for place, one in enumerate(doctor.follow(made.run, f"run-{number}")):
                right = one is not None and place in made.at and (one.cause, one.position, one.role) == made.found
                row["named"] += right
                row["wrong"] += one is not None and not right
        table[name] = row
    return table


def main() -> None:
    """Measure and print."""
    runs = [run for script in trajectories.load() if len(run := run_of(script.conversations[0])) > 3]
    print(f"{len(runs)} recorded runs, {sum(map(len, runs))} requests (tau-bench, gpt-4o, airline)\n")
    clean = untouched(runs)
    print(
        f"findings in them as they are: {clean['named']} with their runs named, {clean['unnamed']} without,"
        f" {clean['one_run']} with forks, retries and sub-agents\n"
    )
    table = planted(runs)
    print(f"{'planted':<14}{'runs':>6}{'breaks':>8}{'named':>8}{'wrong':>7}")
    for name, row in table.items():
        print(f"{name:<14}{row['runs']:>6}{row['breaks']:>8}{row['named']:>8}{row['wrong']:>7}")
    doctor = Doctor()
    for number, run in enumerate(runs):
        for _ in doctor.follow(run, f"run-{number}"):
            pass
    facts = machine.facts()
    figures = {
        "breaks_planted": sum(row["breaks"] for row in table.values()),
        "breaks_named": sum(row["named"] for row in table.values()),
        "breaks_named_pct": round(
            100 * sum(row["named"] for row in table.values()) / sum(row["breaks"] for row in table.values()), 2
        ),
        "kinds_named": sum(row["named"] == row["breaks"] for row in table.values()),
        "kinds": len(table),
        "named_wrongly": sum(row["wrong"] for row in table.values()),
        "false_alarms": sum(clean.values()),
        "us_per_request": round(statistics.median(doctor.spent_us), 1),
        "memory_mib": round(doctor.breaks.held_bytes / 2**20, 1),
    }
    print(
        f"\nµs to look at a request: median {figures['us_per_request']}; {facts['cpu']}, {facts['cores']} cores, Python {facts['python']}\n"
    )
    print(json.dumps({"benchmark": "breaks", **figures, "by_kind": table, "machine": facts}))


if __name__ == "__main__":
    main()
