"""Tokens of a request's messages: what a hold takes for the input.

Comes in: `Ask.messages` and the model's facts. Goes out: `InputCount`, a number and how sure it is. A message is weighed once and
remembered by its digest, so a conversation that grows by two messages counts two.
This is the door to counting; bpe.py counts a text, weigh.py reads one message.
Does not know: prices, output, what the provider will answer.
"""

import threading
from collections.abc import Sequence
from hashlib import blake2b
from itertools import accumulate
from secrets import token_bytes

import msgspec

from jevons.core.ask import Dialect, InputBound
from jevons.core.chain import DIGEST_BYTES
from jevons.core.limits import COUNT_INLINE_BYTES_MAX, PREFIX_MEMO_ENTRIES_MAX
from jevons.meter.bpe import ENCODINGS, count_text, loaded, pieces, preload
from jevons.meter.models import ModelFacts
from jevons.meter.weigh import Weight, weigh

__all__ = ["InputCount", "MessageCounter", "count_text", "loaded", "pieces", "preload", "remote_input"]

LOOSE_BYTES_PER_TOKEN = 8
"""An estimate is at least bytes / 8: o200k has single tokens for runs of spaces that others split every 16 characters."""

BYTES_PER_TOKEN = 4
"""Of common text, where a tokenizer is not published: for estimates that bound nothing."""


class InputCount(msgspec.Struct, frozen=True):
    """Input tokens that a hold must cover."""

    tokens: int
    bound: InputBound


class MessageCounter:
    """Counts prompts; remembers PREFIX_MEMO_ENTRIES_MAX weights, the ones last used. Safe to use from several threads.

    The memory has two generations: what is found in the older one moves to the younger, and when that is full the older is
    dropped. That is least-recently-used to a factor of two, for one dictionary look-up per message.
    """

    def __init__(self, entries_max: int = PREFIX_MEMO_ENTRIES_MAX) -> None:
        self._half = max(1, entries_max // 2)
        self._young: dict[bytes, Weight] = {}
        self._old: dict[bytes, Weight] = {}
        self._lock = threading.Lock()
        self._key = token_bytes(32)

    def __len__(self) -> int:
        """Messages remembered; one in both generations counts twice."""
        return len(self._young) + len(self._old)

    def count(
        self,
        messages: Sequence[bytes],
        facts: ModelFacts,
        dialect: Dialect,
        *,
        digests: Sequence[bytes] | None = None,
        extras: Sequence[bytes] = (),
    ) -> InputCount:
        """Input tokens of a request, at most (or, if `estimated`, most likely at most).

        `digests` of the messages, if the caller has them (core.chain). `extras`: raw JSON of other members that reach the prompt
        (response_format, text.format, tool_choice). About 1 us per remembered message. Raises Refusal (400) for a message that
        is broken, too deep or has a key twice.
        """
        found = self._weights(messages, self.digests(messages) if digests is None else digests, facts.tokenizer)
        if extras:
            found += self._weights(extras, self.digests(extras), facts.tokenizer)
        total = Weight(*map(sum, zip(*found, strict=True))) if found else Weight()
        return _price(total, len(messages), bool(extras), facts, dialect)

    def ends(self, messages: Sequence[bytes], facts: ModelFacts, digests: Sequence[bytes]) -> list[int]:
        """About how many tokens the request has up to the end of each message: a fair estimate, not a bound. About 0.2 us per remembered
        message. Raises as `count`."""
        found = self._weights(messages, digests, facts.tokenizer)
        shrink = BYTES_PER_TOKEN if facts.tokenizer == "bytes" else 1
        each, image = facts.message_tokens // shrink, facts.image_tokens
        return list(accumulate([(weight[0] + weight[1]) // shrink + each + weight.images * image for weight in found]))

    def digests(self, messages: Sequence[bytes]) -> list[bytes]:
        """Keys under which this counter remembers messages, when the caller has none."""
        return [blake2b(raw, digest_size=DIGEST_BYTES, key=self._key).digest() for raw in messages]

    def uncached_bytes(
        self, messages: Sequence[bytes], tokenizer: str = "o200k_base", digests: Sequence[bytes] | None = None
    ) -> int:
        """Bytes that `count` would have to read anew: above COUNT_INLINE_BYTES_MAX it belongs in a thread.

        0, without looking, if all messages together are no more than that.
        """
        if sum(map(len, messages)) <= COUNT_INLINE_BYTES_MAX:
            return 0
        tag = _TAGS[tokenizer]
        keys = [digest + tag for digest in (self.digests(messages) if digests is None else digests)]
        return sum(len(raw) for raw, key in zip(messages, keys, strict=True) if key not in self._young and key not in self._old)

    def _weights(self, messages: Sequence[bytes], digests: Sequence[bytes], tokenizer: str) -> list[Weight]:
        tag = _TAGS[tokenizer]
        young, found = self._young, []
        for digest, raw in zip(digests, messages, strict=True):
            weight = young.get(digest + tag)
            found.append(weight if weight is not None else self._remember(digest + tag, raw, tokenizer))
        return found

    def _remember(self, key: bytes, raw: bytes, tokenizer: str) -> Weight:
        weight = self._old.get(key) or weigh(raw, tokenizer)
        with self._lock:
            if len(self._young) >= self._half:
                self._old, self._young = self._young, {}
            self._young[key] = weight
        return weight


_TAGS = {encoding: bytes([number]) for number, encoding in enumerate(ENCODINGS)}


def remote_input(facts: ModelFacts, output_cap: int) -> InputCount:
    """Input of a request that refers to content we cannot see (previous_response_id, file ids): all that the window leaves."""
    bound = InputBound.BOUNDED if facts.known else InputBound.ESTIMATED
    return InputCount(max(0, facts.context_window - output_cap), bound)


def _price(weight: Weight, messages: int, more: bool, facts: ModelFacts, dialect: Dialect) -> InputCount:
    """Weight -> tokens, by the family's rules (meter/data/models.toml)."""
    window, estimated = facts.context_window, facts.bound is InputBound.ESTIMATED
    if estimated:
        scaled = -(-(weight.text + weight.structure) * facts.factor_percent // 100)
        tokens = max(scaled, -(-weight.text_bytes // LOOSE_BYTES_PER_TOKEN))
    else:
        tokens = weight.text + weight.structure_bound
    if dialect is Dialect.EMBEDDINGS:
        # No template; each of many inputs has a window of its own, and so nothing bounds the sum.
        return InputCount(tokens + messages * facts.message_tokens, facts.bound)
    tokens += facts.request_tokens + (messages + weight.parts) * facts.message_tokens
    tokens += facts.tools_tokens if weight.tools else 0
    exact = facts.bound is InputBound.EXACT and not (weight.inexact or more) and dialect is Dialect.CHAT
    if exact:
        return InputCount(tokens, InputBound.EXACT)
    for parts, each in (
        (weight.images, facts.image_tokens),
        (weight.audios, facts.audio_tokens),
        (weight.files, facts.file_tokens),
    ):
        tokens += parts * (each or window)
    if facts.known:
        tokens = min(tokens, window)  # a longer prompt is refused by the provider, and costs nothing
    bound = InputBound.ESTIMATED if estimated or weight.hosted else InputBound.BOUNDED
    return InputCount(tokens, bound)
