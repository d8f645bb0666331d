"""Muon: momentum whose steps are orthogonalised, for the matrices inside the layers (Jordan 2024, kellerjordan.github.io/posts/muon).

Comes in: parameters with two dimensions, or three (a stack of experts, each its own matrix). Does not know: what they are for.
In a run as short as the twins' it learns from a token about twice what AdamW does; both twins get it, so it favours neither.
"""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

MOMENTUM = 0.95
NEWTON_SCHULZ = ((3.4445, -4.7750, 2.0315),) * 5
"""Coefficients of the quintic x -> ax + b(xxᵀ)x + c(xxᵀ)²x that sends singular values to about 1."""


class Muon(torch.optim.Optimizer):
    def __init__(self, weights: Iterable[nn.Parameter], lr: float) -> None:
        super().__init__(weights, {"lr": lr})

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for weight in group["params"]:
                state = self.state[weight]
                if "momentum" not in state:
                    state["momentum"] = torch.zeros_like(weight)
                state["momentum"].lerp_(weight.grad, 1 - MOMENTUM)
                step = orthogonal(weight.grad.lerp(state["momentum"], MOMENTUM))
                weight.add_(step, alpha=-group["lr"] * max(1.0, weight.shape[-2] / weight.shape[-1]) ** 0.5)


def orthogonal(matrix: Tensor) -> Tensor:
    """The nearest matrix with equal singular values, roughly: [..., rows, columns]."""
    x = matrix / (matrix.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    tall = x.shape[-2] > x.shape[-1]
    x = x.mT if tall else x
    for a, b, c in NEWTON_SCHULZ:
        square = x @ x.mT
        x = a * x + (b * square + c * square @ square) @ x
    return x.mT if tall else x
