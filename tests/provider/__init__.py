"""The stand-in for providers that tests cannot reach: one process that speaks their real wire formats, and fails on command.

In: HTTP/1.1 as clients and gateways send it. Out: answers of OpenAI (Chat Completions, Responses, Embeddings, Models), Anthropic
(Messages, count_tokens, Models), Azure OpenAI and Gemini's OpenAI endpoint, and a journal of what was received, billed and how it
ended. It knows nothing of Jevons and imports nothing of it, so that its journal can be the oracle of our own ledger's tests.

    with Provider() as provider:
        client = openai.OpenAI(base_url=provider.openai_url, api_key="sk-test")
        client.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": '@@{"reply": "hello"}'}])
        [attempt] = provider.attempts()         # received, billed, ended
        assert attempt.bill.output == 1

By hand: `python -m tests.provider --port 8000 --journal /tmp/journal.jsonl` (prints one JSON line with its port).

What it answers is chosen by a script, see `script.py` for every field and fault. Without one it echoes the last user text; if the
request demands a tool call or JSON, it makes one from the schema. Token counts follow the rule in `prompt.py`: one token per
whitespace-separated word. What it bills follows `journal.py`.

A key that contains `wrong` is refused, a model whose name starts with `missing` does not exist, and fields of another dialect
(`max_completion_tokens` in Messages, say) are rejected as the providers reject them; other unknown fields are accepted.
"""

from tests.provider.journal import Attempt, Bill
from tests.provider.process import Provider
from tests.provider.script import FAULTS, STREAM_FAULTS

__all__ = ["FAULTS", "STREAM_FAULTS", "Attempt", "Bill", "Provider"]
