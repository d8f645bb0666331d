"""The binding against the real library and the packaged model."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

np = pytest.importorskip("numpy")

from jevons.engine.models import find_model  # noqa: E402
from jevons.engine.native.apart import apart  # noqa: E402
from jevons.engine.native.context import Context  # noqa: E402
from jevons.engine.native.library import Library, open_library  # noqa: E402
from jevons.engine.native.model import Model  # noqa: E402
from jevons.engine.native.package import NativeError  # noqa: E402
from jevons.engine.native.quantise import quantise  # noqa: E402
from jevons.engine.native.watch import Watch  # noqa: E402

TEXT = "The capital of France is Paris, and the capital of Germany is"


@pytest.fixture(scope="module")
def model(library: Library, parts: None) -> Iterator[Model]:
    found = find_model()
    assert found
    with Model(library, found.path) as model:
        yield model


@pytest.fixture(scope="module")
def read(model: Model) -> Iterator[tuple[Context, Any]]:
    """A context of two sequences, the first of which has read the text; and the logits after each of its tokens."""
    with Context(model, 512, sequences=2, batch_tokens=16) as context:
        yield context, context.decode(model.tokens(TEXT), logits="all")


def test_a_models_facts_are_those_of_its_file(model: Model) -> None:
    assert (model.layers, model.heads, model.kv_heads, model.head_width) == (30, 9, 3, 64)
    assert model.parameters == 134_515_008
    assert model.fact("context_length") == str(model.context_tokens) == "8192"
    assert (model.experts, model.experts_used) == (0, 0)


def test_text_becomes_tokens_and_text_again(model: Model) -> None:
    text = "naïve café: 東京 <|im_start|>"
    plain, special = model.tokens(text), model.tokens(text, special=True)
    assert model.text(plain) == model.text(special, special=True) == text
    assert len(special) < len(plain)
    assert model.ends(model.eos)
    with pytest.raises(ValueError, match="token ids are 0 to 49151"):
        model.text(np.array([49152], np.int32))


def test_the_model_knows_the_capital(model: Model, read: tuple[Context, Any]) -> None:
    context, logits = read
    assert logits.shape == (len(model.tokens(TEXT)), model.vocabulary)
    assert context.length() == len(logits)
    assert model.text(logits[-1:].argmax(1).astype(np.int32)) == " Berlin"


def test_a_saved_state_goes_on_exactly_where_it_was(model: Model, read: tuple[Context, Any]) -> None:
    context, _ = read
    length = context.length()
    state = context.state()
    context.restore(state, 1)
    together = context.decode_together({0: [42], 1: [42]})
    assert np.array_equal(together[0], together[1])
    with Context(model, 512, sequences=2) as other:
        other.restore(state)
        assert other.state() == state
        other.copy(0, 1)
        assert np.array_equal(other.decode([42], sequence=1), together[1:])
    context.truncate(length)
    assert context.state() == state


def test_a_foreign_or_cut_state_is_refused_and_leaves_the_sequence_empty(read: tuple[Context, Any]) -> None:
    context, _ = read
    state = context.state()
    for wrong in (state[:-1], b"\0" * 64, state + b"\0"):
        with pytest.raises(NativeError, match="not of this model"):
            context.restore(wrong, 1)
        assert context.length(1) == 0


def test_the_kv_types_asked_for_are_the_ones_taken(model: Model) -> None:
    sizes = {}
    for kind in ("f16", "q8_0", "q4_0"):
        with Context(model, 512, type_k=kind, type_v=kind, flash_attention="on") as context:
            context.decode(model.tokens(TEXT), logits="none")
            sizes[kind] = len(context.state())
    # bits an element, without what is not K or V: 16, 8.5 and 4.5
    assert sizes["q8_0"] / sizes["f16"] == pytest.approx(8.5 / 16, abs=0.01)
    assert sizes["q4_0"] / sizes["f16"] == pytest.approx(4.5 / 16, abs=0.01)


def test_what_cannot_be_computed_is_refused_before_the_native_code_sees_it(model: Model, read: tuple[Context, Any]) -> None:
    context, _ = read
    with pytest.raises(NativeError, match="do not fit into a context of 512"):
        context.decode([1] * 600)
    with pytest.raises(ValueError, match="token ids"):
        context.decode([-1])
    with pytest.raises(ValueError, match="sequences are 0 to 1"):
        context.decode([1], sequence=2)
    with pytest.raises(ValueError, match="1 to 16 tokens"):
        context.decode_together({0: [1] * 17})
    with pytest.raises(ValueError, match="a KV cache is of"):
        Context(model, 512, type_k="q2_K")
    with pytest.raises(NativeError, match="flash_attn"):
        Context(model, 512, type_v="q4_0", flash_attention="off")
    with pytest.raises(NativeError, match="another one needs a process of its own"):
        open_library(variant="sse42")


def test_tensors_inside_the_graph_can_be_watched(model: Model) -> None:
    seen: dict[str, Any] = {}
    watch = Watch(lambda name: name in ("l_out-3", "result_output"), seen.__setitem__)
    tokens = model.tokens(TEXT)
    with Context(model, 512, watch=watch) as context:
        logits = context.decode(tokens)
    assert seen["l_out-3"].shape == (len(tokens), model.width)
    assert np.array_equal(seen["result_output"], logits)


def test_an_error_of_the_watcher_is_raised_by_the_decoding(model: Model) -> None:
    def stop(name: str, values: Any) -> None:
        raise LookupError(name)

    with (
        Context(model, 512, watch=Watch(lambda name: name == "l_out-0", stop)) as context,
        pytest.raises(LookupError, match="l_out-0"),
    ):
        context.decode([1])


def test_weights_are_quantised_to_the_type_asked_for_or_not_at_all(library: Library, model: Model, tmp_path: Path) -> None:
    target = tmp_path / "small.gguf"
    with pytest.raises(NativeError, match="requantizing from type q4_1 is disabled"):
        quantise(model.path, target, "Q4_0")
    assert not list(tmp_path.iterdir())
    made = quantise(model.path, target, "Q4_0", pure=True, requantise=True)
    assert made.requantised
    assert made.size_bytes == target.stat().st_size < model.path.stat().st_size
    with Model(library, target, vocabulary_only=True) as smaller:
        assert smaller.metadata["general.file_type"] == "2"
    with pytest.raises(ValueError, match="needs an importance matrix"):
        quantise(model.path, target, "IQ2_XS", requantise=True)


def _abort(path: Path) -> None:
    library = open_library()
    model = Model(library, path, vocabulary_only=True)
    library.llama.llama_model_n_head(model.handle)


def test_a_fault_of_the_native_code_ends_its_own_process_only(model: Model) -> None:
    with pytest.raises(NativeError, match=r"abort ended without an answer \(SIGABRT\): .*llama-hparams.cpp"):
        apart(_abort, model.path)
