"""Limits as their owner states them, and as policy applies them: one rule for each thing that is limited.

A `Limit` is one `[[limits]]` table of jevons.toml, one body of the admin API. `rules_of` makes its rules: frozen values with whole
numbers. Does not know: accounts, what was spent, where limits are kept.
"""

import enum
import re
from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Literal

import msgspec

from jevons.core.money import parse_usd
from jevons.policy.windows import Window, window


class Scope(enum.StrEnum):
    """Whom a limit holds for, one account each: from the outermost to the innermost."""

    ORG = "org"
    TEAM = "team"
    KEY = "key"
    AGENT = "agent"
    RUN = "run"
    """A run with all its children."""
    CHILD = "child"
    """Each run that another run started, with its own children."""


class Measure(enum.StrEnum):
    """What is limited. The first ten are counted in accounts (held, then posted); the others are looked at when a call comes."""

    USD = "usd"
    """Billed cost, nano-USD."""
    LIST_USD = "list_usd"
    """Cost at list price, also where a subscription pays."""
    TOKENS = "tokens"
    INPUT = "input_tokens"
    """Uncached input."""
    CACHE_READ = "cache_read_tokens"
    CACHE_WRITE = "cache_write_tokens"
    OUTPUT = "output_tokens"
    REASONING = "reasoning_tokens"
    STEPS = "steps"
    """Model requests; our own retries are none."""
    CONCURRENT = "concurrent"

    SECONDS = "seconds"
    """Wall clock since the run's first call."""
    DEPTH = "depth"
    """1 = a run that no run started."""
    CHILDREN = "children"
    """Runs that one run started itself."""
    CONTEXT = "context_tokens"
    """Input tokens of one call."""
    GROWTH = "context_growth"
    """Input tokens of a call as a multiple of those of the run's first call, in hundredths."""
    REPEATS = "repeats"
    """How often the latest steps say the same: identical calls with identical results, cycles of them, near-identical turns."""
    IDENTICAL = "identical_calls"
    """The most frequent call with one result among the latest."""
    STALLED = "stalled_tokens"
    """By how much the context grew since anything new happened."""
    OUTPUT_CAP = "output_cap"
    """Output tokens of one answer: never refused, cut."""


COUNTED = tuple(list(Measure)[:10])
"""Measures of accounts, in the order of an `Amounts`."""
SUMMED = frozenset(COUNTED) - {Measure.CONCURRENT}
"""What a window sums. The others are as they are at the instant of a call, whatever the window."""
MONEY = frozenset({Measure.USD, Measure.LIST_USD})
OF_A_RUN = frozenset(
    {Measure.SECONDS, Measure.DEPTH, Measure.CHILDREN, Measure.GROWTH, Measure.REPEATS, Measure.IDENTICAL, Measure.STALLED}
)

RESERVED = frozenset({"key", "run-budget"})
"""Names of the accounts that every key and every run has without a limit of the operator's (`policy.books`)."""

Mode = Literal["off", "observe", "enforce"]
Number = int | float | str


class Limit(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One limit as it is written: whom it holds for, what it limits, what happens there."""

    name: str
    scope: Literal["org", "team", "key", "agent", "run", "child"] = "key"
    org: str = "*"
    """Shell patterns: the limit holds for callers that match all of them."""
    team: str = "*"
    key: str = "*"
    agent: str = "*"
    model: str = "*"
    """Only calls of these models count, and are limited."""
    per: str = "total"
    """total, run, hour, day, week, month, year (calendar), or a rolling length: 5m, 24h, 7d."""
    timezone: str = "UTC"
    mode: Mode = "enforce"

    usd: Number | None = None
    list_usd: Number | None = None
    tokens: int | None = None
    input_tokens: int | None = None
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None
    output_tokens: int | None = None
    reasoning_tokens: int | None = None
    steps: int | None = None
    concurrent: int | None = None
    seconds: int | None = None
    depth: int | None = None
    children: int | None = None
    context_tokens: int | None = None
    context_growth: float | None = None
    repeats: int | None = None
    identical_calls: int | None = None
    stalled_tokens: int | None = None
    output_cap: int | None = None

    warn: Number | None = None
    """The agent is warned from here on (a header; a note, where notes are on). In the unit of the one measure that is limited."""
    approve: Number | None = None
    """From here on a person is asked."""
    degrade_at: float | None = None
    """Share of a money limit (0 to 1) from which calls go to a cheaper model of `degrade_to`."""
    degrade_to: tuple[str, ...] = ()


BUILT_IN = (Limit("loops", scope="run", repeats=20, warn=5, approve=10, mode="observe"),)
"""Limits that hold until one of their name is set: a run that repeats itself is noted."""


def named_and_built_in(limits: Iterable[Limit]) -> list[Limit]:
    """These, and the built-in ones whose names they leave free."""
    stated = list(limits)
    named = {limit.name for limit in stated}
    return [*stated, *(limit for limit in BUILT_IN if limit.name not in named)]


class Rule(msgspec.Struct, frozen=True):
    """One measure limited for one scope."""

    name: str
    scope: Scope
    measure: Measure
    limit: int
    """Nano-USD for money, hundredths for `context_growth`, else a count."""
    window: Window = Window()
    enforced: bool = True
    """False: observed. What would have been refused is served and recorded."""
    org: str = "*"
    team: str = "*"
    key: str = "*"
    agent: str = "*"
    model: str = "*"
    warn: int | None = None
    approve: int | None = None
    degrade_pct: int | None = None
    degrade_to: tuple[str, ...] = ()

    @property
    def index(self) -> int:
        """Place of its measure in an `Amounts`."""
        return COUNTED.index(self.measure)

    @property
    def counted(self) -> bool:
        return self.measure in COUNTED


class Who(msgspec.Struct, frozen=True):
    """Whom a call is for, by names (they never change), outermost first."""

    org: str
    team: str
    key_id: int
    key: str
    agent: str
    run: str | None = None
    """Label of its run, unique under its key."""


def applies(rule: Rule, who: Who, model: str) -> bool:
    """Does the rule hold for this caller and the model that is to be called?"""
    if rule.scope is Scope.TEAM and not who.team:
        return False
    if rule.scope is Scope.AGENT and not who.agent:
        return False
    if rule.scope in (Scope.RUN, Scope.CHILD) and who.run is None:
        return False
    pairs = ((rule.org, who.org), (rule.team, who.team), (rule.key, who.key), (rule.agent, who.agent), (rule.model, model))
    return all(matches(name, pattern) for pattern, name in pairs)


def matches(name: str, pattern: str) -> bool:
    """Is the name the pattern, or one that the shell pattern covers? So "claude-opus[1m]" is found by its own name."""
    return pattern in ("*", name) or fnmatchcase(name, pattern)


def subject(scope: Scope, who: Who, run: str | None = None) -> str:
    """Whom an account of this scope belongs to, as people read it and as it is kept: "run:alice/5d1f…". `run`: the run of the level."""
    match scope:
        case Scope.ORG:
            return f"org:{who.org}"
        case Scope.TEAM:
            return f"team:{who.org}/{who.team}"
        case Scope.KEY:
            return f"key:{who.key}"
        case Scope.AGENT:
            return f"agent:{who.key}/{who.agent}"
    return f"run:{who.key}/{run if run is not None else who.run}"


def rules_of(limit: Limit) -> tuple[Rule, ...]:
    """The rules of one limit; none if it is off. Raises ValueError naming the limit and what is wrong."""
    try:
        return _rules_of(limit)
    except ValueError as error:
        raise ValueError(f"limit {limit.name!r}: {error}") from None


def _rules_of(limit: Limit) -> tuple[Rule, ...]:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", limit.name):
        raise ValueError("a name has 1 to 64 letters, digits, dots, dashes or underscores")
    if limit.name in RESERVED:
        raise ValueError("this name is taken by the accounts that every key and run has; choose another")
    scope = Scope(limit.scope)
    per = limit.per
    if per == "total" and scope in (Scope.RUN, Scope.CHILD):
        per = "run"
    if per == "run" and scope not in (Scope.RUN, Scope.CHILD):
        raise ValueError(f'per = "run" needs scope = "run" or "child", not {limit.scope!r}')
    span = window(per, limit.timezone)
    amounts = {m: _amount(m, value) for m in Measure if (value := getattr(limit, m.value)) is not None}
    if not amounts:
        raise ValueError(f"it limits nothing; state one of {', '.join(Measure)}")
    for measure in amounts:
        if measure in OF_A_RUN and scope not in (Scope.RUN, Scope.CHILD):
            raise ValueError(f'{measure} is of a run; use scope = "run" or "child"')
    if len(amounts) > 1 and (limit.warn is not None or limit.approve is not None):
        raise ValueError("warn and approve are in the unit of the measure; limit one measure where they are used")
    money = [measure for measure in amounts if measure in MONEY]
    if limit.degrade_at is not None and (not money or not limit.degrade_to):
        raise ValueError("degrade_at needs a limit in usd and the cheaper models in degrade_to")
    if limit.degrade_at is None and limit.degrade_to:
        raise ValueError("degrade_to needs degrade_at, the share of the limit from which calls go to the cheaper models")
    if limit.degrade_at is not None and not 0 <= limit.degrade_at <= 1:
        raise ValueError("degrade_at is a share of the limit: 0 to 1")
    if limit.mode == "off":
        return ()
    rules = []
    for measure, amount in amounts.items():
        degrades = measure in MONEY and limit.degrade_at is not None
        rule = Rule(
            name=limit.name,
            scope=scope,
            measure=measure,
            limit=amount,
            window=span if measure in SUMMED or per == "run" else Window(),
            enforced=limit.mode == "enforce",
            org=limit.org,
            team=limit.team,
            key=limit.key,
            agent=limit.agent,
            model=limit.model,
            warn=None if limit.warn is None else _amount(measure, limit.warn),
            approve=None if limit.approve is None else _amount(measure, limit.approve),
            degrade_pct=round((limit.degrade_at or 0) * 100) if degrades else None,
            degrade_to=limit.degrade_to if degrades else (),
        )
        points = [point for point in (rule.warn, rule.approve, amount) if point is not None]
        if points != sorted(points):
            raise ValueError("warn, approve and the limit ascend")
        rules.append(rule)
    return tuple(rules)


def _amount(measure: Measure, value: Number) -> int:
    if measure in MONEY:
        amount = parse_usd(repr(value) if isinstance(value, float) else str(value))
    elif measure is Measure.GROWTH:
        amount = _hundredths(value)
    elif isinstance(value, int):
        amount = value
    else:
        raise ValueError(f"{measure} is a whole number, not {value!r}")
    if not 0 <= amount < 2**62:
        raise ValueError(f"{measure} is {value}; it must be 0 or more, and fit 62 bits")
    return amount


def _hundredths(value: Number) -> int:
    try:
        return round(float(value) * 100)
    except (ValueError, OverflowError):
        raise ValueError(f"{Measure.GROWTH} is a number such as 2.5, not {value!r}") from None
