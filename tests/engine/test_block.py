"""One block of a model file, shown from its bytes to its weights."""

import subprocess
import sys
from pathlib import Path

import gguf
import numpy as np
import pytest

from jevons.engine.block import shown
from jevons.engine.gguf import NotGguf


@pytest.mark.parametrize("name", ["Q4_1", "Q8_0"])
def test_a_block_is_shown_with_the_weights_that_ggml_reads(small: Path, name: str) -> None:
    expected = gguf.dequantize(gguf.quantize(ROWS, gguf.GGMLQuantizationType[name]), gguf.GGMLQuantizationType[name])
    text = shown(small, name, 5)
    assert "block 5 of 6" in text
    assert [f"{weight:.4f}" for weight in expected[2, 32:]] == text.rpartition("  weights ")[2].split()


def test_what_cannot_be_shown_says_why(small: Path) -> None:
    for name, block, why in (
        ("Q4_1", 6, "blocks 0 to 5, not 6"),
        ("norm", 0, "norm is F32, whose blocks cannot be shown"),
        ("nothing", 0, "no tensor 'nothing'"),
    ):
        with pytest.raises(NotGguf, match=why):
            shown(small, name, block)
    small.write_bytes(small.read_bytes()[:-500])
    with pytest.raises(NotGguf, match="cut short"):
        shown(small, "Q8_0", 5)


def test_the_command_ends_without_a_traceback(small: Path) -> None:
    command = [sys.executable, "-m", "jevons.engine.block", "nothing", "--file", str(small)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", f"{small} has no tensor 'nothing'\n")


ROWS = np.random.default_rng(3).standard_normal((3, 64)).astype(np.float32)


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A file of its own alignment, with facts of every kind before its tensors."""
    path = tmp_path / "small.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_custom_alignment(64)
    writer.add_array("words", ["a", "of", "three"])
    writer.add_array("numbers", [1, 2, 3])
    writer.add_tensor("norm", np.arange(32, dtype=np.float32))
    for name in ("Q4_1", "Q8_0"):
        kind = gguf.GGMLQuantizationType[name]
        writer.add_tensor(name, gguf.quantize(ROWS, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
