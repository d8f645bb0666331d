"""Open models by name: every configuration comes to what its maker publishes, and a name is found however it is written."""

import pytest

from jevons.economics.unitcost.architecture import Architecture, Attention, Latent, Recurrence
from jevons.economics.unitcost.errors import UnknownFact
from jevons.economics.unitcost.known import Known, find, known, models
from jevons.economics.unitcost.weights import precision


def as_published(params: int, said: str) -> bool:
    """Within 2 %, or within what its last digit leaves open."""
    last = 10 ** -len(said.partition(".")[2])
    return abs(params / 1e9 - float(said)) < max(0.02 * float(said), last)


@pytest.mark.parametrize("model", models(), ids=lambda model: model.name)
def test_every_model_has_the_parameters_that_its_maker_publishes(model: Known) -> None:
    arch = known(model.name)
    assert as_published(arch.params_total, model.params_b)
    assert (model.active_b is None) == (arch.experts is None)
    if model.active_b:  # some count the embedding that a token only looks up, some do not
        assert any(as_published(params, model.active_b) for params in (arch.params_active, arch.params_multiplied))


def test_numbers_in_which_makers_publish_are_known() -> None:
    assert [find(name).stored for name in ("gpt-oss-120b", "deepseek-r1", "llama-3.1-8b")] == ["mxfp4", "fp8", "bf16"]
    for model in models():
        assert precision(model.stored, known(model.name)).name == model.stored


def test_names_are_unique_and_have_sources() -> None:
    names = [name for model in models() for name in (model.name, *model.aliases)]
    assert len({known(name).name for name in names}) == len(names) > 180
    assert find("llama-3.1-8b").source == "https://huggingface.co/meta-llama/Llama-3.1-8B/blob/main/config.json"


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("meta-llama/Meta-Llama-3.1-8B-Instruct-FP8", "llama-3.1-8b"),
        ("Llama-3_3-Nemotron-Super-49B-v1_5", "llama-3.3-nemotron-super-49b"),
        ("mistralai/Mixtral-8x7B-Instruct-v0.1", "mixtral-8x7b"),
        ("Mistral-7B-Instruct-v0.1", "mistral-7b-instruct-v0.1"),
        ("nvidia/DeepSeek-R1-0528-NVFP4-v2", "deepseek-r1-0528"),
        ("deepseek-v3", "deepseek-v3"),
        ("llama2-70b-99.9", "llama-2-70b"),
        ("llama3.1:8b", "llama-3.1-8b"),
        ("llama3_1-405b", "llama-3.1-405b"),
        ("gptj-99", "gpt-j"),
        ("Qwen/Qwen3-235B-A22B-Thinking-2507-FP8", "qwen3-235b-a22b"),
        ("nvidia/NVIDIA-Nemotron-Nano-12B-v2-VL-BF16", "nvidia-nemotron-nano-12b-v2-vl"),
        ("unsloth/gemma-3-27b-it-GGUF", "gemma-3-27b"),
        ("SmolLM2-135M-Instruct-Q4_K_M", "smollm2-135m"),
        ("openai/gpt-oss-120b", "gpt-oss-120b"),
    ],
)
def test_a_name_is_found_as_tables_write_it(written: str, name: str) -> None:
    assert known(written).name == name


@pytest.mark.parametrize("unknown", ["llama-3.1", "qwen3-9b", "gpt-4o", "", "mixtral"])
def test_a_name_that_is_not_known_is_refused_with_three_that_are(unknown: str) -> None:
    with pytest.raises(UnknownFact, match=r"nearest are .+, .+, .+\. Give the model's config\.json"):
        known(unknown)


def shape(arch: Architecture) -> list[tuple[int, int | None]]:
    """(layers, window) of each group."""
    return [(group.count, group.mixer.window if isinstance(group.mixer, Attention) else None) for group in arch.groups]


def test_windows_are_the_published_ones() -> None:
    assert shape(known("gemma-3-27b")) == [(52, 1024), (10, None)]  # five near to one far; 62 layers end on near ones
    assert shape(known("gemma-2-9b")) == [(21, 4096), (21, None)]
    assert shape(known("gpt-oss-120b")) == [(18, 128), (18, None)]
    assert shape(known("llama-4-scout")) == [(36, 8192), (12, None)]
    assert shape(known("gemma-4-31b")) == [(50, 1024), (10, None)]
    assert shape(known("mistral-7b-v0.1")) == [(32, 4096)] and shape(known("mistral-7b")) == [(32, None)]
    assert shape(known("olmo-3-7b")) == [(24, 4096), (8, None)]


def test_layers_that_keep_a_state_are_counted_apart() -> None:
    hybrid = known("qwen3-next")
    assert [group.count for group in hybrid.groups if isinstance(group.mixer, Recurrence)] == [36]
    # 32 heads of 128 × 128, and three tokens of the convolution's 8,192 channels, in each of the 36
    assert hybrid.state_elements == 36 * (32 * 128 * 128 + 3 * 8192)
    assert hybrid.cache_elements(1000) == 12 * 1000 * 2 * 2 * 256


def test_a_compressed_cache_cannot_be_divided_by_heads() -> None:
    assert isinstance(known("deepseek-r1").attention, Latent)
    assert (known("deepseek-r1").kv_heads, known("deepseek-r1").heads, known("llama-3.1-70b").kv_heads) == (1, 128, 8)


def test_keys_and_values_made_by_one_matrix_are_both_kept() -> None:
    far = known("gemma-4-31b").groups[1].mixer
    assert isinstance(far, Attention)
    assert far.params(5376) == 5376 * (16_384 + 2_048 + 16_384) and far.cache_elements == 2 * 2_048


def test_layers_found_by_search_differ_among_themselves() -> None:
    searched = known("llama-3.3-nemotron-super-49b")
    assert searched.layers == 80
    assert sum(group.count for group in searched.groups if group.mixer is not None) == 49


def test_another_model_under_the_same_name_is_not_taken_for_it() -> None:
    assert find("mistralai/Mistral-Large-Instruct-2411").name == "mistral-large"
    with pytest.raises(UnknownFact, match="'mistral-large-2512' is not known"):
        find("mistral-large-2512")
