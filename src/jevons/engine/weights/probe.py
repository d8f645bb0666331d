"""What one candidate does, measured in a process of its own (native/apart.py): its distributions, its answers, its speed, its memory.

Comes in: a model file, texts, questions, and where the reference's distributions lie. Goes out: sums over texts, never texts.
The reference is run once; its log-probabilities stay in memory that has no name on any disk (`memfd_create`), because from them the
texts could be read. Does not know: which candidates there are, what passes.
"""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from jevons.engine.native.context import Context
from jevons.engine.native.library import open_library
from jevons.engine.native.model import Model
from jevons.engine.native.package import NativeError
from jevons.engine.weights.template import Template
from jevons.engine.weights.traffic import Question, Text

TEXT_TOKENS_MAX = 160
"""Of one text. How sure a mean is depends on how many texts it is of, so many short ones say more than a few long ones."""
CONTEXT_TOKENS = 512
"""Of a question and its choices."""
SPEED_TOKENS = 256
DECODED_TOKENS = 32
SPEED_TEXTS = 40
"""Enough words for a prompt of SPEED_TOKENS, whatever the traffic."""

Logs = NDArray[np.float32]


class TextLoss(msgspec.Struct, frozen=True, array_like=True):
    """Sums over the predicted tokens of one text."""

    tokens: int
    kld: float
    """Σ over tokens of Σ p·ln(p/q), p the reference's distribution: nats."""
    surprise: float
    """Σ −ln q(what came): nats."""
    agreed: int
    """Tokens where the likeliest one is the reference's."""


class Quality(msgspec.Struct, frozen=True):
    """Over all texts and questions."""

    texts: tuple[TextLoss, ...]
    kld_p99: float
    """The 99th percentile over tokens."""
    right: tuple[bool, ...]
    """Of each question."""


class Speed(msgspec.Struct, frozen=True):
    """Of one round."""

    prefill_tok_s: float
    decode_tok_s: float
    rss_mib: float
    """Peak of the process: weights, KV cache, and some 60 MiB of Python."""


def quality(
    path: Path, texts: Sequence[Text], questions: Sequence[Question], tokens: int, memory: str, memory_bytes: int, *, reference: bool, threads: int
) -> Quality:  # fmt: skip
    """Measure `path` on texts of about `tokens` tokens and on the questions.

    `memory`: a file that holds float16[tokens, vocabulary] of the reference; the reference itself writes it, at most `memory_bytes`.
    Raises NativeError where the candidate has another vocabulary.
    """
    losses: list[TextLoss] = []
    divergences: list[Logs] = []
    with Model(open_library(), path) as model, Context(model, CONTEXT_TOKENS, threads=threads) as context:
        row_bytes = 2 * model.vocabulary
        known = np.memmap(memory, np.float16, "r").reshape(-1, model.vocabulary) if not reference else None
        begin = 0
        with Path(memory).open("r+b" if reference else "rb") as file:
            for ids in _chosen(model, texts, min(tokens, memory_bytes // row_bytes)):
                logs = log_softmax(context.decode(ids, logits="all", position=0)[:-1])
                if known is None:
                    file.write(logs.astype(np.float16).tobytes())
                    truth = logs
                else:
                    truth = log_softmax(known[begin : begin + len(logs)].astype(np.float32))
                    if len(truth) < len(logs):
                        raise NativeError(f"{path} cuts the texts into other tokens than the reference does")
                begin += len(logs)
                divergence = kld(truth, logs)
                divergences.append(divergence)
                agreed = int(np.sum(truth.argmax(1) == logs.argmax(1)))
                surprise = -float(logs[np.arange(len(logs)), ids[1:]].sum(dtype=np.float64))
                losses.append(TextLoss(len(logs), float(divergence.sum(dtype=np.float64)), surprise, agreed))
        if not losses:
            raise NativeError(f"none of the texts has two tokens that fit into {tokens}: nothing can be measured on them")
        right = tuple([likeliest(model, context, question) == question.answer for question in questions])
    return Quality(tuple(losses), float(np.quantile(np.concatenate(divergences), 0.99)), right)


def _chosen(model: Model, texts: Sequence[Text], tokens: int) -> Iterator[NDArray[np.int32]]:
    """Token ids of texts, in their order, until there are that many tokens."""
    template = Template(model.metadata.get("tokenizer.chat_template", ""), model)
    for text in texts:
        ids = template.tokens(text)[:TEXT_TOKENS_MAX]
        if len(ids) > tokens:
            return
        if len(ids) > 1:
            tokens -= len(ids)
            yield ids


def log_softmax(logits: Logs) -> Logs:
    """Natural logarithms of the distributions in the rows."""
    shifted: Logs = logits - logits.max(axis=1, keepdims=True)
    shifted -= np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return shifted


def kld(truth: Logs, logs: Logs) -> Logs:
    """Kullback-Leibler divergence of each row, nats: what it costs to take the second distribution for the first."""
    divergence: Logs = (np.exp(truth) * (truth - logs)).sum(axis=1)
    divergence[divergence < 0] = 0  # by rounding
    return divergence


def likeliest(model: Model, context: Context, question: Question) -> int:
    """Which choice has the largest probability as the prompt's continuation."""
    prompt = model.tokens(question.prompt)[-CONTEXT_TOKENS // 2 :]
    after = context.decode(prompt, position=0)
    scores = []
    for choice in question.choices:
        ids = model.tokens(choice, beginning=False)[: CONTEXT_TOKENS // 2]
        rows = [after]
        if len(ids) > 1:
            rows.append(context.decode(ids[:-1], logits="all", position=len(prompt)))
        logs = log_softmax(np.concatenate(rows))
        scores.append(float(logs[np.arange(len(ids)), ids].sum()))
    return int(np.argmax(scores))


def speed(path: Path, texts: Sequence[Text], threads: int) -> Speed:
    """One round: a prompt is read, then tokens are decoded one by one after it."""
    with Model(open_library(), path) as model:
        ids = np.concatenate([model.tokens(text.plain) for text in texts[:SPEED_TEXTS]])
        ids = np.resize(ids, SPEED_TOKENS)
        with Context(model, SPEED_TOKENS + DECODED_TOKENS, batch_tokens=SPEED_TOKENS, threads=threads) as context:
            context.decode(ids[:16])  # the first pages of the weights come from the disk
            context.clear()
            began = time.perf_counter()
            last = context.decode(ids)
            prefill_s = time.perf_counter() - began
            began = time.perf_counter()
            for _ in range(DECODED_TOKENS):
                last = context.decode([int(last.argmax())])
            decode_s = time.perf_counter() - began
            return Speed(len(ids) / prefill_s, DECODED_TOKENS / decode_s, _peak_rss_mib())


def _peak_rss_mib() -> float:
    """Of this process alone; `getrusage` would count what it was before it became this program."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 1024
