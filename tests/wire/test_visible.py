"""What counts as seen of a stream: everything that the model generated and we relayed."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from jevons.core.ask import Dialect
from jevons.wire.visible import visible_text
from tests.wire.test_reader import written


def test_what_a_model_generates_is_visible() -> None:
    """Text, shown reasoning, refusals, names and arguments of tools."""
    delta = {
        "content": "a",
        "reasoning_content": "b",
        "reasoning": "c",
        "refusal": "d",
        "tool_calls": [{"index": 0, "function": {"name": "e", "arguments": "f"}}],
    }
    raw = written([("", {"choices": [{"index": 0, "delta": delta}, {"index": 1, "delta": {"content": "g"}}]})])[0]
    assert sorted(visible_text(Dialect.CHAT, raw)) == list("abcdefg")
    blocks = [
        ("content_block_start", {"type": "content_block_start", "content_block": {"type": "tool_use", "name": "h"}}),
        ("content_block_delta", {"type": "content_block_delta", "delta": {"type": "input_json_delta", "partial_json": "i"}}),
        ("content_block_delta", {"type": "content_block_delta", "delta": {"type": "thinking_delta", "thinking": "j"}}),
    ]
    assert visible_text(Dialect.MESSAGES, b"".join(written(blocks))) == "hij"
    items = [
        ("response.function_call_arguments.delta", {"type": "response.function_call_arguments.delta", "delta": "k"}),
        ("response.reasoning_summary_text.delta", {"type": "response.reasoning_summary_text.delta", "delta": "l"}),
        ("response.audio.delta", {"type": "response.audio.delta", "delta": {"b": 1}}),
    ]
    assert visible_text(Dialect.RESPONSES, b"".join(written(items))) == "kl"
    assert visible_text(Dialect.CHAT, b"data: [DONE]\n\n" + msgspec.json.encode({}) + b"\n\n") == ""


@given(st.lists(st.text(max_size=20), max_size=8))
def test_texts_come_out_joined(texts: list[str]) -> None:
    """Whatever characters they hold, in every dialect."""
    chat = [("", {"choices": [{"index": 0, "delta": {"content": text}}]}) for text in texts]
    messages = [("content_block_delta", {"type": "content_block_delta", "delta": {"text": text}}) for text in texts]
    responses = [("response.output_text.delta", {"type": "response.output_text.delta", "delta": text}) for text in texts]
    for dialect, stream in ((Dialect.CHAT, chat), (Dialect.MESSAGES, messages), (Dialect.RESPONSES, responses)):
        assert visible_text(dialect, b"".join(written(stream))) == "".join(texts)


def test_an_event_that_cannot_be_read_counts_as_nothing() -> None:
    good = written([("", {"choices": [{"index": 0, "delta": {"content": "seen"}}]})])[0]
    assert visible_text(Dialect.CHAT, b"data: {broken\n\n" + good + b'data: {"choices": 7}\n\n') == "seen"
