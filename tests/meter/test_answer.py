"""Facts of whole answers."""

import json

import pytest

from jevons.core.ask import Dialect
from jevons.meter.answer import AnswerFacts, answer_facts


def body(value: object) -> bytes:
    return json.dumps(value).encode()


def test_chat() -> None:
    facts = answer_facts(Dialect.CHAT, body({
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "gpt-4o-2024-08-06", "service_tier": "default",
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": "hi", "refusal": None}, "finish_reason": "stop"},
            {"index": 1, "message": {"role": "assistant", "content": "ho"}, "finish_reason": "length"},
        ],
        "usage": {"prompt_tokens": 1, "completion_tokens": 2},
    }))  # fmt: skip
    assert facts == AnswerFacts(
        b'{"prompt_tokens": 1, "completion_tokens": 2}', "chatcmpl-1", "gpt-4o-2024-08-06", "stop", "default"
    )


def test_embeddings() -> None:
    facts = answer_facts(Dialect.EMBEDDINGS, body({
        "object": "list", "model": "text-embedding-3-small", "data": [{"embedding": [0.1, 0.2], "index": 0}],
        "usage": {"prompt_tokens": 8, "total_tokens": 8},
    }))  # fmt: skip
    assert facts == AnswerFacts(b'{"prompt_tokens": 8, "total_tokens": 8}', model="text-embedding-3-small")


def test_responses_count_billed_searches() -> None:
    facts = answer_facts(Dialect.RESPONSES, body({
        "id": "resp_1", "model": "gpt-5.5", "status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"},
        "service_tier": "flex", "output": [
            {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search", "query": "x"}},
            {"type": "web_search_call", "id": "ws_2", "status": "completed", "action": {"type": "open_page", "url": "y"}},
            {"type": "web_search_call", "id": "ws_3", "status": "completed"},
            {"type": "file_search_call", "id": "fs_1", "status": "completed", "queries": ["x", "y"]},
            {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "hi"}]},
        ],
        "usage": {"input_tokens": 3},
    }))  # fmt: skip
    assert facts == AnswerFacts(
        b'{"input_tokens": 3}',
        "resp_1",
        "gpt-5.5",
        "incomplete:max_output_tokens",
        "flex",
        (("web_searches", 2), ("storage_searches", 1)),
    )


def test_messages() -> None:
    facts = answer_facts(Dialect.MESSAGES, body({
        "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-sonnet-4-5-20250929",
        "content": [{"type": "text", "text": "hi"}], "stop_reason": "end_turn", "stop_sequence": None,
        "usage": {"input_tokens": 3, "output_tokens": 4, "service_tier": "standard"},
    }))  # fmt: skip
    assert (facts.id, facts.model, facts.finish, facts.service_tier) == (
        "msg_1", "claude-sonnet-4-5-20250929", "end_turn", "standard",
    )  # fmt: skip
    assert json.loads(facts.usage_raw)["output_tokens"] == 4


@pytest.mark.parametrize("dialect", list(Dialect))
@pytest.mark.parametrize("raw", [b"", b"null", b"[]", b"<html>", b'{"usage":null}', b'{"usage"', b"\xff"])
def test_a_strange_body_has_no_facts(dialect: Dialect, raw: bytes) -> None:
    assert answer_facts(dialect, raw) == AnswerFacts()


@pytest.mark.parametrize("dialect", list(Dialect))
def test_a_strange_member_does_not_cost_the_usage(dialect: Dialect) -> None:
    raw = b'{"id":7,"model":{},"usage":{"input_tokens":1,"prompt_tokens":1}}'
    assert answer_facts(dialect, raw).usage_raw == b'{"input_tokens":1,"prompt_tokens":1}'


def test_a_strange_tier_does_not_cost_the_usage() -> None:
    raw = b'{"id":"m","usage":{"input_tokens":1,"service_tier":7}}'
    assert answer_facts(Dialect.MESSAGES, raw).usage_raw == b'{"input_tokens":1,"service_tier":7}'
