"""How long a sequence may be is read as engines read it; beyond it nothing is predicted, and what was measured is judged all the same."""

from typing import Any

import msgspec
import pytest

from jevons.economics.unitcost.check import check
from jevons.economics.unitcost.config_read import from_config
from jevons.economics.unitcost.efficiency import shipped
from jevons.economics.unitcost.errors import TooLong, UnknownFact
from jevons.economics.unitcost.hardware import part
from jevons.economics.unitcost.known import known, models
from jevons.economics.unitcost.serving import Load, best_batch, serve
from jevons.economics.unitcost.steps import System
from jevons.economics.unitcost.weights import cache_precision, precision
from tests.economics.unitcost.test_config_read import LLAMA
from tests.economics.unitcost.test_measured import table

YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32_768}
LONG = {"max_position_embeddings": 131_072}
GEMMA = {"model_type": "gemma3_text", "rope_scaling": {"rope_type": "linear", "factor": 8.0}}


@pytest.mark.parametrize(
    ("said", "longest"),
    [
        ({}, None),
        ({"max_position_embeddings": None}, None),
        (LONG, 131_072),
        ({"n_positions": 2_048}, 2_048),
        ({"seq_length": 8_192}, 8_192),
        ({"max_sequence_length": 4_096}, 4_096),
        ({"max_position_embeddings": 8_192, "model_max_length": 131_072}, 131_072),  # Command R
        ({"max_position_embeddings": 40_960, "rope_scaling": YARN}, 131_072),  # Qwen 3, as its card says to add
        ({"max_position_embeddings": 163_840, "rope_scaling": {"type": "yarn", "factor": 40, "original_max_position_embeddings": 4096}}, 163_840),
        ({"max_position_embeddings": 40_960, "rope_parameters": YARN}, 131_072),
        ({"max_position_embeddings": 4_096, "rope_scaling": {"type": "linear", "factor": 2.0}}, 8_192),
        (LONG | {"rope_scaling": {"rope_type": "llama3", "factor": 8.0, "original_max_position_embeddings": 8_192}}, 131_072),
        (LONG | {"rope_scaling": {"type": "longrope", "original_max_position_embeddings": 4_096}}, 131_072),
        (LONG | {"rope_scaling": {"type": "yarn", "factor": None}}, 131_072),
        (GEMMA, 131_072),  # the class's own, its scaling in it
    ],
)  # fmt: skip
def test_the_longest_sequence_is_the_configs(said: dict[str, Any], longest: int | None) -> None:
    assert from_config(LLAMA | said).positions == longest


@pytest.mark.parametrize("said", [{"max_position_embeddings": "long"}, {**LONG, "rope_scaling": "yarn"}])
def test_what_cannot_be_is_refused(said: dict[str, Any]) -> None:
    with pytest.raises(
        UnknownFact, match=r"max_position_embeddings .* is 'long', which is no count|rope_scaling is 'yarn', which is no object"
    ):
        from_config(LLAMA | said)


def test_a_length_is_that_of_the_release_that_is_named() -> None:
    named = {
        "meta-llama/Meta-Llama-3-8B-Instruct": 8_192, "meta-llama/Llama-3.1-8B-Instruct": 131_072, "Qwen/Qwen3-30B-A3B": 40_960,
        "Qwen/Qwen3-30B-A3B-Instruct-2507-FP8": 262_144, "kimi-k2": 131_072, "Kimi-K2-Thinking": 262_144, "vicuna-7b": None,
        "mistral-small": None, "Mistral-Small-24B-Instruct-2501": 32_768, "qwen2.5-7b": 131_072, "Qwen2.5-7B-Instruct": None,
        "gpt-j": 2_048, "phi-3-medium-4k": 4_096, "falcon-180b": 2_048,
    }  # fmt: skip
    assert {name: known(name).positions for name in named} == named
    for model in models():  # what a file says of other names is of names that it has
        for part_of in model.positions:
            assert "".join(filter(str.isalnum, part_of)) not in "".join(filter(str.isalnum, model.name))


def asked(prompt: int, output: int, cached: int = 0) -> tuple[Any, ...]:
    arch = known("llama-3.1-8b")
    return (
        arch,
        precision("fp8", arch),
        cache_precision("fp8"),
        System(part("H200-SXM")),
        Load(prompt, output, cached, batch=1.0),
        shipped(),
    )


def test_beyond_it_nothing_is_predicted() -> None:
    serve(*asked(131_072 - 1_000, 1_000))
    says = (
        r"llama-3\.1-8b takes 131,072 tokens in a sequence, .* what is asked for has 131,073 \(130,073 \+ 1,000\).*rope_scaling"
    )
    with pytest.raises(TooLong, match=says):
        serve(*asked(30_073, 1_000, cached=100_000))
    with pytest.raises(TooLong, match=says):
        best_batch(*asked(30_073, 1_000, cached=100_000), 20.0)
    arch, *rest = asked(130_073, 1_000)
    serve(msgspec.structs.replace(arch, positions=None), *rest)  # nobody says how long


def test_a_row_that_was_measured_is_judged_whatever_the_file_says() -> None:
    row = {"model": "llama2-70b", "isl": "16000", "n_accelerators": "8", "parallelism": "TP8", "batch_or_concurrency": "4"}
    assert known("llama2-70b").positions == 4_096
    pytest.importorskip("numpy")
    assert check(table(row, row | {"batch_or_concurrency": ""}), shipped()).figures["judged"] == 2
