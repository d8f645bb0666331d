"""A model's architecture from its config.json, as Hugging Face's hub has it.

Comes in: the file as a mapping. Goes out: an `Architecture`; of a model that sees and hears, its text part. Does not know: where the file
was, how weights are quantised. What it does not understand it refuses by name: a family, or a field that may change what is computed.
"""

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from jevons.economics.unitcost.architecture import Architecture, Layers
from jevons.economics.unitcost.config_families import FAMILIES, Layer
from jevons.economics.unitcost.config_fields import Fields
from jevons.economics.unitcost.errors import UnknownFact


def from_config(config: Mapping[str, Any], name: str = "") -> Architecture:
    """`name`: what to call it; its family where there is none. Raises UnknownFact."""
    text = config.get("text_config", config)
    if not isinstance(text, Mapping):
        raise UnknownFact("the config's text_config is no object")
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
    )
    fields.known("num_hidden_layers", "n_layer", "num_attention_heads", "intermediate_size", "head_dim")
    fields.finish()
    return made


def gathered(layers: Sequence[Layer]) -> tuple[Layers, ...]:
    """Like layers together, in the order in which they first appear."""
    order = list(dict.fromkeys(layers))
    counts = {layer: len(list(same)) for layer, same in groupby(sorted(layers, key=order.index))}
    return tuple(Layers(counts[layer], *layer) for layer in order)
