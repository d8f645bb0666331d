"""An explanation's effects sum to the change, whatever changed; and they are what a slow, independent implementation finds."""

import random
from collections.abc import Iterator, Mapping
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import pytest

from jevons.core.entry import Entry, first_id_of_ms
from jevons.core.price import HELD, Line
from jevons.core.usage import Usage
from jevons.economics.explain import BY, Every, Explanation, explain, follow
from jevons.economics.frames import Span
from jevons.ledger.bill import check
from jevons.ledger.ops import Adjusted, Imported, ImportRow, Key, KeyCreated, KeySettings, Op, Posted
from jevons.ledger.rollup import DAY_MS
from jevons.ledger.sqlite import SqliteStore
from tests.economics import oracle
from tests.ledger.making import make_entry, make_hold

FIRST_DAY = 20_000
TEAMS = ("search", "growth", "payments", "others")
IMPORTED = frozenset({3, 4})
"""Keys of the last two teams: rows of others' logs."""
MODELS = (
    ("anthropic", "claude-opus-4-1"),
    ("anthropic", "claude-opus-4-5"),
    ("anthropic", "claude-haiku-4-5"),
    ("openai", "gpt-5.1"),
    ("openai", "gpt-5-mini"),
)
KINDS = ("input", "cache_read", "cache_write_5m", "cache_write_1h", "output")


def keys() -> list[Op]:
    return [
        KeyCreated(
            Key(
                number,
                f"key-{team}",
                bytes([number]) * 32,
                "",
                0,
                settings=KeySettings(team=team, source="litellm" * (number in IMPORTED)),
            )
        )
        for number, team in enumerate(TEAMS, 1)
    ]


class Books:
    """Writes entries of whole days into a ledger."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.store = SqliteStore(path, synchronous="OFF")
        self.store.apply(keys())
        self.written = 0
        self.ops: list[Op] = []
        self.nusd: dict[int, int] = {}
        """Day -> what was billed, corrections included."""

    def close(self) -> None:
        self.store.apply(self.ops)
        self.store.close()

    def add(
        self,
        day: int,
        key_id: int,
        agent: str,
        run: str | None,
        model: tuple[str, str],
        parts: dict[str, tuple[int, int]],
        **said: Any,
    ) -> None:
        """`parts`: kind -> (count, nano-dollars at list price)."""
        self.written += 1
        listed = sum(nusd for _, nusd in parts.values())
        fields = {"billed_nusd": listed, "requests": 1, **said}
        hold = make_hold(
            first_id_of_ms(day * DAY_MS + self.written % DAY_MS),
            key_id=key_id,
            agent=agent,
            run_id=run,
            upstream=model[0],
            target=model[1],
        )
        entry: Entry = make_entry(
            hold,
            listed,
            usage=Usage(**{kind: parts[kind][0] for kind in KINDS if kind in parts}),
            lines=tuple(Line(kind, count, nusd, 1) for kind, (count, nusd) in parts.items()),
            source="litellm" * (key_id in IMPORTED),
            **fields,
        )
        self.nusd[day] = self.nusd.get(day, 0) + entry.billed_nusd
        self.ops.append(Imported((ImportRow(self.written.to_bytes(16, "big"), entry),)) if entry.source else Posted(entry))

    def correct(self, day: int, key_id: int, nusd: int) -> None:
        self.nusd[day] = self.nusd.get(day, 0) + nusd
        self.ops.append(Adjusted(key_id, nusd, "", day * DAY_MS + 1))


def adds_up(found: Explanation) -> None:
    """Every sum, in both columns, in whole numbers."""
    assert found.change_nusd == found.bill_nusd - found.base_nusd
    for column in ("lmdi_nusd", "shapley_nusd"):
        assert sum(getattr(effect, column) for effect in found.effects) == found.change_nusd
        for effect in found.effects:
            assert type(getattr(effect, column)) is int
            assert sum(getattr(segment, column) for segment in effect.segments) == getattr(effect, column)
    assert len({effect.name for effect in found.effects}) == len(found.effects)


# One thing changes, nothing else: its effect is the whole change, by either method.

OPUS, OLD_OPUS, HAIKU, GPT = MODELS[1], MODELS[0], MODELS[2], MODELS[3]
USUAL = {"input": (600, 6_000), "cache_read": (300, 300), "output": (100, 4_000)}
"""A call of 1,000 tokens for 10,300 nano-dollars."""


class Call(NamedTuple):
    """One call, or `times` of them in a row; all but what is said here as usual."""

    run: str | None
    model: tuple[str, str] = OPUS
    parts: dict[str, tuple[int, int]] = USUAL
    key_id: int = 1
    times: int = 1
    said: Mapping[str, Any] = MappingProxyType({})


def dearer(parts: dict[str, tuple[int, int]], factor: int) -> dict[str, tuple[int, int]]:
    return {kind: (count, nusd * factor) for kind, (count, nusd) in parts.items()}


def more(factor: int, *kinds: str) -> dict[str, tuple[int, int]]:
    return {kind: (n * factor, nusd * factor) if kind in kinds else (n, nusd) for kind, (n, nusd) in USUAL.items()}


BEFORE = [Call("one", times=2), Call("two", times=2)]
LONE = {
    "volume": [*BEFORE, Call("three", times=2), Call("four", times=2)],
    "depth": [Call("one", times=4), Call("two", times=4)],
    "context": [Call(run, parts=more(3, "input", "cache_read"), times=2) for run in ("one", "two")],
    "output": [Call(run, parts=more(3, "output"), times=2) for run in ("one", "two")],
    "cache": [Call(run, parts={"input": (900, 9_000), "output": USUAL["output"]}, times=2) for run in ("one", "two")],
    "price": [Call(run, parts=dearer(USUAL, 3), times=2) for run in ("one", "two")],
    "substitution": [Call("one", OLD_OPUS, dearer(USUAL, 3), times=2), BEFORE[1]],
    "lineage": [Call("one", GPT, dearer(USUAL, 2), times=2), BEFORE[1]],
    "tier": [Call("one", HAIKU, dearer(USUAL, 2), times=2), BEFORE[1]],
    "tariff": [Call("one", parts=dearer(USUAL, 2), times=2, said={"tariff": "service_tier=priority"}), BEFORE[1]],
    "fees": [Call(run, parts={**USUAL, "web_searches": (1, 10_000_000)}, times=2) for run in ("one", "two")],
    "discount": [Call(run, times=2, said={"billed_nusd": 0}) for run in ("one", "two")],
    "entry": [*BEFORE, Call("three", key_id=2)],
    "exit": [*BEFORE[:1], Call("two", times=2)],
    "held": [*BEFORE, Call("two", said={"tariff": HELD, "requests": 0})],
    "unattributed": [*BEFORE, Call(None, parts={"web_searches": (0, 7_000)}, key_id=3, said={"requests": 0})],
}


@pytest.mark.parametrize("cause", LONE)
def test_a_lone_cause_is_its_effect(tmp_path: Path, cause: str) -> None:
    books = Books(tmp_path / "ledger.db")
    before = [*BEFORE, Call("gone", key_id=2)] if cause == "exit" else BEFORE
    for day, calls in ((FIRST_DAY, before), (FIRST_DAY + 1, LONE[cause])):
        for call in calls:
            for _ in range(call.times):
                run = call.run and f"{call.run} of day {day}"
                books.add(day, call.key_id, "codex", run, call.model, call.parts, **call.said)
    books.close()
    found = explain(books.path, Span(FIRST_DAY + 1, FIRST_DAY + 2), Span(FIRST_DAY, FIRST_DAY + 1))
    adds_up(found)
    assert found.change_nusd != 0
    assert [(effect.name, effect.lmdi_nusd, effect.shapley_nusd) for effect in found.effects] == [
        (cause, *2 * (found.change_nusd,))
    ]


def test_a_correction_is_an_effect_of_its_own(tmp_path: Path) -> None:
    books = Books(tmp_path / "ledger.db")
    for day in (FIRST_DAY, FIRST_DAY + 1):
        books.add(day, 1, "codex", None, OPUS, USUAL)
    books.correct(FIRST_DAY + 1, 1, -7)
    books.close()
    found = explain(books.path, Span(FIRST_DAY + 1, FIRST_DAY + 2), Span(FIRST_DAY, FIRST_DAY + 1))
    assert [(effect.name, effect.lmdi_nusd) for effect in found.effects] == [("corrections", -7)]
    assert explain(books.path, Span(FIRST_DAY + 1, FIRST_DAY + 2), Span(FIRST_DAY, FIRST_DAY + 1), cost="list").effects == ()


def test_what_nobody_billed_is_explained_at_list_price(tmp_path: Path) -> None:
    books = Books(tmp_path / "ledger.db")
    for day, calls in ((FIRST_DAY, 1), (FIRST_DAY + 1, 3)):
        for _ in range(calls):
            books.add(day, 1, "codex", None, OPUS, USUAL, billed_nusd=0)
    books.close()
    found = explain(books.path, Span(FIRST_DAY + 1, FIRST_DAY + 2), Span(FIRST_DAY, FIRST_DAY + 1))
    assert (found.cost, found.base_nusd, found.bill_nusd) == ("list", 10_300, 30_900)
    assert [(effect.name, effect.lmdi_nusd) for effect in found.effects] == [("volume", 20_600)]
    billed = explain(books.path, Span(FIRST_DAY + 1, FIRST_DAY + 2), Span(FIRST_DAY, FIRST_DAY + 1), cost="billed")
    assert (billed.cost, billed.change_nusd, billed.effects) == ("billed", 0, ())


# Random pairs of days: nothing is likely, everything is possible.

PAIRS = 10_000
FILES = 40
AMOUNTS = (0, 1, 2, 7, 10**3, 10**6, 10**9, 10**12, 10**15, 3 * 10**15)


def wild_day(books: Books, rng: random.Random, day: int, leaves: list[tuple[Any, ...]]) -> None:
    for key_id, agent, model, tariff in leaves:
        if rng.random() < 0.25:
            continue  # it appears or vanishes
        for _ in range(rng.choice((1, 1, 2))):
            kinds = rng.sample((*KINDS, "web_searches"), rng.choice((0, 1, 2, 4)))
            parts = {kind: (wild(rng), wild(rng)) for kind in kinds}
            listed = sum(nusd for _, nusd in parts.values())
            billed = rng.choice((listed, listed, 0, listed // 3, 1))
            run = rng.choice((None, f"run-{rng.randint(0, 3)}", f"run-{day}"))
            books.add(
                day, key_id, agent, run, model, parts, tariff=tariff, billed_nusd=billed, requests=rng.choice((0, 1, 1, 5, 10**9))
            )
    if rng.random() < 0.1:
        books.correct(day, rng.choice((1, 2)), rng.choice((-1, 1)) * wild(rng))


def wild(rng: random.Random) -> int:
    amount = rng.choice(AMOUNTS)
    return rng.randint(amount // 2, amount)


@pytest.mark.timeout(600)
def test_ten_thousand_random_pairs_sum_exactly(tmp_path: Path) -> None:
    largest, smallest, effects = 0, 10**9, set()
    for file in range(FILES):
        rng = random.Random(file)
        path = tmp_path / f"{file}.db"
        books = Books(path)
        pairs = [FIRST_DAY + 2 * place for place in range(PAIRS // FILES)]
        for day in pairs:
            tariffs = ("", "service_tier=batch", ">200000", HELD if rng.random() < 0.1 else "")
            leaves = list(
                {
                    (rng.randint(1, 4), rng.choice(("codex", "aider")), rng.choice(MODELS), rng.choice(tariffs))
                    for _ in range(rng.randint(0, 4))
                }
            )
            wild_day(books, rng, day, leaves)
            wild_day(books, rng, day + 1, leaves)
        books.close()
        for day in pairs:
            found = explain(path, Span(day + 1, day + 2), Span(day, day + 1), by=rng.sample(BY, rng.randint(0, 4)), cost="billed")
            adds_up(found)
            assert (found.base_nusd, found.bill_nusd) == (books.nusd.get(day, 0), books.nusd.get(day + 1, 0))
            largest = max(largest, abs(found.change_nusd))
            smallest = min(smallest, abs(found.change_nusd) or smallest)
            effects |= {effect.name for effect in found.effects}
    assert (largest > 10**15, smallest) == (True, 1)
    assert effects >= {
        "volume",
        "mix",
        "depth",
        "tier",
        "lineage",
        "substitution",
        "tariff",
        "context",
        "output",
        "cache",
        "price",
    }
    assert effects >= {"fees", "discount", "corrections", "entry", "exit", HELD, "unattributed"}


def test_spans_of_any_length_sum_exactly_along_the_way(tmp_path: Path) -> None:
    for file in range(3):
        rng = random.Random(f"spans {file}")
        books = Books(tmp_path / f"{file}.db")
        for day in range(FIRST_DAY, FIRST_DAY + 70):
            leaves = [(rng.randint(1, 4), "codex", rng.choice(MODELS), rng.choice(("", HELD))) for _ in range(rng.randint(0, 3))]
            wild_day(books, rng, day, list(dict.fromkeys(leaves)))
        books.close()

        def nusd(first: int, after: int, books: Books = books) -> int:
            return sum(books.nusd.get(day, 0) for day in range(first, after))

        for _ in range(15):
            spans = [Span(first, first + rng.randint(1, 31)) for first in (rng.randint(FIRST_DAY, FIRST_DAY + 60) for _ in "ab")]
            found = explain(books.path, spans[1], spans[0], cost="billed")
            adds_up(found)
            assert (found.base_nusd, found.bill_nusd) == (nusd(*spans[0]), nusd(*spans[1]))
        lengths: dict[Every, int] = {"day": 1, "week": 7}
        for every, length in lengths.items():
            found = follow(books.path, Span(FIRST_DAY, FIRST_DAY + 70), every, cost="billed")
            adds_up(found)
            assert (found.base_nusd, found.bill_nusd) == (
                nusd(FIRST_DAY, FIRST_DAY + length),
                nusd(FIRST_DAY + 70 - length, FIRST_DAY + 70),
            )


# Against the judge: small tables, two days, nothing between.


def leaves(rng: random.Random) -> list[tuple[Any, ...]]:
    """(key, agent, model, tariff) that are there."""
    return [
        (key_id, agent, model, tariff)
        for key_id in rng.sample((1, 2, 3), rng.randint(1, 3))
        for agent in rng.sample(("codex", "aider"), rng.randint(1, 2))
        for model in rng.sample(MODELS, rng.randint(1, 4))
        for tariff in rng.sample(("", "service_tier=batch"), rng.randint(1, 2))
    ]


def sober_day(books: Books, rng: random.Random, day: int, leaves: list[tuple[Any, ...]], kinds: dict[Any, list[str]]) -> None:
    """All of these, with figures as a day could have them."""
    for leaf in leaves:
        key_id, agent, model, tariff = leaf
        for task in range(rng.randint(1, 4)):
            parts = {kind: (rng.randint(1, 10**6), rng.randint(10**3, 10**9)) for kind in kinds[leaf]}
            listed = sum(nusd for _, nusd in parts.values())
            books.add(
                day,
                key_id,
                agent,
                rng.choice((None, f"{day}-{key_id}-{agent}-{task}")),
                model,
                parts,
                tariff=tariff,
                billed_nusd=rng.randint(listed // 2, listed),
                requests=rng.randint(1, 30) if key_id in IMPORTED else 1,
            )


def cases(path: Path, missing: bool) -> Iterator[tuple[Explanation, dict[str, float], dict[str, Fraction]]]:
    """Explanations beside what the judge says. `missing`: some leaves and kinds are there on one side only."""
    rng = random.Random(missing)
    books, pairs = Books(path), [FIRST_DAY + 2 * place for place in range(60)]
    for day in pairs:
        present = leaves(rng)
        kinds = {leaf: rng.sample((*KINDS, "web_searches"), rng.randint(1, 6)) for leaf in present}
        fewer = [leaf for leaf in present if not missing or rng.random() < 0.8]
        less = {leaf: [kind for kind in kinds[leaf] if not missing or rng.random() < 0.9] or kinds[leaf] for leaf in fewer}
        sides = [(fewer, less), (present, kinds)]
        rng.shuffle(sides)
        for offset, (some, of_kinds) in enumerate(sides):
            sober_day(books, rng, day + offset, some, of_kinds)
    books.close()
    assert check(path) == []
    for day in pairs:
        found = explain(path, Span(day + 1, day + 2), Span(day, day + 1))
        adds_up(found)
        yield found, *oracle.effects_of(path, (day, day + 1), (day + 1, day + 2))


LINES = ("lineage", "entry", "exit")
"""How a line's coming and going is shared among these is a matter of names, not of amounts."""


def told(effects: dict[str, int | float | Fraction]) -> dict[str, float]:
    """Effects that are not nothing, those of lines as one."""
    sums: dict[str, float] = {}
    for name, nusd in effects.items():
        place = "lines" if name in LINES else name
        sums[place] = sums.get(place, 0.0) + float(nusd)
    return sums


@pytest.mark.parametrize("missing", [False, True])
def test_effects_are_those_of_an_independent_implementation(tmp_path: Path, missing: bool) -> None:
    for found, by_lmdi, by_shapley in cases(tmp_path / "ledger.db", missing):
        shown = [
            told({effect.name: getattr(effect, column) for effect in found.effects}) for column in ("lmdi_nusd", "shapley_nusd")
        ]
        for effects, expected in zip(shown, (told({**by_lmdi}), told({**by_shapley})), strict=True):
            for name in effects | expected:
                assert effects.get(name, 0) == pytest.approx(expected.get(name, 0), abs=100, rel=1e-9), name
