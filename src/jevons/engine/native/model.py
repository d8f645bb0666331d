"""A loaded GGUF file: its facts and its tokenizer.

Comes in: a library and a path. Goes out: sizes, metadata, tokens of a text and back. Does not know: contexts, prompts, templates.
"""

import ctypes
import os
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from jevons.engine.gguf import header
from jevons.engine.native.library import Library
from jevons.engine.native.package import NativeError

DESCRIPTION_BYTES = 256


class Model:
    """Use as a context manager, or call `close`. May be shared by several contexts; the weights are mapped, not copied."""

    def __init__(self, library: Library, path: Path, *, vocabulary_only: bool = False) -> None:
        """`vocabulary_only`: for tokens and metadata alone, in milliseconds; it has no sizes. Raises NativeError, gguf.NotGguf, OSError."""
        header(path)  # a file that is none is told in our own words
        self.library = library
        self.path = path
        params = library.llama.llama_model_default_params()
        params.vocab_only = vocabulary_only
        params.n_gpu_layers = 0
        self._handle: int | None = library.llama.llama_model_load_from_file(os.fsencode(path), params)
        if not self._handle:
            raise NativeError(f"the model {path} cannot be loaded: {library.last_words()}")
        llama = library.llama
        self._vocabulary = llama.llama_model_get_vocab(self._handle)
        self.vocabulary: int = llama.llama_vocab_n_tokens(self._vocabulary)
        """Token ids are 0 to this."""
        if not vocabulary_only:  # the native code ends the process when these are asked of a model without weights
            self.layers: int = llama.llama_model_n_layer(self._handle)
            self.heads: int = llama.llama_model_n_head(self._handle)
            self.kv_heads: int = llama.llama_model_n_head_kv(self._handle)
            """Of the first layer; a few architectures differ from layer to layer."""
            self.width: int = llama.llama_model_n_embd(self._handle)
            self.context_tokens: int = llama.llama_model_n_ctx_train(self._handle)
            """The most it was trained for."""
            self.parameters: int = llama.llama_model_n_params(self._handle)
            self.size_bytes: int = llama.llama_model_size(self._handle)
            """Of all tensors together."""
        self.bos: int = llama.llama_vocab_bos(self._vocabulary)
        """-1 = it has none; so `eos`."""
        self.eos: int = llama.llama_vocab_eos(self._vocabulary)

    @property
    def handle(self) -> int:
        if self._handle is None:
            raise NativeError(f"the model {self.path} is closed")
        return self._handle

    @cached_property
    def description(self) -> str:
        """ "llama 135M Q4_1"."""
        text = ctypes.create_string_buffer(DESCRIPTION_BYTES)
        self.library.llama.llama_model_desc(self.handle, text, len(text))
        return text.value.decode("utf-8", "replace")

    @cached_property
    def metadata(self) -> dict[str, str]:
        """Every scalar fact of the file as text: "llama.expert_count": "8"."""
        llama = self.library.llama
        facts = {}
        for index in range(llama.llama_model_meta_count(self.handle)):
            size = llama.llama_model_meta_val_str_by_index(self.handle, index, None, 0)
            value = ctypes.create_string_buffer(size + 1)
            llama.llama_model_meta_val_str_by_index(self.handle, index, value, len(value))
            facts[self._key(index)] = value.value.decode("utf-8", "replace")
        return facts

    def _key(self, index: int) -> str:
        key = ctypes.create_string_buffer(DESCRIPTION_BYTES)
        self.library.llama.llama_model_meta_key_by_index(self.handle, index, key, len(key))
        return key.value.decode("utf-8", "replace")

    def fact(self, name: str) -> str:
        """A fact of the architecture, without its prefix: `fact("expert_count")`; empty if the file does not say."""
        return self.metadata.get(f"{self.metadata.get('general.architecture', '')}.{name}", "")

    @property
    def head_width(self) -> int:
        """Elements of one key head."""
        return int(self.fact("attention.key_length") or self.width // self.heads)

    @property
    def experts(self) -> int:
        """Experts of a layer; 0 for a dense model."""
        return int(self.fact("expert_count") or 0)

    @property
    def experts_used(self) -> int:
        """Experts that compute one token in a layer; 0 for a dense model."""
        return int(self.fact("expert_used_count") or 0)

    def tokens(self, text: str, *, special: bool = False, beginning: bool = True) -> NDArray[np.int32]:
        """Token ids, int32[n]. `special`: "<|im_start|>" in the text is one token, not its letters. `beginning`: the tokens that the model
        wants around a text (BOS, EOS), if any.
        """
        data = text.encode()
        ids = np.empty(len(data) + 2, np.int32)
        count = self.library.llama.llama_tokenize(
            self._open_vocabulary(), data, len(data), _pointer(ids), len(ids), beginning, special
        )
        if count < 0:
            raise NativeError(f"a text of {len(data)} bytes cannot be cut into tokens")
        return ids[:count].copy()

    def text(self, tokens: NDArray[np.int32], *, special: bool = False) -> str:
        """The text of int32[n] token ids; `special`: control tokens are written out. Raises ValueError for an id that is none."""
        ids = np.ascontiguousarray(tokens, np.int32)
        self.check(ids)
        size = 16 + 8 * len(ids)
        for _ in range(2):
            text = ctypes.create_string_buffer(size)
            count = self.library.llama.llama_detokenize(
                self._open_vocabulary(), _pointer(ids), len(ids), text, size, False, special
            )
            if count >= 0:
                return text.raw[:count].decode("utf-8", "replace")
            size = -count
        raise NativeError("tokens cannot be written as text")

    def ends(self, token: int) -> bool:
        """Whether this token ends an answer."""
        return bool(self.library.llama.llama_vocab_is_eog(self._open_vocabulary(), token))

    def check(self, tokens: NDArray[np.int32]) -> None:
        """Raises ValueError for ids outside the vocabulary: the native code would not always survive them."""
        if tokens.size and (int(tokens.min()) < 0 or int(tokens.max()) >= self.vocabulary):
            raise ValueError(f"token ids are 0 to {self.vocabulary - 1}, not {tokens.min()} to {tokens.max()}")

    def _open_vocabulary(self) -> int:
        assert self.handle
        return int(self._vocabulary)

    def close(self) -> None:
        """Free it. Its contexts must be closed before."""
        if self._handle is not None:
            self.library.llama.llama_model_free(self._handle)
            self._handle = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def _pointer(ids: NDArray[np.int32]) -> "ctypes._Pointer[ctypes.c_int32]":
    return ids.ctypes.data_as(ctypes.POINTER(ctypes.c_int32))
