"""Facts planted in a long context, and asked for: does the model still name the right one when its context was coded?

A fact is a line "<name>'s <word>."; they stand between paragraphs of a text, and the question is "<name>'s". Of the words planted in this context
the one with the greatest logit is the answer, each word's logit less its mean over all questions (contextual calibration: Zhao and others,
arXiv 2102.09690): words that are likely anyway win nothing. A model of 135 million parameters answers nearly all, asked in this way.
"""

import random
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from jevons.engine.native.context import Context
from jevons.engine.native.model import Model

FACTS = 16
NAMES = (
    "Alice Bruno Clara David Emma Felix Grace Hugo Irene Jonas Karla Leo Maria Nina Oscar Paula Quentin Rosa Simon Tina Ursula Victor Wendy Xaver"
).split()
WORDS = (
    "river stone candle garden silver window orange mountain rocket pencil winter forest copper mirror desert island bridge engine flower hammer "
    "kitchen lemon marble needle ocean planet rabbit saddle tiger violin wagon yellow"
).split()


@dataclass(frozen=True)
class Haystack:
    tokens: NDArray[np.int32]
    questions: list[NDArray[np.int32]]
    answers: list[int]
    """Per question, its place among `words`."""
    words: NDArray[np.int32]
    """The first token of every planted word."""


def haystack(model: Model, text: str, tokens: int, seed: int) -> Haystack:
    """A text of about `tokens` tokens, with a fact after every sixteenth of it."""
    chance = random.Random(seed)
    names, words = chance.sample(NAMES, FACTS), chance.sample(WORDS, FACTS)
    lines = [f"{name}'s" for name in names]
    facts = [model.tokens(f"\n{line} {word}.\n", beginning=False) for line, word in zip(lines, words, strict=True)]
    filler = model.tokens(text)
    share = (tokens - sum(map(len, facts))) // FACTS
    pieces = [filler[place * share : (place + 1) * share] for place in range(FACTS)]
    order = list(range(FACTS))
    chance.shuffle(order)
    return Haystack(
        np.concatenate([part for pair in zip(pieces, facts, strict=True) for part in pair]),
        [model.tokens(f"\n{lines[place]}", beginning=False) for place in order],
        order,
        np.array([model.tokens(f" {word}", beginning=False)[0] for word in words], np.int32),
    )


def found(context: Context, hay: Haystack) -> list[bool]:
    """Of each question, whether it was answered rightly. The context holds the haystack; the last question stays behind it."""
    logits = np.array([context.decode(question, position=len(hay.tokens))[0, hay.words] for question in hay.questions])
    return list((logits - logits.mean(axis=0)).argmax(axis=1) == hay.answers)
