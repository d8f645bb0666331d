"""What each agent did, as a table for people."""

import json
from typing import Any

from tests.agents.agent import DONE, Agent, Ran, readable
from tests.agents.tap import Exchange

HEAD = ("agent", "version", "job", "recognised by", "requests", "denied", "after it", "seconds to end", "exit", "it showed")
SHOWN_CHARACTERS = 60

ROWS: list[tuple[str, ...]] = []


def add_row(agent: Agent, job: str, ran: Ran, runs: list[dict[str, Any]]) -> None:
    """One job; `runs` as the ledger has them."""
    recognised = ", ".join(sorted({run["source"] for run in runs})) + (f" ({len(runs)} runs)" if len(runs) > 1 else "")
    expected, about = DONE, ("", "", "")
    if ran.first_denial < len(ran.calls):
        expected = message_of(ran.denial)
        status = f"{ran.denial.status}, failed" if ran.denial.status == 200 else str(ran.denial.status)
        about = (f"no. {ran.first_denial + 1}: {status}", str(len(ran.after_denial)), f"{ran.seconds_to_end:.1f}")
    shown = "what it should" if expected in ran.output else "…" + ran.output.strip()[-SHOWN_CHARACTERS:]
    row = (agent.name, agent.version, job, recognised, str(len(ran.calls)), *about, str(ran.status), shown)
    ROWS.append(row)


def message_of(denial: Exchange) -> str:
    """The sentence for people in an error of any dialect, or in the one event of a stream that failed."""
    answer = json.loads(denial.answer.partition(b"data: ")[2] if denial.status == 200 else denial.answer)
    return readable(answer.get("response", answer)["error"]["message"])


def table() -> str:
    """All rows so far, in columns."""
    rows = [HEAD, *ROWS]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEAD))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)
