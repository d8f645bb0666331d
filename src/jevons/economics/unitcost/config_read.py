"""A model's architecture from its config.json, as Hugging Face's hub has it.

Comes in: the file as a mapping. Goes out: an `Architecture`, and in what numbers the weights are stored; of a model that sees and hears, its
text part. Does not know: where the file was. What it does not understand it refuses by name: a family, or a field that may change what is computed.
"""

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from jevons.economics.unitcost.architecture import Architecture, Layers
from jevons.economics.unitcost.config_families import FAMILIES, Layer
from jevons.economics.unitcost.config_fields import Fields
from jevons.economics.unitcost.errors import UnknownFact
from jevons.economics.unitcost.positions import positions


def from_config(config: Mapping[str, Any], name: str = "") -> Architecture:
    """`name`: what to call it; its family where there is none. Raises UnknownFact."""
    text = _text(config)
    said = str(text.get("model_type") or config.get("model_type") or "")
    key = said.removesuffix("_text")
    if key not in FAMILIES:
        raise UnknownFact(
            f"the config's model_type {said!r} is not known, so what its layers compute is not either; known are {', '.join(sorted(FAMILIES))}"
        )
    family = FAMILIES[key]
    tied = {"tie_word_embeddings": config["tie_word_embeddings"]} if "tie_word_embeddings" in config else {}
    fields = Fields({**tied, **text}, key, family.defaults)
    layers = family.layers(fields)
    made = Architecture(
        name or key,
        key,
        fields.whole("hidden_size", "n_embd"),
        fields.whole("vocab_size"),
        fields.flag("tie_word_embeddings", family.tied),
        gathered(layers),
        positions(fields),
    )
    fields.known("num_hidden_layers", "n_layer", "num_attention_heads", "intermediate_size", "head_dim")
    fields.finish()
    return made


def stored_as(config: Mapping[str, Any]) -> str:
    """Name of the weights' precision, as weights.precision takes it. Raises UnknownFact.

    Where a hf_quant_config.json lies beside the file (NVIDIA's checkpoints), that one says it, and this one says what they were made from.
    """
    text = _text(config)
    packed = config.get("quantization_config") or text.get("quantization_config")
    if not packed:
        said = next((part[key] for part in (text, config) for key in ("dtype", "torch_dtype") if part.get(key)), None)
        if said is None:
            raise UnknownFact("the config does not say in what numbers the weights are stored; say it, as bf16")
        return str(said)
    found = None
    if isinstance(packed, Mapping):
        method = str(packed.get("quant_method") or ("modelopt" if "quant_algo" in packed else ""))
        if method == "compressed-tensors":
            groups = [group["weights"] for group in packed.get("config_groups", {}).values() if group.get("weights")]
            kinds = {(weights.get("num_bits"), weights.get("type"), weights.get("group_size")) for weights in groups}
            found = _COMPRESSED.get(kinds.pop()) if len(kinds) == 1 else None
        else:
            found = _STORED.get((method, packed.get("bits") or packed.get("quant_algo")))
    if found is None:
        raise UnknownFact(
            f"the config's quantization_config is not known: {packed!r:.200}; say in what numbers the weights are, as fp8"
        )
    return found


_STORED = {
    ("fp8", None): "fp8", ("fbgemm_fp8", None): "fp8", ("mxfp4", None): "mxfp4", ("awq", 4): "int4", ("gptq", 4): "int4",
    ("modelopt", "FP8"): "fp8", ("modelopt", "NVFP4"): "nvfp4", ("modelopt_fp4", "NVFP4"): "nvfp4",
}  # fmt: skip
"""By method, and bits or algorithm."""
_COMPRESSED = {
    (8, "float", None): "fp8", (8, "float", 128): "fp8", (8, "int", None): "int8", (4, "float", 16): "nvfp4", (4, "float", 32): "mxfp4",
    (4, "int", 128): "int4", (4, "int", 32): "int4",
}  # fmt: skip
"""Of the compressed-tensors format: bits, type and weights that share a scale."""


def _text(config: Mapping[str, Any]) -> Mapping[str, Any]:
    text = config.get("text_config", config)
    if not isinstance(text, Mapping):
        raise UnknownFact("the config's text_config is no object")
    return text


def gathered(layers: Sequence[Layer]) -> tuple[Layers, ...]:
    """Like layers together, in the order in which they first appear."""
    order = list(dict.fromkeys(layers))
    counts = {layer: len(list(same)) for layer, same in groupby(sorted(layers, key=order.index))}
    return tuple(Layers(counts[layer], *layer) for layer in order)
