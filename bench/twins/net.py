"""The twins in torch: a Llama-like decoder whose feed-forward layers are dense, or a mixture of experts.

Comes in: token ids [batch, positions]. Goes out: logits, and what the routers add to the loss. Does not know: text, files.
It computes what llama.cpp's architecture "llama" computes from the file that write.py makes: RMS norm, rotary positions over
neighbouring pairs, one head of keys and values for all query heads, SwiGLU, the input table as the output matrix.
Routing: softmax over all experts, the k best, their weights scaled to sum 1 (Mixtral's, arXiv 2401.04088, §2.1).
"""

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

BALANCE = 0.01
"""Weight of the load-balancing loss E·Σ fᵢ·Pᵢ (Switch Transformers, arXiv 2101.03961, eq. 4: their α)."""
ROUTER_Z = 0.001
"""Weight of the mean squared log-sum-exp of router logits (ST-MoE, arXiv 2202.08906, eq. 5)."""


@dataclass(frozen=True)
class Shape:
    """Sizes of a twin. A dense one has `experts` 0, and `ffn` is the width of its only feed-forward network."""

    vocabulary: int = 2048
    width: int = 128
    layers: int = 4
    heads: int = 4
    ffn: int = 128
    """Width of one expert."""
    experts: int = 8
    used: int = 2
    context: int = 256
    rope_base: float = 10_000.0
    norm_eps: float = 1e-5

    @property
    def head(self) -> int:
        return self.width // self.heads


MOE = Shape()
DENSE = replace(MOE, experts=0, used=0, ffn=MOE.ffn * MOE.used)
"""Equal active size: its one network is as wide as the experts that a token meets."""
TWINS = {"moe": MOE, "dense": DENSE}


class Attention(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.q = nn.Linear(shape.width, shape.width, bias=False)
        self.k = nn.Linear(shape.width, shape.head, bias=False)
        self.v = nn.Linear(shape.width, shape.head, bias=False)
        self.out = nn.Linear(shape.width, shape.width, bias=False)

    def forward(self, x: Tensor, turn: tuple[Tensor, Tensor]) -> Tensor:
        batch, positions, _ = x.shape
        q = self.q(x).view(batch, positions, self.shape.heads, self.shape.head).transpose(1, 2)
        k = self.k(x).view(batch, positions, 1, self.shape.head).transpose(1, 2)
        v = self.v(x).view(batch, positions, 1, self.shape.head).transpose(1, 2)
        y = F.scaled_dot_product_attention(rotate(q, turn), rotate(k, turn).expand_as(q), v.expand_as(q), is_causal=True)
        return self.out(y.transpose(1, 2).reshape(batch, positions, self.shape.width))


def turns(shape: Shape, positions: int) -> tuple[Tensor, Tensor]:
    """Cosine and sine [positions, head/2] of RoPE's angles (arXiv 2104.09864, eq. 15)."""
    speeds = shape.rope_base ** (-torch.arange(0, shape.head, 2) / shape.head)
    angles = torch.arange(positions)[:, None] * speeds
    return angles.cos(), angles.sin()


def rotate(x: Tensor, turn: tuple[Tensor, Tensor]) -> Tensor:
    cos, sin = (part.to(x.dtype) for part in turn)
    even, odd = x[..., 0::2], x[..., 1::2]
    return torch.stack((even * cos - odd * sin, even * sin + odd * cos), dim=-1).flatten(-2)


class Dense(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.gate = nn.Linear(shape.width, shape.ffn, bias=False)
        self.up = nn.Linear(shape.width, shape.ffn, bias=False)
        self.down = nn.Linear(shape.ffn, shape.width, bias=False)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.down(F.silu(self.gate(x)) * self.up(x)), x.new_zeros(())


class Mixture(nn.Module):
    """`used` of `experts` per token; tokens are sorted by expert, so that each expert computes one matrix product."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.router = nn.Linear(shape.width, shape.experts, bias=False)
        self.gate = nn.Parameter(torch.empty(shape.experts, shape.ffn, shape.width))
        self.up = nn.Parameter(torch.empty(shape.experts, shape.ffn, shape.width))
        self.down = nn.Parameter(torch.empty(shape.experts, shape.width, shape.ffn))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        tokens = x.reshape(-1, self.shape.width)
        logits = F.linear(tokens.float(), self.router.weight.float())  # routers are the part that low precision harms
        shares = logits.softmax(-1)
        weights, chosen = shares.topk(self.shape.used, dim=-1)
        weights = weights / weights.sum(-1, keepdim=True)
        order = chosen.flatten().argsort(stable=True)
        counts = chosen.flatten().bincount(minlength=self.shape.experts)
        rows = order // self.shape.used
        made = [
            F.linear(F.silu(F.linear(part, gate)) * F.linear(part, up), down)
            for part, gate, up, down in zip(tokens[rows].split(counts.tolist()), self.gate, self.up, self.down, strict=True)
        ]
        weighted = torch.cat(made) * weights.flatten()[order, None].to(x.dtype)
        y = torch.zeros_like(tokens).index_add(0, rows, weighted.to(tokens.dtype))
        fired = counts / counts.sum()  # f; P is the mean share that routers gave, which has a gradient
        balance = self.shape.experts * (fired * shares.mean(0)).sum()
        return y.view_as(x), BALANCE * balance + ROUTER_Z * logits.logsumexp(-1).square().mean()


class Layer(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.attention_norm = nn.RMSNorm(shape.width, eps=shape.norm_eps)
        self.attention = Attention(shape)
        self.ffn_norm = nn.RMSNorm(shape.width, eps=shape.norm_eps)
        self.ffn = Mixture(shape) if shape.experts else Dense(shape)

    def forward(self, x: Tensor, turn: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        x = x + self.attention(self.attention_norm(x), turn)
        y, added = self.ffn(self.ffn_norm(x))
        return x + y, added


class Twin(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.table = nn.Embedding(shape.vocabulary, shape.width)
        self.layers = nn.ModuleList(Layer(shape) for _ in range(shape.layers))
        self.norm = nn.RMSNorm(shape.width, eps=shape.norm_eps)
        for name, weight in self.named_parameters():
            if weight.dim() > 1:
                # Layers that add to the residual stream start smaller (GPT-2, §2.3), or depth would scale it up.
                small = (2 * shape.layers) ** -0.5 if name.endswith(("out.weight", "down", "down.weight")) else 1.0
                nn.init.normal_(weight, std=small * (0.02 if weight is self.table.weight else weight.shape[-1] ** -0.5))

    def forward(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        """Logits [batch, positions, vocabulary], and the routers' part of the loss (a scalar)."""
        x, added = self.table(ids), torch.zeros(())
        turn = turns(self.shape, ids.shape[1])
        for layer in self.layers:
            x, more = layer(x, turn)
            added = added + more
        return F.linear(self.norm(x), self.table.weight), added
