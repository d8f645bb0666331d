"""What DeepSeek published of its own serving: an exact account to hold a cost model against, and the load behind it.

Comes in: nothing, but figures of deepseek-ai/open-infra-index, day 6 (27 to 28 February 2025, CC0), and of how its devices are linked. Goes
out: node-hours and dollars, and the systems and loads that a prediction of its speeds needs. Does not know: how fast anything is.

Units of 4 and 18 nodes talk over InfiniBand, not over NVLink: 50 GB/s a device (deepseek-ai/DeepEP, docs/legacy.md: "H800 … each connected to
a CX7 InfiniBand 400 Gb/s RDMA network card (~50 GB/s maximum bandwidth)"). A token goes to its experts in fp8 and comes back in bf16 (there).
In prefill it leaves to at most 4 nodes (DeepSeek-V3's report, arXiv 2412.19437, node-limited routing, M = 4) and is passed on inside; in decode the low-latency
kernels send it straight to each of its 8 experts ("pure RDMA"). Both hide it behind the other half of the batch (open-infra-index). Of the
50 GB/s the fit's share of a link is taken, as of any other; DeepEP itself reached 39 to 58 GB/s.
"""

from dataclasses import dataclass

from jevons.economics.unitcost.hardware import part
from jevons.economics.unitcost.serving import Load
from jevons.economics.unitcost.steps import Between, System

INPUT_TOKENS, OUTPUT_TOKENS = 608e9, 168e9
"""Of 24 hours, V3 and R1."""
CACHED_SHARE = 0.563
"""Of input tokens: 342 billion were hits of the cache on disk."""
NODE_INPUT_TOK_S, NODE_OUTPUT_TOK_S = 73_700.0, 14_800.0
"""Of a node of 8 H800: input with cache hits, in prefill; output, in decode."""
NODES, DEVICES_A_NODE = 226.75, 8
"""Mean of the day."""
GPU_HOUR_USD = 2.0
USER_TOK_S = 21.0
"""20 to 22 tokens/s a user."""
KEPT_TOKENS = 4_989
"""Mean length of keys and values per token of output."""
PREFILL_DEVICES, DECODE_DEVICES = 32, 144
"""Units of deployment: expert parallelism over 4 and 18 nodes, attention by sequences."""
INFINIBAND_BYTES_S = 50e9
"""Of a device."""
PREFILL_COPIES, DECODE_COPIES = 4.0, 8.0
"""Of a token over InfiniBand: nodes at most, experts."""
PAYLOAD = (1 + 2) / (2 + 2)
"""fp8 there, bf16 back, over 16 bits both ways."""
ANSWER_TOKENS = round(KEPT_TOKENS / (INPUT_TOKENS / OUTPUT_TOKENS + 0.5))
"""Not published: the length at which prompts and half of an answer make the published mean of what is kept, if all are alike."""
PROMPT_TOKENS = round(ANSWER_TOKENS * INPUT_TOKENS / OUTPUT_TOKENS)


@dataclass(frozen=True)
class Account:
    """Of a day."""

    node_hours: float
    input_node_hours: float
    output_node_hours: float
    usd: float
    """At the hours that were paid: nodes x 24."""
    input_usd_m: float
    """Of a million tokens of input, cache hits included."""
    output_usd_m: float


def account(
    input_tokens: float = INPUT_TOKENS,
    output_tokens: float = OUTPUT_TOKENS,
    node_input_tok_s: float = NODE_INPUT_TOK_S,
    node_output_tok_s: float = NODE_OUTPUT_TOK_S,
    gpu_hour_usd: float = GPU_HOUR_USD,
) -> Account:
    """Tokens / (tokens/s of a node) = node-hours; x price of a node's hour = dollars."""
    inputs, outputs = input_tokens / node_input_tok_s / 3600, output_tokens / node_output_tok_s / 3600
    node_usd = DEVICES_A_NODE * gpu_hour_usd
    return Account(
        inputs + outputs,
        inputs,
        outputs,
        NODES * 24 * node_usd,
        inputs * node_usd / input_tokens * 1e6,
        outputs * node_usd / output_tokens * 1e6,
    )


def prefilling() -> tuple[System, Load]:
    """A unit that reads prompts: their hits are kept already. Whatever it answers is made elsewhere."""
    cached = round(CACHED_SHARE * PROMPT_TOKENS)
    return _unit(PREFILL_DEVICES, PREFILL_COPIES), Load(PROMPT_TOKENS - cached, ANSWER_TOKENS, cached, batch=1.0)


def decoding() -> tuple[System, Load]:
    """A unit that answers; its batch is what `USER_TOK_S` leaves."""
    return _unit(DECODE_DEVICES, DECODE_COPIES), Load(PROMPT_TOKENS, ANSWER_TOKENS, apart=True)


def _unit(devices: int, copies: float) -> System:
    return System(part("H800"), 1, devices, spread=True, hides=True, between=Between(INFINIBAND_BYTES_S, copies, PAYLOAD))
