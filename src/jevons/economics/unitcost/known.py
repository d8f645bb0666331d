"""Architectures of open models, by name.

Comes in: a name as tables, hubs and files write it. Goes out: an `Architecture` made of the model's own configuration (data/architectures.toml).
Does not know: models whose makers keep their architecture to themselves.

Two names are the same if they differ in case and punctuation alone. If a name is not known so, its maker (before the last /) goes, and `meta-`;
then what is said of tuning, date, release, precision or format goes from its end, a word at a time, until it is known:
`meta-llama/Meta-Llama-3.1-8B-Instruct-FP8` is `llama-3.1-8b`. The size stays: `llama-3.1` is no model.
"""

import re
import tomllib
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from functools import lru_cache
from importlib import resources
from typing import Any

import msgspec

from jevons.economics.unitcost.architecture import Architecture
from jevons.economics.unitcost.config_read import from_config
from jevons.economics.unitcost.errors import UnknownFact

NEAREST = 3
_PARTING = re.compile(r"[^a-z0-9.]+")
_SAID_LAST = re.compile(
    r"-(instruct|it|chat|hf|base|text|thinking|think|preview|qat|interactive|edge|dynamic|static|per|tensor|tee|free|"  # tuning and hosting
    r"v\d+([.-]\d+)?|\d{4}|\d{2}-\d{4}|99(\.9)?|"  # release, date, MLPerf's accuracy
    r"(nv|mx)?fp(4|8|16|32)|bf16|f16|int[48]|[348]-?bit|w\d+a\d+|awq|gptq|gguf|bnb|quantized|q\d(-[k01])?(-[sml])?|iq\d-\w+)$"
)


class Known(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A model as the file has it."""

    name: str
    hub: str
    """Where its config.json is: https://huggingface.co/<hub>."""
    params_b: str
    """What its maker publishes, in billions, in the digits it gives."""
    config: dict[str, Any]
    active_b: str | None = None
    """None = a dense model, or not published."""
    aliases: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    """Releases under the same name that are another model."""
    positions: dict[str, int] = {}
    """Of names that take more or fewer tokens than the config says: the first that is in a name counts. 0 = not known."""
    stored: str = "bf16"
    """In what numbers its maker publishes the weights, as weights.precision takes it."""

    @property
    def source(self) -> str:
        return f"https://huggingface.co/{self.hub}/blob/main/config.json"


def known(name: str) -> Architecture:
    """Raises UnknownFact for a name that is not known, with those nearest to it."""
    place, called = _find(name)
    arch, others = _architecture(place, called), models()[place].positions
    other = next((tokens for part, tokens in others.items() if _plain(part) in _plain(name)), None)
    return arch if other is None else msgspec.structs.replace(arch, positions=other or None)


def find(name: str) -> Known:
    """What is known of it and where from. Raises UnknownFact."""
    return models()[_find(name)[0]]


def _find(name: str) -> tuple[int, str]:
    """Its place in the file, and the name there that is meant."""
    index = _index()
    for candidate in _shorter(name):
        if candidate in index and not any(release in name for release in models()[index[candidate][0]].others):
            return index[candidate]
    near = get_close_matches(_plain(name.rsplit("/", 1)[-1]), index, NEAREST, 0)
    raise UnknownFact(
        f"the architecture of {name!r} is not known; nearest are {', '.join(index[key][1] for key in near)}. "
        "Give the model's config.json from the hub, or its GGUF file, instead of its name"
    )


@lru_cache(maxsize=1)
def models() -> tuple[Known, ...]:
    """All of them, in the file's order."""
    text = (resources.files("jevons.economics") / "data" / "architectures.toml").read_text("utf-8")
    return msgspec.convert(tomllib.loads(text)["model"], tuple[Known, ...])


@lru_cache(maxsize=256)
def _architecture(place: int, name: str) -> Architecture:
    return from_config(_written_out(models()[place].config), name)


@lru_cache(maxsize=1)
def _index() -> dict[str, tuple[int, str]]:
    return {_plain(name): (place, name) for place, model in enumerate(models()) for name in (model.name, *model.aliases)}


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _shorter(name: str) -> Iterator[str]:
    """The name, and what is left of it word by word, as `_plain` writes them."""
    yield _plain(name)
    rest = _PARTING.sub("-", name.lower().rsplit("/", 1)[-1]).strip("-").removeprefix("meta-")
    yield _plain(rest)
    while (shorter := _SAID_LAST.sub("", rest)) != rest:
        rest = shorter
        yield _plain(rest)
    yield _plain(re.sub(r"\bv(?=\d)", "", rest))


def _written_out(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """`blocks`, the file's short form of `block_configs`, layer by layer."""
    if "blocks" not in config:
        return config
    layers = [
        {"attention": {"no_op": not shared, "n_heads_in_group": shared}, "ffn": {"no_op": not width, "ffn_mult": width}}
        for count, shared, width in config["blocks"]
        for _ in range(count)
    ]
    return {**{key: value for key, value in config.items() if key != "blocks"}, "block_configs": layers}
