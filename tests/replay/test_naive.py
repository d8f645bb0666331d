"""A policy whose limits change in the middle, replayed over traffic that no limit held back: as plain lists and sums have it.

Each instant has only one event: takes come at multiples of four milliseconds, changes one later, ends three later.
"""

import asyncio
import shutil
import tempfile
from pathlib import Path

import apsw
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jevons.core.entry import ORDER_BITS
from jevons.meter.pricebook import PriceBook
from jevons.policy.rules import Limit
from jevons.policy.settle import Settled
from jevons.replay.eras import Dated, Policy, Stated
from jevons.replay.held import Held
from jevons.replay.run import Recordings
from tests.replay.naive import DAY_MS, Cap, Done, reference, team_of
from tests.replay.recorder import START_MS, Recorder, Request

BEGIN_MS = START_MS // DAY_MS * DAY_MS + DAY_MS - 60_000
"""A minute before midnight: days end on the way."""
NUSD = 10**9
OFF = Stated(limits=(Limit("loops", scope="run", repeats=20, mode="off"),))
CAPS = st.builds(
    Cap,
    st.sampled_from("abc"),
    st.sampled_from(("key", "team", "run")),
    st.just("usd"),
    st.integers(1_000_000, 60_000_000),
    st.sampled_from(("total", "day")),
) | st.builds(
    Cap, st.sampled_from("def"), st.sampled_from(("key", "team", "run")), st.just("steps"), st.integers(0, 8), st.just("total")
)
SETS = st.lists(CAPS, max_size=4, unique_by=lambda cap: cap.name)


@st.composite
def traffic(draw: st.DrawFn) -> list[Request]:
    requests, at_ms = [], BEGIN_MS
    for _ in range(draw(st.integers(1, 25))):
        at_ms += 4 * draw(st.sampled_from((1, 50, 200, 1_000, 5_000)))
        tokens = draw(st.integers(1, 2_000))
        cached = draw(st.integers(0, tokens))
        requests.append(
            Request(
                key_id=draw(st.integers(1, 3)),
                run=draw(st.sampled_from((None, "r", "s"))),
                input_tokens=draw(st.integers(tokens // 2 + 1, 2_000)),  # at times fewer than are billed
                output_cap=draw(st.sampled_from((None, 20, 300, 2_000))),
                used_input=tokens - cached,
                used_cached=cached,
                used_output=draw(st.integers(0, 2_500)),  # at times more than allowed
                takes_ms=4 * draw(st.integers(1, 700)) + 3,
                at_ms=at_ms,
            )
        )
    return requests


def limit_of(cap: Cap) -> Limit:
    amount = {"usd": f"{cap.amount / NUSD:.9f}"} if cap.measure == "usd" else {"steps": cap.amount}
    return Limit(cap.name, scope=cap.scope, per="run" if cap.scope == "run" and cap.per == "total" else cap.per, **amount)  # type: ignore[arg-type]


async def record(home: Path, book: PriceBook, requests: list[Request]) -> None:
    recorder = Recorder(home, book)
    for number in (1, 2, 3):
        await recorder.key(number, team=team_of(number))
    for request in requests:
        assert recorder.ask(request), "no limit held it back"
    recorder.close()


def replay(home: Path, book: PriceBook, policy: Policy) -> list[Done | None]:
    """What each recorded request holds and comes to, in the order in which they came; None = refused."""
    db = apsw.Connection(str(home / "ledger.db"), flags=apsw.SQLITE_OPEN_READONLY)
    ids = [row[0] for row in db.execute("SELECT id FROM entries ORDER BY id")]
    db.close()
    found: dict[int, Done] = {}

    def note(held: Held, settled: Settled) -> None:
        waited_ms = held.delay >> ORDER_BITS
        found[held.call.id] = Done(held.amounts[0], settled.billed_nusd, held.call.at_ms + waited_ms)

    recordings = Recordings(home, home / "ledger.db", book=book)
    with recordings.world(policy, stops=False) as world:
        world.on_post = note
        tally = recordings.run(world)
    assert tally.billed_nusd == sum(done.billed_nusd for done in found.values())
    return [found.get(entry_id) for entry_id in ids]


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(requests=traffic(), before=SETS, after=SETS, when=st.floats(0, 1))
def test_a_change_in_the_middle(
    book: PriceBook, requests: list[Request], before: list[Cap], after: list[Cap], when: float
) -> None:
    change_ms = BEGIN_MS + round((requests[-1].at_ms - BEGIN_MS) * when) // 4 * 4 + 1
    gone = tuple(cap.name for cap in before if cap.name not in {cap.name for cap in after})
    policy = Policy(
        "tried",
        stated=Stated((*OFF.limits, *map(limit_of, before))),
        changes=(Dated(change_ms, tuple(map(limit_of, after)), gone),),
    )
    home = Path(tempfile.mkdtemp(prefix="jevons-naive-"))
    try:
        asyncio.run(record(home, book, requests))
        found = replay(home, book, policy)
    finally:
        shutil.rmtree(home)
    expected = reference(requests, before, [(change_ms, after)])
    assert found == [expected.get(n) for n in range(len(requests))]
