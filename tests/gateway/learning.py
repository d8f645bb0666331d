"""A predictor that knows one thing, as a file, for tests of whoever asks it."""

from pathlib import Path

import msgspec
import numpy as np

from jevons.core.ask import Dialect
from jevons.learn import logistic
from jevons.learn.matrix import Request, columns
from jevons.learn.mixed import Mix, Mixed
from jevons.learn.rows import Examples
from jevons.learn.saved import FOLDER, Card, Saved, Unseen, save
from jevons.wire.features import read
from jevons.wire.parse import parse


def question(words: int) -> Request:
    """As the gateway reads one of so many words."""
    body = {"model": "auto", "max_tokens": 100, "messages": [{"role": "user", "content": "word " * words}]}
    return Request(read(parse(Dialect.CHAT, msgspec.json.encode(body)), of_run=True).features)


def learnt(home: Path, route: str) -> None:
    """The small model does well on questions of up to 20 words, which are half of them."""
    requests = [question(1 + number % 40) for number in range(800)]
    good = np.array([[1.0 if number % 40 < 20 else 0.0] for number in range(800)], np.float32)
    own = columns(requests)
    rows, weights = own.rows(requests), np.ones(800, np.float32)
    head = logistic.fit(Examples(rows, good, weights), 1e-3)
    mixed = Mixed(("gpt-4o-mini",), own, (head,), Mix(np.eye(1, dtype=np.float32), np.zeros(1, np.float32)))
    card = Card("default", route, ("gpt-4o-mini",), "logistic", 800, 1_760_000_000_000, 0.1, 0.7)
    save(home / FOLDER, Saved(card, mixed, Unseen(mixed.batch(rows), good, weights)), None)
