"""How many tokens a sequence of a model may have, and whether one has more.

Comes in: the fields of a config.json; an architecture, and the tokens of a prompt and an answer. Goes out: a number of tokens; nothing, or
`TooLong`. Does not know: memory (a sequence may have room and no positions, and the other way round), what engines were told to stretch.

Only what is asked is held against it. A row that was measured was run, whatever its model's file says, and is judged.
"""

from jevons.economics.unitcost.architecture import Architecture
from jevons.economics.unitcost.config_fields import Fields
from jevons.economics.unitcost.errors import TooLong

KEYS = ("max_position_embeddings", "n_positions", "max_sequence_length", "max_seq_length", "max_seq_len", "seq_length", "n_ctx")
"""Of the families; a config has one of them (vLLM, ModelConfig's derived length; llama.cpp, convert_hf_to_gguf.py)."""
STRETCHING = frozenset({"yarn", "linear", "dynamic"})
"""Kinds of rope scaling that a user adds to a config whose figure is that of the training. Of llama3 and longrope it is the stretched one."""


def positions(fields: Fields) -> int | None:
    """As vLLM derives the longest sequence from a config; None where it has none of `KEYS`. Raises UnknownFact for what is no count.

    `model_max_length` stands before the others: of Command R they are the shorter length of its training. YaRN multiplies what it says to be
    original, which makers' own files have multiplied out already (DeepSeek, Kimi, gpt-oss): the larger of the two is taken. Gemma 3's linear
    scaling is in its figure.
    """
    own = fields.optional("model_max_length")
    said = fields.optional(*KEYS)
    if own or said is None:
        return own
    scaling = fields.object("rope_scaling") or fields.object("rope_parameters")
    kind, factor = scaling.get("rope_type") or scaling.get("type"), scaling.get("factor")
    if kind not in STRETCHING or not isinstance(factor, int | float) or fields.family == "gemma3":
        return said
    original = scaling.get("original_max_position_embeddings") if kind == "yarn" else None
    return max(said, round((original or said) * factor))


def within(arch: Architecture, prompt: int, output: int, whose: str = "") -> None:
    """`prompt`: with what of it is kept already. `whose` has so many, in words; "" = the sequence that is asked for.

    Raises TooLong; nothing where the model's length is not known.
    """
    if arch.takes(prompt + output):
        return
    raise TooLong(
        f"{arch.name} takes {arch.positions or 0:,} tokens in a sequence, prompt and answer together; {whose or 'what is asked for'} has "
        f"{prompt + output:,} ({prompt:,} + {output:,}). Ask for shorter prompts, or take a model of a longer context"
        + ("" if whose else ". If your engine stretches its positions, give a config.json whose rope_scaling says so")
    )
