"""Ledgers of steady or growing use, for forecasts: what is in them is known to the token."""

from datetime import date
from pathlib import Path

from jevons.economics.forecast.segments import days_since_1970
from tests.economics.planting import MODELS, Model, Work, write

SONNET = next(model for model in MODELS if model.name == "claude-sonnet-4-5")
FLASH = next(model for model in MODELS if model.name == "gemini-2.5-flash")
MINI = next(model for model in MODELS if model.name == "gpt-5-mini")
TODAY = date(2026, 11, 22)
NOW = days_since_1970(TODAY)


def runs(
    days: range, team: str, agent: str, model: Model, *, a_day: int = 2, calls: int = 10, tokens: tuple[int, int, int, int] = (20_000, 60_000, 0, 4_000)
) -> list[Work]:  # fmt: skip
    """So many runs on each day; `calls` and `tokens` (input, cache read, cache write, output) of a run."""
    return [
        Work(day, team, agent, 1_000 * place + number, model, calls, tokens, model.rates)
        for place, day in enumerate(days)
        for number in range(a_day)
    ]


def company(path: Path, weeks: int = 12, every: int = 1) -> Path:
    """An agent on a frontier model, a reader on a commodity one, on each day or `every` so many; the last day is yesterday."""
    days = range(NOW - 7 * weeks, NOW)[::-every][::-1]
    write(
        path,
        [
            *runs(days, "support", "agent", SONNET),
            *(
                work._replace(task=work.task + 500)
                for work in runs(days, "research", "reader", FLASH, a_day=5, calls=1, tokens=(9_000, 1_000, 0, 500))
            ),
        ],
    )
    return path
