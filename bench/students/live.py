"""One stream through a real gateway: captured, trained, tried, promised, served, by the commands that an operator has.

Comes in: requests in order of time. Goes out: who answered each, what all of it cost by the ledger (shadows too), how often a student said something
else than its teacher would have, and what erasing the examples of a key finds. The teacher is the stand-in provider, told in a header what to say; its
answers are priced as gpt-4o's.
"""

import http.client
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import apsw

from bench.students.loop import DELTA, FIRST, GROWTH, SAMPLE, SOON, Told, Training
from bench.students.sets import Row, Task
from jevons.core.entry import parse_request_text
from jevons.ledger.bill import check
from tests.provider import Provider
from tests.running import Jevons, upstream

TEACHER = "gpt-4o"
WINDOW = 100
LOOK_EVERY = 25
"""Requests between two looks at how much is captured."""
ORG = "school"


class Window(NamedTuple):
    """So many requests, one after the other."""

    requests: int
    local: int
    differs: int
    nusd: int
    """All entries: answers and samples."""


class Live(NamedTuple):
    told: list[Told]
    windows: list[Window]
    trained: list[Training]
    seconds: float
    teacher_nusd: float
    """What a request costs at the teacher, in the mean."""
    unbalanced: int
    """Findings of the ledger's own check; 0 = its books balance."""
    erased: dict[str, Any]
    """`jevons capture erase` of the key that taught."""


def run(
    task: Task,
    rows: Sequence[Row],
    folder: Path,
    alpha: float,
    grader: str,
    same: Callable[[str, str], bool],
    say: Callable[[str], None],
) -> Live:
    name = task.name
    route = {
        "name": name, "to": [f"student/{name}", TEACHER], "choose": "learned", "stage": "full", "share": 1.0, "sample": SAMPLE,
        "sample_usd_day": "100", "alpha": alpha, "delta": DELTA, "grader": grader,
    }  # fmt: skip
    began = time.monotonic()
    with Provider() as provider:
        teacher = upstream("openai", provider.openai_url, models=("gpt-*",), retries=0)
        with Jevons(folder / name, teacher, routes=[route], capture={"orgs": [ORG]}) as jevons:
            stream = Stream(jevons, task, rows, alpha, same, say)
            stream.run()
            erased = json.loads(jevons.run("capture", "erase", "--key", "pupil", "--json"))
            jevons.stop()
            windows, teacher_nusd = booked(jevons, stream)
            return Live(
                stream.told, windows, stream.trained, time.monotonic() - began, teacher_nusd, len(check(jevons.ledger)), erased
            )


class Stream:
    """The client, and the operator beside it."""

    def __init__(
        self,
        jevons: Jevons,
        task: Task,
        rows: Sequence[Row],
        alpha: float,
        same: Callable[[str, str], bool],
        say: Callable[[str], None],
    ) -> None:
        self._jevons, self._task, self._rows, self._alpha, self._same, self._say = jevons, task, rows, alpha, same, say
        self._key = jevons.key("pupil", org=ORG)
        self._due = FIRST
        self.told: list[Told] = []
        self.ids: list[int] = []
        """First entry id of each request."""
        self.trained: list[Training] = []

    def run(self) -> None:
        wire = http.client.HTTPConnection(self._jevons.url.partition("://")[2], timeout=60)
        for number, row in enumerate(self._rows):
            self.told.append(self._ask(wire, row))
            if number % LOOK_EVERY == 0 and self._captured() >= self._due:
                self._train(number)
            if (number + 1) % 1_000 == 0:
                late = self.told[-1_000:]
                self._say(
                    f"  {self._task.name}: {number + 1:,} requests, of the last 1,000 {sum(one.local for one in late) / 10:.0f} % local"
                )
        wire.close()

    def _ask(self, wire: http.client.HTTPConnection, row: Row) -> Told:
        messages = [{"role": "system", "content": self._task.system}, {"role": "user", "content": row.question}]
        body = json.dumps({"model": "auto", "max_tokens": 200, "messages": messages}).encode()
        headers = {
            "authorization": f"Bearer {self._key}",
            "content-type": "application/json",
            "x-stand-in-script": json.dumps({"reply": row.said}),
        }
        wire.request("POST", "/v1/chat/completions", body, headers)
        answer = wire.getresponse()
        said = json.loads(answer.read())
        if answer.status != 200:
            raise RuntimeError(f"{answer.status}: {said}")
        first = parse_request_text(answer.headers["x-jevons-request-id"])
        assert first is not None
        self.ids.append(first)
        text = said["choices"][0]["message"]["content"]
        local = answer.headers["x-jevons-route"].startswith("student/")
        return Told(local, not local, local and not self._same(text, row.said), not self._same(text, row.right))

    def _captured(self) -> int:
        """Examples so far. What was just answered may still be on its way."""
        path = self._jevons.home / "captured.db"
        with apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY) as db:
            return int(db.execute("SELECT count(*) FROM examples").fetchone()[0])

    def _train(self, number: int) -> None:
        count = self._captured()
        self._due = round(GROWTH * count)
        options = ("--org", ORG, "--alpha", str(self._alpha), "--delta", str(DELTA), "--json")
        try:
            made = json.loads(self._jevons.run("students", "train", self._task.name, *options))
        except RuntimeError as error:
            self._due = round(SOON * count)
            self._say(f"  {self._task.name}: no student of {count:,} examples: {str(error).splitlines()[-1]}")
            return
        card = made["card"]
        poisoned = int(card["provenance"]["dropped"].get("poisoned", 0))
        self.trained.append(Training(number, count, card["train_s"], poisoned, card["measured"]["coverage"]))
        self._say(f"  {self._task.name}: version {made['version']} of {count:,} examples, {card['train_s']:.1f} s")


def booked(jevons: Jevons, stream: Stream) -> tuple[list[Window], float]:
    """What each window cost, by the ledger; and a request at the teacher."""
    entries = jevons.entries()
    answers = [one for one in entries if one["upstream"] == "openai" and not one["role"]]
    teacher_nusd = sum(one["list_nusd"] for one in answers) / max(1, len(answers))
    costs = sorted((one["id"], one["list_nusd"]) for one in entries)
    windows, place = [], 0
    for begin in range(0, len(stream.told), WINDOW):
        told = stream.told[begin : begin + WINDOW]
        end = stream.ids[begin + WINDOW] if begin + WINDOW < len(stream.ids) else 1 << 62
        nusd = 0
        while place < len(costs) and costs[place][0] < end:
            nusd += costs[place][1]
            place += 1
        windows.append(Window(len(told), sum(one.local for one in told), sum(one.differs for one in told), nusd))
    return windows, teacher_nusd
