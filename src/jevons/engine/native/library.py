"""The loaded library: files checked, functions declared, one CPU back end chosen, layouts proved. One per process.

Comes in: a folder, and which variant. Goes out: `Library`, whose `llama` has the functions of llama.h with their types, and
whose `last_words` are what it logged last. Does not know: models, contexts.
"""

import ctypes
import os
from collections import deque
from ctypes import POINTER, c_bool, c_char_p, c_float, c_int32, c_size_t, c_uint8, c_uint32, c_uint64, c_void_p
from pathlib import Path
from typing import Any

from jevons.engine.native import canary, package
from jevons.engine.native.layout import LOG, Batch, ContextParams, ModelParams, QuantizeParams
from jevons.engine.native.package import NativeError

WARNING = 3
CONTINUED = 5
WORDS_KEPT = 8

_I32 = POINTER(c_int32)
_BYTES = POINTER(c_uint8)
LLAMA_FUNCTIONS: dict[str, tuple[Any, list[Any]]] = {
    "llama_version": (c_char_p, []),
    "llama_log_set": (None, [LOG, c_void_p]),
    "llama_backend_init": (None, []),
    "llama_model_default_params": (ModelParams, []),
    "llama_context_default_params": (ContextParams, []),
    "llama_model_quantize_default_params": (QuantizeParams, []),
    "llama_model_load_from_file": (c_void_p, [c_char_p, ModelParams]),
    "llama_model_free": (None, [c_void_p]),
    "llama_model_get_vocab": (c_void_p, [c_void_p]),
    "llama_model_n_ctx_train": (c_int32, [c_void_p]),
    "llama_model_n_embd": (c_int32, [c_void_p]),
    "llama_model_n_layer": (c_int32, [c_void_p]),
    "llama_model_n_head": (c_int32, [c_void_p]),
    "llama_model_n_head_kv": (c_int32, [c_void_p]),
    "llama_model_n_params": (c_uint64, [c_void_p]),
    "llama_model_size": (c_uint64, [c_void_p]),
    "llama_model_has_encoder": (c_bool, [c_void_p]),
    "llama_model_is_recurrent": (c_bool, [c_void_p]),
    "llama_model_desc": (c_int32, [c_void_p, c_char_p, c_size_t]),
    "llama_model_meta_count": (c_int32, [c_void_p]),
    "llama_model_meta_key_by_index": (c_int32, [c_void_p, c_int32, c_char_p, c_size_t]),
    "llama_model_meta_val_str_by_index": (c_int32, [c_void_p, c_int32, c_char_p, c_size_t]),
    "llama_model_quantize": (c_uint32, [c_char_p, c_char_p, POINTER(QuantizeParams)]),
    "llama_vocab_n_tokens": (c_int32, [c_void_p]),
    "llama_vocab_bos": (c_int32, [c_void_p]),
    "llama_vocab_eos": (c_int32, [c_void_p]),
    "llama_vocab_is_eog": (c_bool, [c_void_p, c_int32]),
    "llama_tokenize": (c_int32, [c_void_p, c_char_p, c_int32, _I32, c_int32, c_bool, c_bool]),
    "llama_detokenize": (c_int32, [c_void_p, _I32, c_int32, c_char_p, c_int32, c_bool, c_bool]),
    "llama_init_from_model": (c_void_p, [c_void_p, ContextParams]),
    "llama_free": (None, [c_void_p]),
    "llama_n_ctx": (c_uint32, [c_void_p]),
    "llama_n_ctx_seq": (c_uint32, [c_void_p]),
    "llama_n_batch": (c_uint32, [c_void_p]),
    "llama_n_ubatch": (c_uint32, [c_void_p]),
    "llama_n_seq_max": (c_uint32, [c_void_p]),
    "llama_n_threads": (c_int32, [c_void_p]),
    "llama_n_threads_batch": (c_int32, [c_void_p]),
    "llama_get_memory": (c_void_p, [c_void_p]),
    "llama_memory_clear": (None, [c_void_p, c_bool]),
    "llama_memory_seq_rm": (c_bool, [c_void_p, c_int32, c_int32, c_int32]),
    "llama_memory_seq_cp": (None, [c_void_p, c_int32, c_int32, c_int32, c_int32]),
    "llama_memory_seq_pos_max": (c_int32, [c_void_p, c_int32]),
    "llama_state_seq_get_size": (c_size_t, [c_void_p, c_int32]),
    "llama_state_seq_get_data": (c_size_t, [c_void_p, _BYTES, c_size_t, c_int32]),
    "llama_state_seq_set_data": (c_size_t, [c_void_p, _BYTES, c_size_t, c_int32]),
    "llama_decode": (c_int32, [c_void_p, Batch]),
    "llama_get_logits_ith": (POINTER(c_float), [c_void_p, c_int32]),
}
GGML_FUNCTIONS: dict[str, tuple[Any, list[Any]]] = {
    "ggml_backend_load": (c_void_p, [c_char_p]),
    "ggml_backend_reg_count": (c_size_t, []),
}
BASE_FUNCTIONS: dict[str, tuple[Any, list[Any]]] = {
    "ggml_version": (c_char_p, []),
    "ggml_commit": (c_char_p, []),
    "ggml_op_name": (c_char_p, [c_int32]),
    "ggml_unary_op_name": (c_char_p, [c_int32]),
    "ggml_glu_op_name": (c_char_p, [c_int32]),
    "ggml_type_name": (c_char_p, [c_int32]),
    "ggml_type_size": (c_size_t, [c_int32]),
    "ggml_blck_size": (ctypes.c_int64, [c_int32]),
    "ggml_tensor_overhead": (c_size_t, []),
}


def declare(library: ctypes.CDLL, functions: dict[str, tuple[Any, list[Any]]]) -> ctypes.CDLL:
    """Give each function its types. Raises NativeError if one is missing: it is another library."""
    for name, (result, arguments) in functions.items():
        try:
            function = getattr(library, name)
        except AttributeError as error:
            raise NativeError(f"{library._name} has no function {name}; it is not the library that Jevons binds") from error
        function.restype, function.argtypes = result, arguments
    return library


def variant_scores(folder: Path) -> dict[str, int]:
    """CPU variants that this processor can run, with ggml's own rank of each (instruction sets that it uses), best first.

    Raises NativeError for files that are not the pinned ones.
    """
    scores = {}
    package.check(folder, [package.BASE, *map(package.VARIANT.format, package.VARIANTS)])
    for variant in package.VARIANTS:
        back_end = ctypes.CDLL(str(folder / package.VARIANT.format(variant)))
        score = int(back_end.ggml_backend_score())
        if score > 0:
            scores[variant] = score
    return dict(sorted(scores.items(), key=lambda item: -item[1]))


class Library:
    """See the module. Made by `open_library`."""

    def __init__(self, folder: Path, variant: str | None) -> None:
        files = [package.LLAMA, package.GGML, package.BASE]
        package.check(folder, files)
        try:
            self.base = declare(ctypes.CDLL(str(folder / package.BASE)), BASE_FUNCTIONS)
            self.ggml = declare(ctypes.CDLL(str(folder / package.GGML)), GGML_FUNCTIONS)
            self.llama = declare(ctypes.CDLL(str(folder / package.LLAMA)), LLAMA_FUNCTIONS)
        except OSError as error:
            raise NativeError(f"the native library does not load here: {error}") from error
        self.folder = folder
        self._words: deque[str] = deque(maxlen=WORDS_KEPT)
        self._log = LOG(self._hear)  # kept: the library calls it as long as the process lives
        self.llama.llama_log_set(self._log, None)
        canary.versions(self.llama, self.base)
        canary.layouts(self.llama, self.base)
        self.variant = variant or next(iter(variant_scores(folder)))
        """The CPU back end in use."""
        file = package.VARIANT.format(self.variant)
        package.check(folder, [file])
        self.llama.llama_backend_init()
        if not self.ggml.ggml_backend_load(os.fsencode(folder / file)):
            raise NativeError(f"the CPU variant {self.variant} does not run on this processor: {self.last_words()}")

    def _hear(self, level: int, text: bytes, _: object) -> None:
        if level >= WARNING and text:
            words = text.decode("utf-8", "replace")
            if level == CONTINUED and self._words:
                words = self._words.pop() + words
            self._words.append(words)

    def last_words(self) -> str:
        """What it warned of since it was last asked, in one line: the reason of a failure."""
        words = " ".join(" ".join(self._words).split())
        self._words.clear()
        return words or "it gave no reason"


_opened: Library | None = None


def open_library(folder: Path | None = None, variant: str | None = None) -> Library:
    """The library, loaded once per process: the files of `folder` (None = the installed package), the CPU back end `variant` (None =
    the one that ggml ranks first here). Raises NativeError: not installed, not the pinned files, another layout, another variant
    than this process has loaded already.
    """
    global _opened
    where = folder or package.find()
    if variant is not None and variant not in package.VARIANTS:
        raise NativeError(f"there is no CPU variant {variant!r}; there are {', '.join(package.VARIANTS)}")
    if _opened is None:
        _opened = Library(where, variant)
    if _opened.folder != where or variant not in (None, _opened.variant):
        raise NativeError(
            f"this process has loaded {_opened.variant} from {_opened.folder}; another one needs a process of its own"
        )
    return _opened
