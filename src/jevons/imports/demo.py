"""Nine weeks of a company that is not there, played from recorded traffic: what `jevons demo` fills a ledger of its own with.

The token counts are real: excerpts of public traces (data/demo_traffic.json says whose, and under which licence). Who used them when, as which
model, is made up, and is the same on every machine for the same last day. What happens is written in `STORY`. Prices are those of the price
book, with a discount of the demo's own (`rate_card`). Every row says that it is `demo`.

Comes in: the day after the last. Goes out: records, in order of time. Does not know: the ledger, the clock.
"""

import random
from collections.abc import Iterator
from datetime import date, timedelta
from functools import lru_cache
from importlib import resources
from itertools import chain
from typing import NamedTuple

import msgspec

from jevons.core.usage import Usage
from jevons.imports.record import Record
from jevons.ledger.rollup import DAY_MS, HOUR_MS

SOURCE = "demo"
DAYS = 63
"""Nine weeks: enough for weeks on a chart, and for a month against the one before."""
STORY = (
    (21, "the airline agent begins to take on more: up to three cases in one task, each in the context of those before"),
    (24, "the help desk moves from gpt-4o to gpt-5-mini, within eight days"),
    (30, "the airline agent's model is followed by the next of its line: claude-sonnet-4 by claude-sonnet-4-5"),
    (35, "a discount of 20 % on everything of Anthropic's"),
    (38, "the airline agent begins to start agents of its own"),
    (44, "for six days the reader finds nothing in the provider's cache"),
    (49, "a new team: operations, with a triage agent"),
)
"""(day, counted from 0; what happens from then on)."""
DEEPER, MOVED, SUCCEEDED, DISCOUNTED, SPAWNING, UNCACHED, JOINED = (day for day, _ in STORY)
MOVING_DAYS, UNCACHED_DAYS = 8, 6
SEED = 1865
WEEKEND = 0.55
"""Of a working day's traffic."""


class _Traffic(msgspec.Struct):
    """Token counts: (input, output); of Mooncake (input, cached, output); of tau-bench, the steps of each task."""

    azure_conv: list[tuple[int, int]]
    azure_code: list[tuple[int, int]]
    mooncake: list[tuple[int, int, int]]
    tau_airline: list[list[tuple[int, int]]]


class _Caller(NamedTuple):
    account: str
    team: str
    agent: str


HELP_DESK = _Caller("help-desk", "support", "help-desk")
AIRLINE = _Caller("airline-agent", "support", "airline-agent")
EDITOR = _Caller("editor", "engineering", "completion")
READER = _Caller("reader", "research", "reader")
TRIAGE = _Caller("triage", "operations", "triage")


def rate_card(last: date) -> str:
    """The demo's own prices, as prices.toml: a discount from one day of the story on."""
    return (
        "# Of the demo: a discount that begins in the middle of its story. Everything else is the price book's.\n"
        f'[[price]]\nprovider = "anthropic"\nfrom = {_first(last) + timedelta(DISCOUNTED)}\ndiscount = "20%"\n'
    )


def records(last: date) -> Iterator[Record]:
    """All of them; `last` is the last day."""
    rng = random.Random(SEED)
    traffic = _traffic()
    first_ms = (_first(last) - date(1970, 1, 1)).days * DAY_MS
    for day in range(DAYS):
        at_ms = first_ms + day * DAY_MS
        weekend = (_first(last) + timedelta(day)).weekday() >= 5
        share = (WEEKEND if weekend else 1) * (1 + day / DAYS / 4)
        made = list(
            chain(
                _help_desk(rng, traffic, day, at_ms, share),
                _editor(rng, traffic, at_ms, share),
                _reader(rng, traffic, day, at_ms, share),
                _airline(rng, traffic, day, at_ms, share),
                _triage(rng, traffic, day, at_ms, share),
            )
        )
        yield from sorted(made, key=lambda record: record.at_ms)


def _help_desk(rng: random.Random, traffic: _Traffic, day: int, at_ms: int, share: float) -> Iterator[Record]:
    moved = min(1.0, max(0.0, (day - MOVED + 1) / MOVING_DAYS))
    for _ in range(round(40 * share)):
        given, made = rng.choice(traffic.azure_conv)
        model = "gpt-5-mini" if rng.random() < moved else "gpt-4o"
        yield _record(rng, HELP_DESK, _moment(rng, at_ms), "openai", model, Usage(input=given, output=made))


def _editor(rng: random.Random, traffic: _Traffic, at_ms: int, share: float) -> Iterator[Record]:
    for _ in range(round(60 * share)):
        given, made = rng.choice(traffic.azure_code)
        yield _record(rng, EDITOR, _moment(rng, at_ms), "openai", "gpt-5-nano", Usage(input=given, output=made))


def _reader(rng: random.Random, traffic: _Traffic, day: int, at_ms: int, share: float) -> Iterator[Record]:
    broken = UNCACHED <= day < UNCACHED + UNCACHED_DAYS
    for _ in range(round(20 * share)):
        given, cached, made = rng.choice(traffic.mooncake)
        cached = 0 if broken else cached
        usage = Usage(input=given - cached, cache_read=cached, output=made)
        yield _record(rng, READER, _moment(rng, at_ms), "google", "gemini-2.5-flash", usage)


def _airline(rng: random.Random, traffic: _Traffic, day: int, at_ms: int, share: float) -> Iterator[Record]:
    model = "claude-sonnet-4-5" if day >= SUCCEEDED else "claude-sonnet-4-0"
    deeper = max(0.0, (day - DEEPER) / (DAYS - DEEPER))
    for _ in range(round(12 * share)):
        cases = 1 + (rng.random() < 1.5 * deeper) + (rng.random() < deeper)
        run = f"case-{rng.getrandbits(32):08x}"
        begin_ms = _moment(rng, at_ms)
        yield from _task(rng, traffic, AIRLINE, model, run, None, begin_ms, cases)
        if day >= SPAWNING and rng.random() < 0.5:
            for number in range(rng.choice((1, 2, 3))):
                yield from _task(rng, traffic, AIRLINE, model, f"{run}-{number + 1}", run, begin_ms + 40_000, 1)


def _triage(rng: random.Random, traffic: _Traffic, day: int, at_ms: int, share: float) -> Iterator[Record]:
    if day >= JOINED:
        for _ in range(round(8 * share)):
            run = f"triage-{rng.getrandbits(32):08x}"
            yield from _task(rng, traffic, TRIAGE, "claude-haiku-4-5", run, None, _moment(rng, at_ms), 1)


def _task(
    rng: random.Random, traffic: _Traffic, who: _Caller, model: str, run: str, parent: str | None, at_ms: int, cases: int
) -> Iterator[Record]:
    """One task: some cases, one after the other in one growing context. What a step was told before is read from the provider's cache."""
    context = cached = 0
    for case in range(cases):
        steps = rng.choice(traffic.tau_airline)
        system = steps[0][0] if case else 0  # the instructions are not told twice
        for given, made in steps:
            asked = max(context + given - system, cached)
            usage = Usage(cache_read=cached, cache_write_5m=asked - cached, output=made)
            yield _record(rng, who, at_ms, "anthropic", model, usage, run, parent)
            cached = asked
            at_ms += rng.randrange(3_000, 30_000)
        context = cached + made


def _record(
    rng: random.Random,
    who: _Caller,
    at_ms: int,
    provider: str,
    model: str,
    usage: Usage,
    run: str | None = None,
    parent: str | None = None,
) -> Record:
    return Record(
        identity=f"{who.account} {at_ms} {rng.getrandbits(48):012x}",
        at_ms=at_ms,
        model=model,
        provider=provider,
        usage=usage,
        account=who.account,
        team=who.team,
        org=SOURCE,
        agent=who.agent,
        run=run,
        parent_run=parent,
    )


def _moment(rng: random.Random, day_ms: int) -> int:
    """In working hours mostly; a task that begins by ten in the evening is over by midnight."""
    return day_ms + int(min(22.0, max(5.0, rng.gauss(13.0, 3.5))) * HOUR_MS) + rng.randrange(HOUR_MS // 4)


def _first(last: date) -> date:
    return last - timedelta(DAYS - 1)


@lru_cache(maxsize=1)
def _traffic() -> _Traffic:
    data = resources.files("jevons.imports").joinpath("data/demo_traffic.json").read_bytes()
    return msgspec.json.decode(data, type=_Traffic)
