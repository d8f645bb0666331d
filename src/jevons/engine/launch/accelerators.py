"""What an accelerator is to vLLM, by name: data/accelerators.toml. Does not know prices, nor what is installed where."""

import difflib
import tomllib
from functools import cache
from typing import Literal

import msgspec

from jevons.engine.launch.options import DATA


class Accelerator(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One of them."""

    platform: Literal["cuda", "rocm", "cpu"]
    name: str = ""
    """As it stands in the file."""
    capability: int = 0
    """NVIDIA's compute capability, major * 10 + minor; 0 = not NVIDIA's."""
    memory_gb: float = 0
    """10^9 bytes; 0 = not known."""
    ray: str = ""
    """Ray's accelerator_type; "" = it has none."""


class UnknownAccelerator(Exception):
    """Nothing is known of this name."""


@cache
def accelerators() -> dict[str, Accelerator]:
    table = tomllib.loads((DATA / "accelerators.toml").read_text(encoding="utf-8"))
    return {name: msgspec.convert({**facts, "name": name}, Accelerator) for name, facts in table.items()}


def accelerator(name: str) -> Accelerator:
    """By its name in any case. Raises UnknownAccelerator, which names those there are."""
    names = {known.lower(): known for known in accelerators()}
    if name.lower() not in names:
        close = difflib.get_close_matches(name.lower(), names, 1, cutoff=0.4)
        hint = f"is it {names[close[0]]}? " if close else ""
        raise UnknownAccelerator(f"Nothing is known of {name!r}; {hint}Known: {', '.join(accelerators())}.")
    return accelerators()[names[name.lower()]]
