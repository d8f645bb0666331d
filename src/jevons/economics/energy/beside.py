"""Another's estimate of the same calls, to stand beside ours: EcoLogits, a library of a French association of researchers and firms (MPL-2.0).

Comes in: provider and model, output tokens, seconds, a zone. Goes out: its energy and carbon as intervals, use and making of hardware apart; None
where it lacks the model. Does not know: our own figures. It is an extra: where it is not installed there is no estimate of it, and `MISSING` says
how to get it.

It looks at output tokens alone, of 64 requests at once on GPUs of 80 GB in 16 bits, and counts a server's share for the request's latency or its
own estimate of the time, whichever is shorter (https://ecologits.ai/latest/methodology/llm_inference/). Parameters are as in its table of models.
"""

import logging
import re
import sys
from functools import lru_cache
from importlib import metadata
from typing import Any, NamedTuple

from jevons.economics.energy.grids import Grid

MISSING = f"EcoLogits is not installed; it comes with: {sys.executable} -m pip install 'ecologits>=0.11'"
PROVIDERS = {
    "openai": "openai", "azure": "openai", "anthropic": "anthropic", "google": "google_genai", "mistral": "mistralai", "mistralai": "mistralai",
    "cohere": "cohere",
}  # fmt: skip
"""A provider of the price book, or the maker before a model's name -> as EcoLogits calls it. Open models are looked for at Hugging Face too."""
HUB = "huggingface_hub"
_BEDROCK = re.compile(r"(?:[a-z]+\.)?([a-z]+)\.([^/]+?)(?:-v\d+)?(?::\d+)?")
"""A region, a maker, a model, its version there: us.anthropic.claude-sonnet-4-5-20250929-v1:0."""


class Estimate(NamedTuple):
    """Of one call. Watt-hours and grams of CO2-equivalent, low and high."""

    wh: tuple[float, float]
    used_g: tuple[float, float]
    """Of the electricity: what ours is to be compared with."""
    total_g: tuple[float, float]
    """With its share of making the hardware."""


def version() -> str | None:
    """Of the library; None where it is not installed."""
    try:
        return metadata.version("ecologits")
    except metadata.PackageNotFoundError:
        return None


def estimate(provider: str, model: str, output: float, seconds: float | None, grid: Grid) -> Estimate | None:
    """Of a call with `output` tokens that took `seconds` (None: not known; EcoLogits then takes its own of the model). None where it has not
    got the model, or is not installed."""
    found = _find(provider, model)
    if found is None:
        return None
    from ecologits.tracers.utils import llm_impacts  # noqa: PLC0415 - an extra

    latency = float("inf") if seconds is None else seconds
    said: Any = llm_impacts(*found, output, latency, grid.zone)  # type: ignore[arg-type] # a mean number of tokens is one too
    if said.energy is None:
        return None
    return Estimate(_pair(said.energy, 1e3), _pair(said.usage.gwp, 1e3), _pair(said.gwp, 1e3))


@lru_cache(maxsize=1024)
def _find(provider: str, model: str) -> tuple[str, str] | None:
    """(provider, model) as EcoLogits has them."""
    if version() is None:
        return None
    from ecologits.log import logger  # noqa: PLC0415 - an extra
    from ecologits.model_repository import models  # noqa: PLC0415

    logger.setLevel(logging.ERROR)  # that it guesses parameters is said in our own words
    name = model.lower().removesuffix(":free")
    maker, _, bare = name.rpartition("/")
    if (resold := _BEDROCK.fullmatch(name)) is not None and resold[1] in PROVIDERS:
        maker, bare = resold.groups()
    own = PROVIDERS.get(maker or provider) or PROVIDERS.get(provider)
    for spelling in (bare, bare.replace(".", "-")):
        if own and models.find_model(provider=own, model_name=spelling) is not None:
            return own, spelling
    hub = [one.name for one in models.list_models() if one.provider.value == HUB]
    return next(((HUB, one) for one in hub if one.lower() == name or bare in _called(one)), None)


def _called(hub_name: str) -> tuple[str, str]:
    """By hosts: without its maker, and without that it is tuned."""
    bare = hub_name.lower().rpartition("/")[2]
    return bare, bare.replace("-instruct", "")


def _pair(impact: Any, factor: float) -> tuple[float, float]:
    value = impact.value
    return (value.min * factor, value.max * factor) if hasattr(value, "min") else (value * factor, value * factor)
