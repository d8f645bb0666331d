"""The state of one conversation as llama.cpp's server saves it, seen as arrays: tokens, and one row per token of every key and value tensor.

In: the bytes of a file written by `POST /slots/N?action=save`. Out: views into those bytes, nothing copied; and the other way round a
buffer laid out as such a file, whose rows are still to be filled. A state of the first n tokens is made by filling rows from the first n.
Does not know: how rows are encoded, where they are kept, what model they belong to.

The file, all little-endian 32-bit words unless said otherwise (llama-context.cpp `state_seq_save_file`, server-common.cpp
`server_tokens::serialize`, llama-kv-cache.cpp `state_write`):

    magic 'ggsq', version 3, word count of the token list
    token list: -1, format 1, n, the n tokens, 0 (no media)
    sequence:   number of streams; per stream its number of cells and, where that is not 0:
                per cell its position, 1 (sequences that use it), the sequence's number
                0 (values not transposed), number of layers
                per layer, keys: type of the elements, bytes per row (64 bits), the rows
                per layer, values: the same

Values are stored by rows only with flash attention, which llama.cpp turns on by itself on a CPU. With `kv_unified` off there is a stream
per slot and only the slot's own has cells; a restore puts them into the slot it is told, whatever slot they came from.
"""

import struct
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

MAGIC = 0x67677371
FILE_VERSION = 3
LIST_FORMAT = 1
NO_TOKEN = 0xFFFFFFFF
TYPE_F16 = 1
"""ggml's number for half-precision elements."""

Rows = NDArray[np.uint8]
"""uint8 [tokens, bytes per row]: the keys or the values of one layer."""


class Unparkable(Exception):
    """This state cannot be taken apart by token, and its conversation is simply not parked; the message says what is in the way."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """The keys or the values of one layer: ggml's number for the type of the elements, and the bytes of one token's row."""

    type: int
    row_bytes: int


@dataclass(frozen=True, slots=True)
class Layout:
    """What all states of one engine have in common: its number of streams, and its tensors: keys of every layer, then values."""

    streams: int
    tensors: tuple[Tensor, ...]

    @property
    def layers(self) -> int:
        return len(self.tensors) // 2

    @property
    def bytes_per_token(self) -> int:
        """Bytes of keys and values that the engine holds for one token."""
        return sum(tensor.row_bytes for tensor in self.tensors)

    def pack(self) -> bytes:
        """A few bytes to keep beside what was encoded; tensors that are alike and neighbours are counted."""
        runs = [(len(list(run)), tensor) for tensor, run in groupby(self.tensors)]
        return struct.pack("<HH", self.streams, len(runs)) + b"".join(
            struct.pack("<HHI", count, tensor.type, tensor.row_bytes) for count, tensor in runs
        )

    @classmethod
    def unpack(cls, packed: bytes) -> "Layout":
        """Raises `ValueError` for what `pack` does not write."""
        try:
            streams, runs = struct.unpack_from("<HH", packed)
            if len(packed) != 4 + 8 * runs:
                raise ValueError("a layout of another length")
            counted = struct.iter_unpack("<HHI", packed[4:])
            return cls(streams, tuple(Tensor(type_, size) for count, type_, size in counted for _ in range(count)))
        except struct.error as error:
            raise ValueError(f"not a layout: {error}") from None


@dataclass(frozen=True, slots=True)
class State:
    """A conversation's tokens, int32 [n], and its rows, one array per tensor of the layout, in positions 0…n-1."""

    layout: Layout
    tokens: NDArray[np.int32]
    rows: list[Rows]


class Cursor:
    """Reads a buffer from front to back; a buffer that ends too early is `Unparkable`."""

    def __init__(self, data: Rows) -> None:
        self.data = data
        self.at = 0

    def take(self, size: int) -> NDArray[np.uint8]:
        if self.at + size > len(self.data):
            raise Unparkable(
                "The state ends before its parts do: it is cut off, or of another shape than keys and values by token."
            )
        self.at += size
        return self.data[self.at - size : self.at]

    def word(self) -> int:
        return int(self.take(4).view("<u4")[0])

    def words(self, count: int) -> NDArray[np.uint32]:
        return self.take(4 * count).view("<u4")

    def tensor(self) -> Tensor:
        type_ = self.word()
        return Tensor(type_, int(self.take(8).view("<u8")[0]))


def read_state(data: bytes | bytearray | memoryview | Rows) -> State:
    """The state in a file that the server saved; its arrays are views into `data`. Raises `Unparkable`."""
    cursor = Cursor(np.frombuffer(data, np.uint8))
    if (cursor.word(), cursor.word()) != (MAGIC, FILE_VERSION):
        raise Unparkable(f"The state is not a llama.cpp sequence file of version {FILE_VERSION}.")
    listed = cursor.words(cursor.word())
    if len(listed) < 4 or (listed[0], listed[1]) != (NO_TOKEN, LIST_FORMAT) or len(listed) != listed[2] + 4 or listed[-1] != 0:
        raise Unparkable("The state's token list is of another format, or it holds media.")
    return read_sequence(cursor, listed[3:-1].view(np.int32))


def read_sequence(cursor: Cursor, tokens: NDArray[np.int32]) -> State:
    """The part of a state behind its tokens. Raises `Unparkable`."""
    streams = cursor.word()
    tensors: list[Tensor] = []
    rows: list[Rows] = []
    filled = 0
    for _ in range(streams):
        count = cursor.word()
        if count == 0:
            continue
        filled += 1
        cells = cursor.words(3 * count).reshape(count, 3)
        if count != len(tokens) or filled > 1 or (cells[:, 1] != 1).any() or (cells[:, 0] != np.arange(count)).any():
            raise Unparkable("The state's cells are not one sequence's positions from 0 on, one per token.")
        if cursor.word() != 0:
            raise Unparkable("The state's values are transposed: the engine runs without flash attention.")
        for _ in range(2 * cursor.word()):
            tensors.append(cursor.tensor())
            rows.append(cursor.take(count * tensors[-1].row_bytes).reshape(count, tensors[-1].row_bytes))
    if filled != 1 or not rows:
        raise Unparkable("The state is empty.")
    if cursor.at != len(cursor.data):
        raise Unparkable("The state holds more than one cache of keys and values (sliding windows, or a recurrent part).")
    return State(Layout(streams, tuple(tensors)), tokens, rows)


def read_memory(data: bytearray, tokens: NDArray[np.int32]) -> State:
    """The same for what `llama_state_seq_get_data` gives: no file and no tokens, but 'magic, number of the sequence' before it. Raises `Unparkable`."""
    cursor = Cursor(np.frombuffer(data, np.uint8))
    cursor.words(2)
    return read_sequence(cursor, tokens)


def state_bytes(layout: Layout, tokens: int) -> int:
    """Bytes of the file of a state of so many tokens."""
    words = 3 + 4 + tokens + 1 + layout.streams + 3 * tokens + 2
    return 4 * words + 12 * len(layout.tensors) + tokens * layout.bytes_per_token


def blank_state(buffer: bytearray | memoryview | Rows, layout: Layout, tokens: int, slot: int = 0) -> State:
    """Lay a file of `state_bytes(layout, tokens)` bytes out in `buffer`, all but its tokens and rows, which the caller fills through the views.

    `slot` is the slot that the file says it was saved from; a restore does not mind which.
    """
    data = np.frombuffer(buffer, np.uint8)
    if len(data) != state_bytes(layout, tokens):
        raise ValueError(f"a state of {tokens} tokens takes {state_bytes(layout, tokens)} bytes, the buffer has {len(data)}")
    stream = slot if layout.streams > 1 else 0
    cursor = Cursor(data)
    cursor.words(6)[:] = MAGIC, FILE_VERSION, tokens + 4, NO_TOKEN, LIST_FORMAT, tokens
    listed = cursor.words(tokens).view(np.int32)
    cursor.words(2)[:] = 0, layout.streams
    cursor.words(stream)[:] = 0
    cursor.words(1)[:] = tokens
    cells = cursor.words(3 * tokens).reshape(tokens, 3)
    cells[:, 0] = np.arange(tokens)
    cells[:, 1] = 1
    cells[:, 2] = slot
    cursor.words(2)[:] = 0, layout.layers
    rows = []
    for tensor in layout.tensors:
        cursor.words(1)[:] = tensor.type
        cursor.take(8).view("<u8")[:] = tensor.row_bytes
        rows.append(cursor.take(tokens * tensor.row_bytes).reshape(tokens, tensor.row_bytes))
    cursor.words(layout.streams - stream - 1)[:] = 0
    return State(layout, listed, rows)
