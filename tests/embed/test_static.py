"""Texts as vectors: what the table says of them, and what is said when it is not there."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from jevons.embed import Embedder


@pytest.fixture(scope="module")
def embedder() -> Embedder:
    return Embedder()


def test_a_vector_is_unit_and_of_the_stated_size(embedder: Embedder) -> None:
    vector = embedder.vector("How do I reset my card's PIN?")
    assert vector.shape == (embedder.dimensions,)
    assert vector.dtype == np.float32
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)
    assert (embedder.vector("How do I reset my card's PIN?") == vector).all()


def test_what_means_the_same_is_nearer_than_what_does_not(embedder: Embedder) -> None:
    asked, same, other = (
        embedder.vector(text)
        for text in ("How do I reset my card's PIN?", "how can i change the pin of my card", "Write a poem about autumn rain.")
    )
    assert asked @ same > 0.6 > 0.3 > asked @ other


def test_a_text_without_a_word_resembles_nothing(embedder: Embedder) -> None:
    assert not embedder.vector("").any()


def test_any_text_has_a_vector(embedder: Embedder) -> None:
    for text in ("\x00", "日本語の質問", "🙂" * 1_000, "\ud800".encode("utf-8", "replace").decode()):
        assert np.isfinite(embedder.vector(text)).all()


def test_a_missing_package_is_named_with_the_command_that_brings_it() -> None:
    """In an interpreter that sees the standard library and ours, and nothing else."""
    code = (
        "import sys; sys.path[:] = [p for p in sys.path if 'site-packages' not in p] + ['src']\n"
        "import jevons.embed as embed\n"
        "try: embed.Embedder()\n"
        "except embed.MissingEmbedderError as error: print(error)"
    )
    said = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True, check=True).stdout
    assert "needs numpy" in said
    assert f"{sys.executable} -m pip install" in said
    locked = Path(said.split()[-1])
    assert "--require-hashes" in said and all(f"\n{name}==" in locked.read_text() for name in ("numba", "llvmlite", "wordllama"))
