"""A context: sequences of tokens that a model has read, their KV cache, and the logits of what was asked for.

Comes in: token ids. Goes out: logits as numpy arrays, states as bytes. Does not know: texts, sampling, the server.
One thread at a time; the native code runs without the interpreter's lock.
"""

import ctypes
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray

from jevons.engine.native.layout import TYPES, Batch, ContextParams
from jevons.engine.native.model import Model
from jevons.engine.native.package import NativeError
from jevons.engine.native.watch import Watch
from jevons.engine.settings import default_threads, usable_cores

CACHE_TYPES = ("f32", "f16", "bf16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0", "iq4_nl")
"""What a KV cache can hold on a CPU."""
FLASH = {"auto": -1, "off": 0, "on": 1}
FULL = 1
Logits = Literal["last", "all", "none"]
_I32 = ctypes.POINTER(ctypes.c_int32)


class Context:
    """Use as a context manager, or call `close` (before the model's)."""

    def __init__(
        self,
        model: Model,
        context_tokens: int,
        *,
        batch_tokens: int = 512,
        type_k: str = "f16",
        type_v: str = "f16",
        sequences: int = 1,
        threads: int | None = None,
        flash_attention: Literal["auto", "on", "off"] = "auto",
        watch: Watch | None = None,
    ) -> None:
        """`context_tokens` for each of `sequences`; `batch_tokens` computed at once. `threads` None = all cores but one.

        A quantised `type_v` needs flash attention. Raises NativeError, ValueError.
        """
        for kind in (type_k, type_v):
            if kind not in CACHE_TYPES:
                raise ValueError(f"a KV cache is of {', '.join(CACHE_TYPES)}; not {kind!r}")
        if min(context_tokens, batch_tokens, sequences) < 1:
            raise ValueError("context_tokens, batch_tokens and sequences are at least 1")
        self.model = model
        self.batch_tokens = batch_tokens
        self.sequences = sequences
        self.type_k, self.type_v = type_k, type_v
        self.threads = threads or default_threads(usable_cores())
        self._llama = model.library.llama
        self._watch = watch
        params = self._llama.llama_context_default_params()
        params.n_ctx = context_tokens * sequences
        params.n_batch = params.n_ubatch = batch_tokens
        params.n_seq_max = sequences
        params.n_outputs_max_per_seq = 0  # as many as the batch has tokens
        params.n_threads = params.n_threads_batch = self.threads
        params.type_k, params.type_v = TYPES.index(type_k), TYPES.index(type_v)
        params.flash_attn_type = FLASH[flash_attention]
        if watch is not None:
            params.cb_eval = ctypes.cast(watch.callback, ctypes.c_void_p).value
        model.library.last_words()
        self._handle: int | None = self._llama.llama_init_from_model(model.handle, params)
        if not self._handle:
            raise NativeError(f"no context of {context_tokens} tokens ({type_k}/{type_v}): {model.library.last_words()}")
        self._as_asked(params)
        self.context_tokens: int = self._llama.llama_n_ctx_seq(self._handle)
        """Of one sequence: what was asked for, rounded up to llama.cpp's step."""
        self._memory = self._llama.llama_get_memory(self._handle)

    def _as_asked(self, params: ContextParams) -> None:
        """What the library took for our fields: the proof that it reads the structure as we write it."""
        for name in ("n_batch", "n_ubatch", "n_seq_max", "n_threads", "n_threads_batch", "n_ctx"):
            asked, taken = getattr(params, name), getattr(self._llama, f"llama_{name}")(self._handle)
            if not (asked == taken or (name == "n_ctx" and asked <= taken < asked + 256 * self.sequences)):
                self.close()
                raise NativeError(
                    f"{name} = {asked} was asked for and the native library took {taken}: our layout is not the library's"
                )

    @property
    def handle(self) -> int:
        if self._handle is None:
            raise NativeError("the context is closed")
        return self._handle

    def length(self, sequence: int = 0) -> int:
        """Tokens that the sequence holds."""
        self._check(sequence)
        return int(self._llama.llama_memory_seq_pos_max(self._memory, sequence)) + 1

    def decode(
        self,
        tokens: NDArray[np.int32] | Sequence[int],
        *,
        logits: Logits = "last",
        sequence: int = 0,
        position: int | None = None,
    ) -> NDArray[np.float32]:
        """Append tokens to a sequence and compute them, `batch_tokens` at a time.

        `position`: where they go; what the sequence held from there on is dropped first (None = at its end). Returns float32[1, vocabulary]
        after the last token, float32[n, vocabulary] after each, or float32[0, vocabulary]. Raises NativeError when there is no room,
        ValueError for ids that are none.
        """
        ids = np.ascontiguousarray(tokens, np.int32)
        self.model.check(ids)
        if position is not None:
            self.truncate(position, sequence)
        start = self.length(sequence)
        if start + len(ids) > self.context_tokens:
            raise NativeError(f"{len(ids)} tokens after {start} do not fit into a context of {self.context_tokens}")
        rows = len(ids) if logits == "all" else min(len(ids), int(logits == "last"))
        found = np.empty((rows, self.model.vocabulary), np.float32)
        for at in range(0, len(ids), self.batch_tokens):
            part = ids[at : at + self.batch_tokens]
            wanted = np.full(len(part), logits == "all", np.int8)
            if logits == "last" and at + len(part) == len(ids):
                wanted[-1] = 1
            positions = np.arange(start + at, start + at + len(part), dtype=np.int32)
            self._compute(part, positions, np.full(len(part), sequence, np.int32), wanted)
            if logits == "all":
                self._read(range(len(part)), found[at : at + len(part)])
        if logits == "last" and len(ids):
            self._read([len(part) - 1], found)
        return found

    def decode_together(self, tokens: Mapping[int, NDArray[np.int32] | Sequence[int]]) -> NDArray[np.float32]:
        """Append tokens to several sequences in one batch: {sequence: ids}, at most `batch_tokens` in all and one or more for each.

        Returns float32[sequences, vocabulary] after the last token of each, in the order given.
        """
        parts = {sequence: np.ascontiguousarray(ids, np.int32) for sequence, ids in tokens.items()}
        if not parts or not all(len(part) for part in parts.values()) or sum(map(len, parts.values())) > self.batch_tokens:
            raise ValueError(f"a batch has 1 to {self.batch_tokens} tokens, and one or more of each sequence")
        starts = {sequence: self.length(sequence) for sequence in parts}
        for sequence, part in parts.items():
            self.model.check(part)
            if starts[sequence] + len(part) > self.context_tokens:
                raise NativeError(f"sequence {sequence} has no room for {len(part)} more tokens in {self.context_tokens}")
        ends = np.cumsum([len(part) for part in parts.values()]) - 1
        wanted = np.zeros(int(ends[-1]) + 1, np.int8)
        wanted[ends] = 1
        self._compute(
            np.concatenate(list(parts.values())),
            np.concatenate([np.arange(starts[s], starts[s] + len(part), dtype=np.int32) for s, part in parts.items()]),
            np.concatenate([np.full(len(part), s, np.int32) for s, part in parts.items()]),
            wanted,
        )
        found = np.empty((len(parts), self.model.vocabulary), np.float32)
        self._read([int(end) for end in ends], found)
        return found

    def state(self, sequence: int = 0) -> bytes:
        """The sequence's KV cache in llama.cpp's own format: what `restore` takes of a context with the same model, KV types and number of
        sequences (llama.cpp writes how many streams a cache has, and refuses another number).
        """
        self._check(sequence)
        size = self._llama.llama_state_seq_get_size(self.handle, sequence)
        data = (ctypes.c_uint8 * size)()
        written = self._llama.llama_state_seq_get_data(self.handle, data, size, sequence)
        if written != size:
            raise NativeError(f"the state of sequence {sequence} cannot be read: {self.model.library.last_words()}")
        return bytes(data)

    def restore(self, data: bytes, sequence: int = 0) -> None:
        """Replace a sequence by a saved one. Raises NativeError if the state is not of such a context; the sequence is then empty."""
        self._check(sequence)
        self.truncate(0, sequence)
        source = (ctypes.c_uint8 * len(data)).from_buffer_copy(data)
        if self._llama.llama_state_seq_set_data(self.handle, source, len(data), sequence) != len(data):
            self.truncate(0, sequence)
            raise NativeError(
                f"the state is not of this model, KV type and number of sequences: {self.model.library.last_words()}"
            )

    def truncate(self, tokens: int, sequence: int = 0) -> None:
        """Keep the first so many tokens of a sequence. Raises NativeError where the model cannot (recurrent, sliding windows)."""
        self._check(sequence)
        if tokens < 0 or not self._llama.llama_memory_seq_rm(self._memory, sequence, tokens, -1):
            raise NativeError(f"sequence {sequence} cannot be cut to {tokens} tokens: its model keeps no cache that can be cut")

    def copy(self, source: int, target: int) -> None:
        """Make one sequence begin as another: what it held is dropped."""
        self._check(source)
        self.truncate(0, target)
        self._llama.llama_memory_seq_cp(self._memory, source, target, -1, -1)

    def clear(self) -> None:
        """Drop all sequences."""
        self._llama.llama_memory_clear(self._memory, True)

    def close(self) -> None:
        if self._handle is not None:
            self._llama.llama_free(self._handle)
            self._handle = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _check(self, sequence: int) -> None:
        assert self.handle
        if not 0 <= sequence < self.sequences:
            raise ValueError(f"sequences are 0 to {self.sequences - 1}, not {sequence}")

    def _compute(
        self, ids: NDArray[np.int32], positions: NDArray[np.int32], owners: NDArray[np.int32], wanted: NDArray[np.int8]
    ) -> None:
        count = len(ids)
        ones = np.ones(count, np.int32)
        # One pointer per token, each to that token's number in `owners`.
        addresses = owners.ctypes.data + np.arange(count, dtype=np.uint64) * 4
        batch = Batch(
            n_tokens=count,
            token=ids.ctypes.data_as(_I32),
            pos=positions.ctypes.data_as(_I32),
            n_seq_id=ones.ctypes.data_as(_I32),
            seq_id=addresses.ctypes.data_as(ctypes.POINTER(_I32)),
            logits=wanted.ctypes.data_as(ctypes.POINTER(ctypes.c_int8)),
        )
        status = self._llama.llama_decode(self.handle, batch)
        if self._watch is not None:
            self._watch.raise_error()
        if status == FULL:
            raise NativeError(f"the KV cache has no room for {count} more tokens")
        if status:
            raise NativeError(f"{count} tokens could not be computed (status {status}): {self.model.library.last_words()}")

    def _read(self, places: Sequence[int] | range, into: NDArray[np.float32]) -> None:
        for row, place in enumerate(places):
            address = self._llama.llama_get_logits_ith(self.handle, place)
            if not address:
                raise NativeError(f"there are no logits of token {place}")
            into[row] = np.ctypeslib.as_array(address, (self.model.vocabulary,))
