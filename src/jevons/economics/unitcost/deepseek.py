"""What DeepSeek published of its own serving: an exact account to hold a cost model against, and the load behind it.

Comes in: nothing, but figures of deepseek-ai/open-infra-index, day 6 (27 to 28 February 2025, CC0). Goes out: node-hours and dollars, and the
systems and loads that a prediction of its speeds needs. Does not know: how fast anything is.
"""

from dataclasses import dataclass

from jevons.economics.unitcost.hardware import part
from jevons.economics.unitcost.serving import Load
from jevons.economics.unitcost.steps import System

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
    return System(part("H800"), 1, PREFILL_DEVICES, spread=True, hides=True), Load(
        PROMPT_TOKENS - cached, ANSWER_TOKENS, cached, batch=1.0
    )


def decoding() -> tuple[System, Load]:
    """A unit that answers; its batch is what `USER_TOK_S` leaves."""
    return System(part("H800"), 1, DECODE_DEVICES, spread=True, hides=True), Load(PROMPT_TOKENS, ANSWER_TOKENS, apart=True)
