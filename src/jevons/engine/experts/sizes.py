"""Active against total: what one token uses of a model's weights, read from its file.

Comes in: a GGUF file. Goes out: parameters and bytes, shared and of one expert. Does not know: which experts are picked, how fast memory is.
The weights of all experts of a layer lie in one tensor whose outermost dimension is the expert.
"""

from dataclasses import dataclass
from pathlib import Path

from jevons.engine.gguf import Tensor, header, tensors, whole

STACKED = "_exps."
"""Part of the names of tensors that hold one matrix per expert: blk.0.ffn_gate_exps.weight."""
TABLE, OUTPUT = "token_embd.weight", "output.weight"


@dataclass(frozen=True, slots=True)
class Sizes:
    """Of one file. A dense model has no experts: all of it is shared."""

    layers: int
    """Layers that have experts; 0 for a dense model."""
    experts: int
    used: int
    """Experts that one token uses in each of these layers."""
    parameters: int
    expert_parameters: int
    """Of one expert in one layer."""
    shared_bytes: int
    """Read for every token, whatever the router picks."""
    expert_bytes: int
    """Of one expert in one layer."""

    @property
    def active_parameters(self) -> int:
        """What one token uses: everything but the experts that it does not meet."""
        return self.parameters - self.layers * (self.experts - self.used) * self.expert_parameters

    def bytes_read(self, distinct: float) -> float:
        """Bytes of weights that one step reads in which `distinct` experts are met in each layer, in the mean."""
        return self.shared_bytes + self.layers * distinct * self.expert_bytes


def sizes(path: Path) -> Sizes:
    """Raises gguf.NotGguf, OSError."""
    facts = header(path)
    architecture = facts.get("general.architecture", "")
    experts, used = (whole(facts, f"{architecture}.expert{end}") for end in ("_count", "_used_count"))
    every = tensors(path)
    stacked = [tensor for tensor in every if STACKED in tensor.name and experts]
    layers = len({tensor.name.split(".")[1] for tensor in stacked})
    rest = [tensor for tensor in every if tensor not in stacked]
    slots = layers * experts
    return Sizes(
        layers=layers,
        experts=experts if layers else 0,
        used=used if layers else 0,
        parameters=sum(tensor.parameters for tensor in every),
        expert_parameters=sum(tensor.parameters for tensor in stacked) // slots if slots else 0,
        shared_bytes=_read_whole(rest),
        expert_bytes=sum(tensor.size_bytes for tensor in stacked) // slots if slots else 0,
    )


def active_parameters(path: Path) -> tuple[int, int]:
    """(active, total) parameters of a file; equal for a dense model. Raises gguf.NotGguf, OSError."""
    found = sizes(path)
    return found.active_parameters, found.parameters


def _read_whole(shared: list[Tensor]) -> int:
    """Bytes that every step reads: of the input table only rows of a few tokens, unless it is the output matrix too."""
    tied = not any(tensor.name == OUTPUT for tensor in shared)
    return sum(tensor.size_bytes for tensor in shared if tied or tensor.name != TABLE)
