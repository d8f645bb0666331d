"""A million questions that differ in words: the texts of the data folder, embedded, and each said again with words dropped, put in and replaced.

Out: unit vectors f32[n, 256] of texts that are stored, and of questions asked: a third are stored texts with one word changed (paraphrases), a
third with three, a third are texts whose every variation was left out of the store (nobody asked that before). All drawn by one seed.
"""

import random
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.turboquant import texts
from bench.turboquant.texts import MissingError
from jevons.quant.compiled import compiled

Floats = NDArray[np.float32]
SEED = 1865
DIM = 256
NEW = 500
"""Texts of which nothing is stored: what is asked of them is new."""
WORDS_MAX = 200
"""A longer text is cut: the answers in the data folder are as long as pages."""


@dataclass(frozen=True)
class Words:
    """Texts as numbers of words, one after the other, and each word's share in a text's vector."""

    ids: NDArray[np.int32]
    starts: NDArray[np.int64]
    sums: Floats
    """Sum of the vectors of a word's tokens, f32[words, 256]."""
    tokens: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.starts) - 1


@dataclass(frozen=True)
class Asked:
    """What is stored, and what is asked."""

    stored: Floats
    questions: Floats


def asked(count: int, questions: int) -> Asked:
    """`count` stored texts, no two with the same words, and `questions` of the three kinds. Raises MissingError."""
    words = _words()
    chance = random.Random(SEED)
    order = list(range(len(words)))
    chance.shuffle(order)
    new, known = np.array(order[:NEW]), np.array(order[NEW:])
    rounds = -(-count // len(known))
    of = np.tile(known, rounds)[:count]
    changes = np.minimum(np.arange(count) // len(known), 1) * 2
    stored = _said(words, of, changes.astype(np.int32), SEED)
    third = questions // 3
    some = np.random.default_rng(SEED).permutation(min(count, len(known)))[: 2 * third]
    again = _said(words, known[np.resize(some, 2 * third)], np.repeat([1, 3], third).astype(np.int32), SEED + 1)
    never = _said(words, np.resize(new, questions - 2 * third), np.zeros(questions - 2 * third, np.int32), SEED + 2)
    return Asked(stored, np.concatenate([again, never]))


def questions() -> Iterator[str]:
    """Short questions as people wrote them."""
    return (text for text in texts.read() if text.endswith("?") and len(text) < 200)


def _words() -> Words:
    from_texts = [" ".join(text.split()[:WORDS_MAX]) for text in dict.fromkeys(texts.read())]
    model = _model()
    split = [text.split() for text in dict.fromkeys(from_texts)]
    number = {word: i for i, word in enumerate(dict.fromkeys(word for text in split for word in text))}
    table, tokenizer = np.asarray(model.embedding, np.float32), model.tokenizer
    tokenizer.no_padding()
    tokenizer.no_truncation()
    sums, tokens = np.zeros((len(number), table.shape[1]), np.float32), np.zeros(len(number), np.int32)
    for i, word in enumerate(tokenizer.encode_batch(list(number), add_special_tokens=False)):
        sums[i], tokens[i] = table[word.ids].sum(axis=0), len(word.ids)
    ids = np.array([number[word] for text in split for word in text], np.int32)
    starts = np.cumsum([0, *map(len, split)])
    return Words(ids, starts, sums, tokens)


def _model() -> Any:
    if not (texts.PARTS / "wordllama").is_dir():
        raise MissingError(f"{texts.PARTS} has no wordllama: `make bench-similar` installs it")
    sys.path.append(str(texts.PARTS))
    from wordllama import WordLlama  # noqa: PLC0415  in a folder of its own, not in our environment

    return WordLlama.load(cache_dir=texts.PARTS / "wordllama", disable_download=True)


def _said(words: Words, of: NDArray[np.int64], changes: NDArray[np.int32], seed: int) -> Floats:
    """Each text of `of` with so many words changed, as a unit vector."""
    out = np.empty((len(of), words.sums.shape[1]), np.float32)
    _vary(words.ids, words.starts, words.sums, words.tokens, of, changes, seed, out)
    return out


@compiled
def _vary(
    ids: NDArray[np.int32],
    starts: NDArray[np.int64],
    sums: Floats,
    tokens: NDArray[np.int32],
    of: NDArray[np.int64],
    changes: NDArray[np.int32],
    seed: int,
    out: Floats,
) -> None:
    np.random.seed(seed)
    for i in range(of.shape[0]):
        text = ids[starts[of[i]] : starts[of[i] + 1]]
        row = out[i]
        row[:] = 0
        for j in range(text.shape[0]):
            row += sums[text[j]]
        for _ in range(changes[i]):
            other = ids[np.random.randint(0, ids.shape[0])]  # as often as it is said
            kind, place = np.random.randint(0, 3), np.random.randint(0, text.shape[0])
            if kind != 0 or text.shape[0] < 4:
                row += sums[other]
            if kind != 1 and text.shape[0] >= 4:
                row -= sums[text[place]]
        length = np.sqrt((row * row).sum())
        row /= max(length, np.float32(1e-9))
