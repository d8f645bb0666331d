"""Tokens of a text.

Comes in: text and the name of an encoding. Goes out: a count, or the pieces. Encodings are `o200k_base` and `cl100k_base`, exact,
and `bytes`: the UTF-8 bytes, which no byte-level BPE exceeds, since each of its tokens stands for one byte at least.

The vocabularies come from bpe-openai's compiled module alone. Importing the package itself takes 0.9 s and 68 MB, because it
parses every rank file into Python dictionaries that only its tiktoken-like wrapper needs; the module has the same tables built
in (6 ms to import; 0.1 s and 66 MB, half of it file-backed, for o200k_base; 30 MB more for cl100k_base; the same ids). Nothing
is loaded before the first count: a server calls `preload` in a thread.
Does not know: messages (weigh.py), requests (tokens.py), models.
"""

import base64
import gzip
import importlib.util
import re
import sys
import threading
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from importlib.machinery import ExtensionFileLoader, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Protocol

from jevons.core.limits import COUNT_CHUNK_CHARS

BYTES = "bytes"
ENCODINGS = ("o200k_base", "cl100k_base", BYTES)

_MODULE = "bpe_openai._bindings"
_SEAM = re.compile(r"[A-Za-z0-9\u3040-\u30ff\u4e00-\u9fff\uac00-\ud7a3](?=[ \n.,;:()\[\]{}\"，。、！？])")
"""Between a letter or digit and one of these signs both pre-tokenizers always cut: no alternative of their patterns spans it."""

_tokenizers: dict[str, "_Tokenizer"] = {}
_loading = threading.Lock()


class _Tokenizer(Protocol):
    def count(self, text: str) -> int: ...
    def encode(self, text: str) -> list[int]: ...
    def decode(self, tokens: list[int]) -> str | None: ...


def preload(*encodings: str) -> threading.Thread:
    """Load vocabularies in a thread of their own, already started; join it to wait."""
    thread = threading.Thread(target=lambda: [_tokenizer(name) for name in encodings if name != BYTES], name="tokenizers")
    thread.start()
    return thread


def loaded(encoding: str) -> bool:
    """Whether a count starts at once. Otherwise the first one takes 0.1 s more."""
    return encoding == BYTES or encoding in _tokenizers


def count_text(text: str, encoding: str) -> int:
    """Tokens of a text, as a model sees it that takes special tokens in a text as plain characters.

    Long texts are counted in parts, cut where the count does not change, so that other threads can run in between: the
    tokenizer keeps the interpreter lock. Raises ValueError for an encoding that is not in ENCODINGS.
    """
    if encoding == BYTES:
        return _byte_bound(text)
    count = _tokenizer(encoding).count
    try:
        if len(text) <= COUNT_CHUNK_CHARS:
            return count(text)
        return sum(count(part) for part in _parts(text, COUNT_CHUNK_CHARS))
    except UnicodeEncodeError:  # half of a surrogate pair, which JSON can spell: a provider sees U+FFFD
        return count_text(_whole(text), encoding)


def pieces(text: str, encoding: str) -> list[tuple[bytes, int]]:
    """(bytes, token id) of each token of a text, in order; the bytes join to the text's UTF-8. Of `bytes` the id is the byte.

    A token may end inside a character: then its bytes are no UTF-8. Raises ValueError for an unknown encoding.
    """
    data = _whole(text).encode()
    if encoding == BYTES:
        return [(bytes([byte]), byte) for byte in data]
    ranks = _ranks(encoding)
    return [(ranks[token], token) for token in _tokenizer(encoding).encode(data.decode())]


def _parts(text: str, size: int) -> Iterator[str]:
    start = 0
    while len(text) - start > size:
        seam = _SEAM.search(text, start + size)
        if seam is None:
            break
        yield text[start : seam.end()]
        start = seam.end()
    yield text[start:]


def _byte_bound(text: str) -> int:
    """UTF-8 bytes, of the text or of its NFC form if that is longer: some tokenizers (Qwen, Claude) normalise first."""
    if text.isascii():
        return len(text)
    whole = _whole(text)
    plain = len(whole.encode())
    if unicodedata.is_normalized("NFC", whole):
        return plain
    return max(plain, len(unicodedata.normalize("NFC", whole).encode()))


def _whole(text: str) -> str:
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _tokenizer(encoding: str) -> _Tokenizer:
    found = _tokenizers.get(encoding)
    if found is not None:
        return found
    if encoding not in ENCODINGS:
        raise ValueError(f"no tokenizer {encoding!r}; there are {', '.join(ENCODINGS)}")
    with _loading:
        if encoding not in _tokenizers:
            _tokenizers[encoding] = _bindings().tokenizer_for_encoding(encoding)
    return _tokenizers[encoding]


def _bindings() -> ModuleType:
    """The extension module, without its package; under its own name, so that the package would find it too."""
    if _MODULE in sys.modules:
        return sys.modules[_MODULE]
    folder = _package_folder()
    path = next(folder.glob("_bindings*.so"), None) or next(folder.glob("_bindings*.pyd"))
    loader = ExtensionFileLoader(_MODULE, str(path))
    spec = importlib.util.spec_from_loader(_MODULE, loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    sys.modules[_MODULE] = module
    return module


@lru_cache(maxsize=len(ENCODINGS))
def _ranks(encoding: str) -> dict[int, bytes]:
    """Bytes of every token id, from bpe-openai's rank file: 0.2 s, so for people at a prompt only."""
    table = {}
    with gzip.open(_package_folder() / "data" / f"{encoding}.tiktoken.gz", "rt", encoding="ascii") as lines:
        for line in lines:
            token, rank = line.split()
            table[int(rank)] = base64.b64decode(token)
    return table


def _package_folder() -> Path:
    spec = PathFinder.find_spec("bpe_openai")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError("bpe-openai is not installed: tokens cannot be counted; run `make setup` again")
    return Path(next(iter(spec.submodule_search_locations)))
