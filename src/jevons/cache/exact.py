"""Whole answers in memory, by organisation and key, bounded in bytes and in age; never on the disk.

Comes in: an organisation, a key of 16 bytes, an answer. Goes out: the answer, or nothing. Each organisation has a partition of its own: no key finds
anything in another's, and when room is needed, a partition that has less than its share loses nothing to another. Finding
and keeping take the same time however many there are. An answer is one `bytes`: a head with its time and usage, then its body, compressed where
that makes it smaller. Does not know: requests, what a key is made of, prices.
"""

import sys
from collections import OrderedDict

import msgspec

from jevons.core.limits import ANSWER_ENTRY_BYTES
from jevons.core.usage import Usage
from jevons.policy.answers import age_s

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

COMPRESSED_FROM_BYTES = 512
"""Below this there is little to gain."""


class Kept(msgspec.Struct, frozen=True, gc=False):
    """An answer as it was given: its whole body in the client's dialect."""

    body: bytes
    usage: Usage
    """As it was metered: what making it took."""
    kept_ms: int


class _Head(msgspec.Struct, frozen=True, array_like=True, gc=False):
    kept_ms: int
    compressed: bool
    input: int
    cache_read: int
    cache_write_5m: int
    cache_write_1h: int
    output: int
    reasoning: int
    other: tuple[tuple[str, int], ...] = ()


_encode_head = msgspec.msgpack.Encoder().encode
_decode_head = msgspec.msgpack.Decoder(_Head).decode


class _Partition:
    """One organisation's answers, the one used longest ago first."""

    __slots__ = ("answers", "bytes")

    def __init__(self) -> None:
        self.answers: OrderedDict[bytes, bytes] = OrderedDict()
        self.bytes = 0


class ExactAnswers:
    """All organisations' answers. Lives on one event loop."""

    def __init__(self, bytes_max: int, ttl_s: int) -> None:
        """`bytes_max`: of memory, what each entry takes beside its answer included."""
        self._bytes_max = bytes_max
        self._ttl_s = ttl_s
        self._partitions: dict[str, _Partition] = {}
        self._compress = zstd.ZstdCompressor(level=1)
        self.bytes = 0
        self.kept = 0
        """Answers that were put in, since the start."""
        self.displaced = 0
        """Answers that went although they were young enough, because room was needed."""
        self.erased = 0
        """How often answers were erased: what began before an erasure is not kept after it."""

    def __len__(self) -> int:
        return sum(len(one.answers) for one in self._partitions.values())

    @property
    def orgs(self) -> int:
        return len(self._partitions)

    def find(self, org: str, key: bytes, now_ms: int) -> Kept | None:
        """The answer, if it is younger than the lifetime."""
        partition = self._partitions.get(org)
        packed = partition.answers.get(key) if partition is not None else None
        if partition is None or packed is None:
            return None
        head = _head_of(packed)
        if age_s(head.kept_ms, now_ms) >= self._ttl_s:
            self._drop(org, partition, key)
            return None
        partition.answers.move_to_end(key)
        return _unpacked(packed, head)

    def kept_ms(self, org: str, key: bytes, now_ms: int) -> int | None:
        """When the answer was kept, if it is younger than the lifetime."""
        partition = self._partitions.get(org)
        packed = partition.answers.get(key) if partition is not None else None
        at_ms = _head_of(packed).kept_ms if packed is not None else None
        return at_ms if at_ms is not None and age_s(at_ms, now_ms) < self._ttl_s else None

    def keep(self, org: str, key: bytes, answer: Kept) -> None:
        """Keep it, in the place of an earlier one. What is too large for all of the memory is not kept."""
        packed = self._packed(answer)
        if _size(packed) > self._bytes_max:
            return
        partition = self._partitions.get(org)
        if partition is None:
            partition = self._partitions[org] = _Partition()
        elif key in partition.answers:
            self._take_out(partition, key)
        partition.answers[key] = packed
        partition.bytes += _size(packed)
        self.bytes += _size(packed)
        self.kept += 1
        self._tidy(org, partition, answer.kept_ms)
        while self.bytes > self._bytes_max:
            self._displace(org, partition)

    def erase(self, org: str | None) -> int:
        """Forget all answers of an organisation, or of all. Returns how many there were."""
        self.erased += 1
        gone = [self._partitions.pop(org, None)] if org is not None else list(self._partitions.values())
        if org is None:
            self._partitions = {}
        self.bytes -= sum(one.bytes for one in gone if one is not None)
        return sum(len(one.answers) for one in gone if one is not None)

    def _tidy(self, org: str, partition: _Partition, now_ms: int) -> None:
        """For each answer that is kept, two that were not used for longest are looked at: what is too old goes without anybody asking for it."""
        for _ in range(2):
            key = next(iter(partition.answers))
            if age_s(_head_of(partition.answers[key]).kept_ms, now_ms) < self._ttl_s:
                return
            self._drop(org, partition, key)

    def _displace(self, org: str, partition: _Partition) -> None:
        """One answer goes: of the organisation that keeps another if it has its share, else of the one that has most."""
        if partition.bytes * len(self._partitions) < self.bytes:
            org, partition = max(self._partitions.items(), key=lambda one: one[1].bytes)
        self._drop(org, partition, next(iter(partition.answers)))
        self.displaced += 1

    def _drop(self, org: str, partition: _Partition, key: bytes) -> None:
        self._take_out(partition, key)
        if not partition.answers:
            del self._partitions[org]

    def _take_out(self, partition: _Partition, key: bytes) -> None:
        size = _size(partition.answers.pop(key))
        partition.bytes -= size
        self.bytes -= size

    def _packed(self, answer: Kept) -> bytes:
        body = answer.body
        if len(body) >= COMPRESSED_FROM_BYTES:
            smaller = self._compress.compress(body, zstd.ZstdCompressor.FLUSH_FRAME)
            body = smaller if len(smaller) < len(body) else body
        usage = answer.usage
        head = _encode_head(
            _Head(
                answer.kept_ms,
                body is not answer.body,
                usage.input,
                usage.cache_read,
                usage.cache_write_5m,
                usage.cache_write_1h,
                usage.output,
                usage.reasoning,
                usage.other,
            )
        )
        return len(head).to_bytes(2) + head + body


def _size(packed: bytes) -> int:
    return len(packed) + ANSWER_ENTRY_BYTES


def _head_of(packed: bytes) -> _Head:
    return _decode_head(memoryview(packed)[2 : 2 + int.from_bytes(packed[:2])])


def _unpacked(packed: bytes, head: _Head) -> Kept:
    body = packed[2 + int.from_bytes(packed[:2]) :]
    usage = Usage(head.input, head.cache_read, head.cache_write_5m, head.cache_write_1h, head.output, head.reasoning, head.other)
    return Kept(zstd.decompress(body) if head.compressed else body, usage, head.kept_ms)
