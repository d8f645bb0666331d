"""kill -9 at every named point of the journey, in the recovery and in a checkpoint: the provider's journal is the judge.

CI kills at each point once with one call under way and once with eight. The full measure, ten times each (about 300 kills):
`JEVONS_SOAK=1 make test ARGS="tests/durability/test_kill.py -s"`
"""

import os
import random
import re
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from jevons.ledger.bill import open_holds
from tests.durability.load import Call, Told, load
from tests.durability.oracle import reconcile
from tests.durability.reaper import death_at, needs_gcc
from tests.provider import Provider
from tests.running import Jevons, upstream

SOAK = bool(os.environ.get("JEVONS_SOAK"))
KILLS = 10 if SOAK else 1
"""At each point, for each number of calls under way."""
POINTS = (
    "hold_unwritten",
    "hold_torn",
    "hold_written",
    "hold_synced",
    "request_half",
    "request_sent",
    "answer_begun",
    "mid_stream",
    "usage_seen",
    "entry_torn",
    "entry_written",
    "entry_synced",
    "end_sent",
)
"""In the order of the journey; native/reaper.c says what each means."""
REACHED = {"request_sent", "answer_begun", "mid_stream", "usage_seen", "entry_torn", "entry_written", "entry_synced", "end_sent"}
"""Points at which the provider has the whole request."""
EXACT = {"entry_written", "entry_synced", "end_sent"}
"""Points at which the entry is in the log, and a kill (unlike a power loss) cannot take it away."""
SIGKILLED = -9
pytestmark = [needs_gcc, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def stand_in() -> Iterator[Provider]:
    with Provider() as started:
        yield started


@pytest.fixture(scope="module")
def furnished(stand_in: Provider, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A home with a key in it, and that key."""
    home = tmp_path_factory.mktemp("furnished") / "home"
    with Jevons(home) as jevons:
        key = jevons.key("mortal", "1000")
    return home, key


class Field:
    """One home and all that was asked of it; a gateway over it for each life."""

    def __init__(self, home: Path, key: str, provider: Provider, name: str) -> None:
        self.home, self.key, self.provider, self.name = home, key, provider, name
        self.told: list[Told] = []
        self.lives = 0

    def gateway(self, environ: dict[str, str] | None = None) -> Jevons:
        self.lives += 1
        return Jevons(
            self.home,
            upstream("openai", self.provider.openai_url, retries=0),
            upstream("anthropic", self.provider.url, "anthropic", retries=0),
            environ=environ,
        )

    def mark(self) -> str:
        """The run id of the call in which the next life ends."""
        return f"{self.name}.{self.lives + 1}.marked"

    def calls(self, count: int, marked: int = -1, *, streamed: bool = False) -> list[Call]:
        """Whole and streamed, Chat and Messages in turn; the marked one writes its events one by one."""
        made = []
        for n in range(count):
            door = ("chat", "messages")[(n + self.lives) % 2]
            if n == marked:
                made.append(
                    Call(f"{self.name}.{self.lives}.marked", door, stream=streamed or self.lives % 3 > 0, script={"delay_ms": 4})
                )
            else:
                made.append(Call(f"{self.name}.{self.lives}.{n}", door, stream=n % 4 > 1))
        return made

    def live(self, jevons: Jevons, calls: list[Call], at_once: int) -> list[Told]:
        """Start (and recover), make the calls, die."""
        jevons.start()
        self.check(jevons)
        told = load(int(jevons.url.rpartition(":")[2]), self.key, calls, at_once)
        try:
            assert jevons.wait_dead() == SIGKILLED
        finally:
            jevons.kill()  # only if it missed its point
        self.told += told
        return told

    def check(self, jevons: Jevons) -> None:
        mine = [attempt for attempt in self.provider.attempts() if str(attempt.marker).startswith(f"{self.name}.")]
        self.entries = reconcile(jevons, mine, self.told)
        self.received = {str(attempt.marker) for attempt in mine}

    def recovered(self) -> None:
        """One more start, without death in it."""
        with self.gateway() as jevons:
            self.check(jevons)


@pytest.fixture
def field(furnished: tuple[Path, str], stand_in: Provider, tmp_path: Path, request: pytest.FixtureRequest) -> Field:
    home, key = furnished
    shutil.copytree(home, tmp_path / "home")
    return Field(tmp_path / "home", key, stand_in, re.sub(r"\W+", "-", request.node.name).removeprefix("test_"))


@pytest.mark.parametrize("point", POINTS)
def test_killed_at(point: str, field: Field) -> None:
    marks = []
    for at_once in (1, 8) * KILLS:
        mark = field.mark()
        jevons = field.gateway(death_at(point, mark, field.provider.port))
        field.live(jevons, field.calls(16, marked=4 if at_once == 1 else 9, streamed=point == "mid_stream"), at_once)
        marks.append(mark)
    field.recovered()
    for mark in marks:
        assert (mark in field.received) == (point in REACHED)
        if point in REACHED or point in ("hold_written", "hold_synced", "request_half"):
            assert field.entries[mark]["outcome"] == ("ok" if point in EXACT else "killed")
        else:
            assert mark not in field.entries
    print(f"{point}: {len(marks)} kills, {len(field.entries)} entries, {len(field.received)} received")


@pytest.mark.parametrize("at_once", [1, 8])
def test_killed_in_the_recovery(at_once: int, field: Field) -> None:
    """A start that settles what a kill left open is killed itself, at some write of the log, again at another, and before its sync."""
    deaths = 0
    for n in range(KILLS):
        mark = field.mark()
        field.live(
            field.gateway(death_at("request_sent", mark, field.provider.port)),
            field.calls(16, marked=4 if at_once == 1 else 9),
            at_once,
        )
        assert open_holds(field.home / "ledger.db") != []
        for point, count in (("log_write", 1 + n), ("log_write", 10 - n), ("log_sync", 1)):
            with pytest.raises(RuntimeError, match="status -9"):
                field.gateway(death_at(point, "", field.provider.port, count)).start()
            deaths += 1
    field.recovered()
    assert sum(entry["outcome"] == "killed" for entry in field.entries.values()) >= KILLS
    print(f"recovery: {deaths} kills in it, {len(field.entries)} entries")


@pytest.mark.parametrize("point", ["file_write", "file_sync"])
def test_killed_in_a_checkpoint(point: str, field: Field) -> None:
    """The log is being carried over into the ledger itself: the first, or a later page, or before these are synced."""
    for n, at_once in enumerate((1, 8) * KILLS):
        jevons = field.gateway(death_at(point, "", field.provider.port, 1 + n * 3 % 10 if point == "file_write" else 1))
        field.live(jevons, field.calls(1_000), at_once)
        field.recovered()  # with another checkpoint in it
    print(f"{point}: {2 * KILLS} kills, {len(field.entries)} entries, {len(field.received)} received")


def test_killed_anywhere_under_load(field: Field) -> None:
    """At a random one of the writes, syncs, sends and receipts of sixteen callers."""
    chance = random.Random(1865)
    for _ in range(10 * KILLS if SOAK else 5):
        jevons = field.gateway(death_at("any", field.mark(), field.provider.port, chance.randint(20, 2_000)))
        field.live(jevons, field.calls(400, marked=chance.randrange(100)), 16)
    field.recovered()
    outcomes = Counter(entry["outcome"] for entry in field.entries.values())
    print(f"anywhere: {field.lives - 1} kills, {len(field.received)} received, {dict(outcomes)}")
