"""The large model of the comparison: not a model but a stand-in that knows the right answers, and errs as often as it is told to.

Comes in: a row, and how often it errs. Goes out: the script of its answer, with as many tokens as a real tokenizer counts. Its quality is a given, not a
measure: a frontier model cannot be reached from here. Its price is a real one.
"""

import json
import random

from bench.everyday.tasks import Row
from jevons.meter.bpe import count_text

ENCODING = "o200k_base"
MESSAGE_TOKENS, REQUEST_TOKENS = 4, 3
"""Around each message and before the answer (OpenAI cookbook, how to count tokens)."""
ERRS = 0.05


def says(row: Row, labels: list[str], seed: int, errs: float = ERRS) -> str:
    """The right answer, or one that is wrong as such answers are: another intent, one member off, the description's first words."""
    draw = random.Random(f"{seed} {row.task} {row.body['messages'][-1]['content']}")  # the same row, the same answer
    if draw.random() >= errs:
        return row.right
    if row.task == "summaries":
        return " ".join(row.body["messages"][-1]["content"].split()[:8])
    if row.task == "json":
        right = json.loads(row.right)
        return json.dumps(right | {"input": right["output"], "output": right["input"] + 1})
    return draw.choice([label for label in labels if label != row.right])


def script(row: Row, answer: str) -> str:
    """For the header `x-stand-in-script`."""
    texts = [message["content"] for message in row.body["messages"]]
    tokens = REQUEST_TOKENS + sum(MESSAGE_TOKENS + count_text(text, ENCODING) for text in texts)
    return json.dumps({"reply": answer, "input_tokens": tokens, "tokens_out": max(1, count_text(answer, ENCODING))})
