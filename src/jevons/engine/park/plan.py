"""How many bits the keys and the values of each layer get: chosen for a divergence or a size that the operator states.

In: a layout, and what the model's predictions lose when one tensor alone is coded in b bits (`Sensitivities`, measured by sensitivity.py).
Out: a `Plan`. Losses of tensors are added up, as if they did not know each other, and bits go where they save most per byte; what such
sums are off by was measured on whole plans, and is part of the answer. Does not know: rows, texts, how anything is measured.
"""

import math
import struct
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files

import numpy as np

from jevons.core.limits import PARK_BLOCK_TOKENS
from jevons.engine.park.states import TYPE_F16, Layout
from jevons.quant.codebooks import codebook

AS_IS = 16
"""Bits of a tensor that is left alone."""
CODE_BITS = (2, 3, 4, 5, 6)
HEADS = (64, 128, 256)
DRAWN = 0.5
"""What a layer costs on texts that were not measured is nearer to what the others cost: on two such texts, plans at 3.2 and 4.2 bits that were
drawn halfway lost 5 to 10 % less than plans that took every figure at its word."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Bits per code for every tensor of a layout (keys of every layer, then values), of vectors of `head` elements; `AS_IS` leaves it alone."""

    head: int
    bits: tuple[int, ...]
    seed: int = 0
    """Of the rotation's signs."""

    def pack(self) -> bytes:
        return struct.pack("<HQ", self.head, self.seed) + bytes(self.bits)

    def check(self, layout: Layout) -> None:
        """Raises `ValueError` if this plan is not one for this layout."""
        if self.head not in HEADS:
            raise ValueError(f"Heads of {self.head} elements cannot be compressed; {', '.join(map(str, HEADS))} can.")
        if len(self.bits) != len(layout.tensors):
            raise ValueError(f"The plan is for {len(self.bits) // 2} layers, the engine has {layout.layers}.")
        for bits, tensor in zip(self.bits, layout.tensors, strict=True):
            if bits not in (*CODE_BITS, AS_IS):
                raise ValueError(f"A code has {CODE_BITS[0]} to {CODE_BITS[-1]} bits, not {bits}.")
            if bits != AS_IS and (tensor.type != TYPE_F16 or tensor.row_bytes % (2 * self.head)):
                raise ValueError("Only half-precision keys and values in whole heads can be compressed.")

    def bytes_per_token(self, layout: Layout) -> float:
        """What a full block takes for one of its tokens: codes, scales, and the token's share of means and ranges."""
        return sum(
            tensor_bytes(tensor.row_bytes // 2, self.head, bits) for tensor, bits in zip(layout.tensors, self.bits, strict=True)
        )


def tensor_bytes(width: int, head: int, bits: int) -> float:
    """Bytes per token of a tensor of `width` elements, in a full block (see turbo.py)."""
    if bits == AS_IS:
        return 2.0 * width
    return width * bits / 8 + width / head + (2 * width + 8) / PARK_BLOCK_TOKENS


@dataclass(frozen=True)
class Sensitivities:
    """What one model's predictions lose by coding. All divergences are means in nats over the tokens that follow a coded context."""

    model: str
    """SHA-256 of the model file."""
    head: int
    """Elements of a head."""
    bits: int
    """Of the codes that were measured."""
    kld: tuple[float, ...]
    """Per tensor (keys of every layer, then values): the divergence when it alone is coded, the square of its root's mean over tokens: the
    plain mean rests on a few tokens, and differs between texts by half as much again."""
    whole: tuple[tuple[float, float], ...]
    """Of whole plans: the sum of what their tensors are expected to cost, and the mean divergence that was measured; ascending."""

    def of(self, tensor: int, bits: int) -> float:
        """What a tensor is expected to cost in so many bits: in the ratio of the codes' squared errors, as divergences go while they are small,
        and `DRAWN` to the geometric mean of all tensors."""
        if bits == AS_IS:
            return 0.0
        typical = math.exp(sum(map(math.log, self.kld)) / len(self.kld))
        drawn = math.exp((1 - DRAWN) * math.log(self.kld[tensor]) + DRAWN * math.log(typical))
        return drawn * codebook(self.head, bits).mse / codebook(self.head, self.bits).mse

    def expected(self, total: float) -> float:
        """What a plan whose divergences sum to `total` will measure, between and beyond the measured ones in the nearest's proportion."""
        if total <= 0:
            return 0.0
        sums, measured = np.log(np.array(self.whole)).T
        return float(np.exp(np.interp(np.log(total), sums, measured - sums)) * total)

    @property
    def text(self) -> str:
        """As the data file that `read` takes."""
        pairs = "".join(f"  [{total:.4g}, {measured:.4g}],\n" for total, measured in self.whole)
        layers = len(self.kld) // 2
        keys, values = (", ".join(f"{value:.3g}" for value in part) for part in (self.kld[:layers], self.kld[layers:]))
        facts = f'model = "{self.model}"\nhead = {self.head}\nbits = {self.bits}\n'
        return f"{facts}keys = [{keys}]\nvalues = [{values}]\nwhole = [\n{pairs}]\n"

    @classmethod
    def read(cls, text: str) -> "Sensitivities":
        """Raises `ValueError` for what is not such a file."""
        try:
            found = tomllib.loads(text)
            kld = tuple(float(value) for part in ("keys", "values") for value in found[part])
            whole = tuple((float(total), float(measured)) for total, measured in found["whole"])
            return cls(str(found["model"]), int(found["head"]), int(found["bits"]), kld, whole)
        except (KeyError, TypeError) as error:
            raise ValueError(f"not a file of sensitivities: {error}") from None


def known(model: str) -> Sensitivities | None:
    """The sensitivities that are shipped for a model file with this SHA-256."""
    for file in files("jevons.engine.park").joinpath("data").iterdir():
        if file.name.endswith(".toml") and (found := Sensitivities.read(file.read_text())).model == model:
            return found
    return None


def plan_for(
    layout: Layout, sensitivities: Sensitivities, *, kld_max: float | None = None, bytes_per_token: float | None = None
) -> Plan:
    """The smallest plan expected to diverge by no more than `kld_max` nats, or the best of at most `bytes_per_token`; one of them is given.

    Raises `ValueError` if the sensitivities are another model's, or if no plan is that small.
    """
    chosen = None
    for plan, size, total in frontier(layout, sensitivities):
        if bytes_per_token is not None and size > bytes_per_token:
            break
        chosen = plan
        if kld_max is not None and sensitivities.expected(total) <= kld_max:
            break
    if chosen is None:
        raise ValueError(
            f"{bytes_per_token:,.0f} bytes a token are too few: this model's keys and values take {size:,.0f} at the least."
        )
    return chosen


def frontier(layout: Layout, sensitivities: Sensitivities) -> Iterator[tuple[Plan, float, float]]:
    """Plans from the smallest to the one that leaves everything alone, each with its bytes per token and the sum of its divergences.

    Each differs from the one before by the single step that saves most divergence per byte. A tensor's steps are those of the lower
    convex hull of its divergences over its bytes, so that a step is never worth more than the one before it, and every plan is the
    best of its size by these sums.
    """
    if len(sensitivities.kld) != len(layout.tensors):
        raise ValueError(f"These are the sensitivities of {len(sensitivities.kld) // 2} layers, the engine has {layout.layers}.")
    widths = [tensor.row_bytes // 2 for tensor in layout.tensors]
    steps = [step for tensor, width in enumerate(widths) for step in hull_steps(sensitivities, tensor, width)]
    bits = [CODE_BITS[0]] * len(widths)
    size = sum(tensor_bytes(width, sensitivities.head, CODE_BITS[0]) for width in widths)
    total = sum(sensitivities.of(tensor, CODE_BITS[0]) for tensor in range(len(widths)))
    yield Plan(sensitivities.head, tuple(bits)), size, total
    for step in sorted(steps, key=lambda step: step.saved / step.bytes, reverse=True):
        bits[step.tensor] = step.bits
        size += step.bytes
        total -= step.saved
        yield Plan(sensitivities.head, tuple(bits)), size, max(total, 0.0)


@dataclass(frozen=True, slots=True)
class Step:
    """A tensor gets more bits."""

    tensor: int
    bits: int
    bytes: float
    """More per token."""
    saved: float
    """Divergence."""


def hull_steps(sensitivities: Sensitivities, tensor: int, width: int) -> list[Step]:
    """From the fewest bits to none saved, passing over numbers of bits that are not on the lower convex hull."""
    options = [
        (bits, tensor_bytes(width, sensitivities.head, bits), sensitivities.of(tensor, bits)) for bits in (*CODE_BITS, AS_IS)
    ]
    steps: list[Step] = []
    at = options[0]
    rest = options[1:]
    while rest:
        best = max(rest, key=lambda option: (at[2] - option[2]) / (option[1] - at[1]))
        steps.append(Step(tensor, best[0], best[1] - at[1], at[2] - best[2]))
        at, rest = best, rest[rest.index(best) + 1 :]
    return steps
