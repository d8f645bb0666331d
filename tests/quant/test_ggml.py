"""ggml's block types, against ggml's own Python package, on random bytes and on the packaged model."""

from pathlib import Path

import gguf
import numpy as np
import pytest

from jevons.engine.gguf import tensors
from jevons.engine.install import install_command
from jevons.engine.models import find_model
from jevons.quant.blocks import Format, by_range
from jevons.quant.ggml import TYPES


@pytest.mark.parametrize("name", TYPES)
def test_every_type_is_decoded_bit_for_bit(name: str) -> None:
    of, its = TYPES[name], gguf.GGMLQuantizationType[name]
    assert (of.weights, of.layout.itemsize) == gguf.GGML_QUANT_SIZES[its]
    chance = np.random.default_rng(its.value)
    blocks = chance.integers(0, 256, 14 * of.layout.itemsize, dtype=np.uint8).view(of.layout)
    for field in {"d", "m", "dmin"} & set(of.layout.names or ()):
        blocks[field] = chance.standard_normal(14)  # random bytes would also be infinite
    assert of.decode(blocks.tobytes()).tobytes() == gguf.dequantize(blocks.view(np.uint8), its).tobytes()


def test_the_packaged_models_tensors_are_decoded_bit_for_bit_and_go_back_into_our_blocks(model: Path) -> None:
    found = {tensor.name: tensor for tensor in tensors(model)}
    for name in ("token_embd.weight", "blk.0.attn_k.weight", "blk.29.ffn_down.weight"):
        tensor = found[name]
        of = TYPES[tensor.type]
        data = np.fromfile(model, np.uint8, 20_000 // 20 * of.layout.itemsize, offset=tensor.begins_at)
        weights = of.decode(data)
        assert weights.tobytes() == gguf.dequantize(data, gguf.GGMLQuantizationType[of.name]).tobytes()
        if of.name == "Q4_1":
            assert by_range(weights, Format(4, 32)).decode().tobytes() == weights.tobytes()


@pytest.fixture
def model() -> Path:
    found = find_model()
    if found is None:
        pytest.skip(f"needs the local model: {install_command()}")
    return found.path
