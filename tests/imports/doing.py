"""Imports as tests run them, and the entries that they leave."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jevons.cli.operator import Operator
from jevons.imports.intake import Import, Report
from jevons.imports.kinds import KINDS, Options, files_of
from jevons.imports.rating import Rater
from jevons.imports.traces import Added
from jevons.ledger.bill import check, latest_entries
from jevons.ledger.home import Home
from jevons.meter.pricebook import PriceBook

SAMPLES = Path(__file__).parent / "samples"
CANARY = "CANARY-prompt-7f3a"
"""What the samples have in place of prompts and answers."""
NOW_S = datetime(2026, 11, 22, tzinfo=UTC).timestamp()


def bring(
    home: Home,
    book: PriceBook,
    kind: str,
    *paths: Path,
    subscription: bool = False,
    trace: Added = Added(),  # noqa: B008
    team_from_project: bool = False,
    now_s: float = NOW_S,
    **more: Any,
) -> Report:
    """One import into the ledger of a home where nobody serves."""
    rater = Rater(book, subscription=subscription)
    options = Options(team_from_project, trace)
    with Operator(home).intake() as door:
        begun = Import(
            KINDS[kind], door, rater, options=options, aside=home.path / "imports" / "aside.jsonl", clock=lambda: now_s, **more
        )
        return begun.run(files_of(paths, KINDS[kind]))


def sample(home: Home, book: PriceBook, kind: str, name: str, **more: Any) -> list[dict[str, Any]]:
    """Import a sample; the entries of the ledger, oldest first."""
    bring(home, book, kind, SAMPLES / name, **more)
    return entries(home)


def entries(home: Home) -> list[dict[str, Any]]:
    """All entries, oldest first; `lines` as (kind, count, nusd)."""
    assert check(home.ledger) == []
    found = latest_entries(home.ledger, 1_000_000)[::-1]
    return [{**one, "lines": [(line["kind"], line["count"], line["nusd"]) for line in one["lines"]]} for one in found]


def tokens(entry: dict[str, Any]) -> tuple[int, ...]:
    """input, cache_read, cache_write_5m, cache_write_1h, output, reasoning"""
    return tuple(entry[kind] for kind in ("input", "cache_read", "cache_write_5m", "cache_write_1h", "output", "reasoning"))


def sums(home: Home) -> list[tuple[Any, ...]]:
    """What no order, no repetition and no interruption may change: every row but for its place in its millisecond."""
    columns = "source run_id target input cache_read cache_write_5m cache_write_1h output requests list_nusd billed_nusd unknown".split()
    return sorted((one["id"] >> 18, *(str(one[column]) for column in columns)) for one in entries(home))


def spend_rows(number: int) -> list[dict[str, Any]]:
    """Rows of a LiteLLM spend log."""
    start = datetime(2026, 9, 1, tzinfo=UTC).timestamp()
    return [
        {
            "request_id": f"chatcmpl-{place:08d}",
            "startTime": datetime.fromtimestamp(start + place / 7, UTC).isoformat(),
            "call_type": "acompletion",
            "api_key": f"hash-{place % 3}",
            "spend": (place % 100) / 10_000,
            "prompt_tokens": 100 + place % 900,
            "completion_tokens": place % 50,
            "model": ("gpt-4o", "gpt-4o-mini", "claude-sonnet-4-5")[place % 3],
            "custom_llm_provider": ("openai", "openai", "anthropic")[place % 3],
            "metadata": {"usage_object": {"prompt_tokens": 100 + place % 900, "completion_tokens": place % 50, "total_tokens": 100 + place % 900 + place % 50}},
            "messages": [{"role": "user", "content": CANARY}],
        }
        for place in range(number)
    ]  # fmt: skip


def write_lines(path: Path, rows: Sequence[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path
