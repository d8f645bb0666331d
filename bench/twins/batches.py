"""What a batch does to a mixture: experts met together, bytes of weights read, tokens a second.

Comes in: an open model, token ids of several texts. Goes out: counts and seconds. Does not know: how the model was trained.
Texts are continued by their own next tokens, not by the model's: so both twins read the same, and a poor model cannot fall into a loop.
"""

import time

import numpy as np
from numpy.typing import NDArray

from jevons.engine.experts.routing import Router
from jevons.engine.native.context import Context
from jevons.engine.native.model import Model

BATCHES = (1, 2, 4, 8, 16, 32)
PROMPT = 16
STEPS = 48
LENGTH = PROMPT + STEPS


def groups(texts: list[NDArray[np.int32]], batch: int) -> list[NDArray[np.int32]]:
    """All texts [texts, LENGTH] parted into batches that are decoded together; what is left over is not used."""
    return [np.stack(texts[at : at + batch]) for at in range(0, len(texts) - batch + 1, batch)]


def met(model: Model, together: list[NDArray[np.int32]]) -> NDArray[np.float64]:
    """Experts that a step meets in each layer, in the mean over steps and groups: [layers]."""
    found = []
    for texts in together:
        with Router(model, LENGTH, sequences=len(texts)) as router:
            for step in range(LENGTH):
                routing = router.step(texts[:, step].tolist())
                if step >= PROMPT:
                    found.append((routing.counts() > 0).sum(axis=1))
    mean: NDArray[np.float64] = np.mean(found, axis=0)
    return mean


def picked(model: Model, texts: list[NDArray[np.int32]]) -> NDArray[np.float64]:
    """How often each expert is among the chosen of a token: [layers, experts]; a row sums to the experts that a token uses."""
    with Router(model, LENGTH) as router:
        counts = [router.read(text)[0].counts() for text in texts]
    share: NDArray[np.float64] = np.sum(counts, axis=0) / (len(texts) * LENGTH)
    return share


def seconds(model: Model, texts: NDArray[np.int32]) -> float:
    """Of one step that decodes a token of each text [batch, LENGTH], on one thread: the median over STEPS."""
    with Context(model, LENGTH, sequences=len(texts), batch_tokens=len(texts), threads=1) as context:
        taken = []
        for step in range(LENGTH):
            tokens = {sequence: [int(token)] for sequence, token in enumerate(texts[:, step])}
            began = time.perf_counter()
            context.decode_together(tokens)
            taken.append(time.perf_counter() - began)
    return float(np.median(taken[PROMPT:]))
