"""Questions that two models answered, with who was right: RouteLLM's rows of MMLU and GSM8K, as requests and labels.

Comes in: the data folder. Goes out: for each set the requests as a route sees them, and who was right. The subject of an MMLU question (the name of
its file) stands in `Features.task` and nowhere else."""

import csv
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from jevons.core.features import Features
from jevons.core.limits import EMBEDDED_CHARS_MAX
from jevons.embed import Embedder
from jevons.learn.matrix import Columns, Request, columns
from jevons.learn.rows import Examples, Whole

ROOT = Path(__file__).parents[2]
SMALL, LARGE = "mistralai/Mixtral-8x7B-Instruct-v0.1", "gpt-4-1106-preview"
MODELS = 2


class MissingError(Exception):
    """What is not there, and how it is brought."""


@dataclass(frozen=True)
class Asked:
    """n questions."""

    requests: list[Request]
    small: NDArray[np.bool_]
    """Mixtral was right."""
    large: NDArray[np.bool_]
    """GPT-4 was."""

    def __len__(self) -> int:
        return len(self.requests)

    @property
    def harm(self) -> NDArray[np.bool_]:
        return self.large & ~self.small

    @property
    def groups(self) -> Whole:
        """i64[n]: questions that are the same text have the same number."""
        numbers: dict[str, int] = {}
        return np.array([numbers.setdefault(one.question, len(numbers)) for one in self.requests])

    def take(self, which: Whole) -> "Asked":
        return Asked([self.requests[place] for place in which], self.small[which], self.large[which])

    def then(self, other: "Asked") -> "Asked":
        return Asked(
            self.requests + other.requests, np.concatenate([self.small, other.small]), np.concatenate([self.large, other.large])
        )

    def without_task(self) -> "Asked":
        plain = [one._replace(features=msgspec.structs.replace(one.features, task="")) for one in self.requests]
        return Asked(plain, self.small, self.large)

    def examples(self, by: Columns | None = None) -> Examples:
        """What is learnt from: is each good enough, held against the other; and, to help, was each right."""
        fitted = by or columns(self.requests)
        good = [~self.harm, ~(self.small & ~self.large), self.small, self.large]
        return Examples(fitted.rows(self.requests), np.stack(good, axis=1).astype(np.float32), np.ones(len(self), np.float32))


def load() -> tuple[Asked, Asked]:
    """MMLU and GSM8K. Raises MissingError, MissingEmbedderError."""
    folder = Path(os.environ.get("JEVONS_DATA", ROOT.parent / "shared" / "data")) / "routing" / "routellm"
    if not folder.is_dir():
        raise MissingError(f"{folder} is not there. Name the data folder: JEVONS_DATA=…")
    embedder = Embedder()
    subjects = [
        _asked(embedder, path.stem.removeprefix("mmlu_"), _rows(path)) for path in sorted((folder / "mmlu").glob("mmlu_*.csv"))
    ]
    mmlu = subjects[0]
    for one in subjects[1:]:
        mmlu = mmlu.then(one)
    return mmlu, _asked(embedder, "", _rows(folder / "gsm8k_responses.csv"))


def _rows(path: Path) -> Iterator[tuple[str, bool, bool]]:
    with path.open(encoding="utf-8", newline="") as file:
        yield from ((row["prompt"], row[SMALL] == "True", row[LARGE] == "True") for row in csv.DictReader(file))


def _asked(embedder: Embedder, task: str, rows: Iterator[tuple[str, bool, bool]]) -> Asked:
    found = list(rows)
    requests = [Request(features(text, task), embedder.vector(text[:EMBEDDED_CHARS_MAX]), text) for text, _, _ in found]
    return Asked(requests, np.array([small for _, small, _ in found]), np.array([large for _, _, large in found]))


def features(text: str, task: str) -> Features:
    """As the gateway would find them."""
    return Features(
        dialect="chat",
        input_tokens=len(text.encode()) // 4,
        messages=1,
        question_chars=len(text),
        question_words=len(text.split()),
        digits_pct=100 * sum(map(str.isdigit, text)) // max(1, len(text)),
        task=task,
    )
