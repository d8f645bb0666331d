"""A predictor that knows one thing, as a file, for tests of whoever asks it."""

from pathlib import Path

import msgspec
import numpy as np

from jevons.core.ask import Dialect
from jevons.learn import logistic
from jevons.learn.matrix import Request, columns
from jevons.learn.mixed import Mix, Mixed
from jevons.learn.place import FOLDER
from jevons.learn.rows import Examples
from jevons.learn.saved import Card, Saved, Unseen, save
from jevons.wire.features import read
from jevons.wire.parse import parse


def question(words: int, before: int = 0) -> Request:
    """As the gateway reads one of so many words, after a conversation of so many."""
    said = [{"role": "user", "content": "more " * before}, {"role": "assistant", "content": "Yes."}] if before else []
    body = {"model": "auto", "max_tokens": 100, "messages": [*said, {"role": "user", "content": "word " * words}]}
    return Request(read(parse(Dialect.CHAT, msgspec.json.encode(body)), of_run=True).features)


def learnt(home: Path, route: str, small: str = "gpt-4o-mini") -> None:
    """The small model does well on questions of up to 20 words, which are half of them, whatever was said before."""
    requests = [question(1 + number % 40, number // 40 % 2 * 4_000) for number in range(800)]
    good = np.array([[1.0 if number % 40 < 20 else 0.0] for number in range(800)], np.float32)
    own = columns(requests)
    rows, weights = own.rows(requests), np.ones(800, np.float32)
    head = logistic.fit(Examples(rows, good, weights), 1e-3)
    mixed = Mixed((small,), own, (head,), Mix(np.eye(1, dtype=np.float32), np.zeros(1, np.float32)))
    card = Card("default", route, (small,), "logistic", 800, 1_760_000_000_000, 0.1, 0.7)
    save(home / FOLDER, Saved(card, mixed, Unseen(mixed.batch(rows), good, weights)), None)
