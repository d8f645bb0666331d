"""Every fault of a provider, in every dialect, streamed or not, translated or not: what the client sees, what the ledger says, what was billed.

All cases run at once, in one fixture; each test looks at one of them. The stand-in's journal is the oracle.
"""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal

import pytest

from tests.gateway.asking import Gateway, Got, Key, body_of, marker
from tests.provider import FAULTS, STREAM_FAULTS, Attempt

REPLY = "Grüße one two 日本 three 🙂 four five"
ROUTES = {
    "chat": ("chat", "oa", "gpt-4o"),
    "chat-to-anthropic": ("chat", "an", "claude-sonnet-4-5"),
    "messages": ("messages", "an", "claude-sonnet-4-5"),
    "messages-to-openai": ("messages", "oa", "gpt-4o"),
    "responses": ("responses", "oa", "gpt-4o"),
}
PROVIDERS = {"oa": "openai", "an": "anthropic"}
HANGS = ("hang_before_headers", "hang_mid_stream")
SCRIPTS: dict[str, dict[str, Any]] = {
    "status": {"status": 503},
    "gzip_bomb": {"size_bytes": 50_000_000},
    "answer_too_large": {"size_bytes": 18_000_000},
    "sse_huge_line": {"size_bytes": 2_000_000},
    "sse_huge_event": {"size_bytes": 2_000_000},
}
"""Fields beside the fault. Sizes just beyond our limits; of a non-streamed answer see test_answer_too_large."""

Seen = Literal["whole", "error", "broken", "failed"]
"""The client has a whole answer; an HTTP error; a stream that ends in an error event and is cut; or the dialect's own failed end."""


@dataclass(frozen=True)
class Expected:
    """`estimate` "" with a cost means that the entry equals the provider's bill."""

    seen: Seen
    status: int
    outcome: str
    estimate: str
    free: bool = False


WHOLE = Expected("whole", 200, "ok", "")
REFUSED = Expected("error", 503, "error", "", free=True)
REDIRECTED = Expected("error", 502, "error", "", free=True)
NOT_STREAMED = {
    "status": REFUSED,
    "redirect": REDIRECTED,
    "reset_before_headers": Expected("error", 502, "error", "hold"),
    "hang_before_headers": Expected("error", 504, "timeout", "hold"),
    "hang_mid_stream": Expected("error", 504, "timeout", "hold"),
    "reset_mid_stream": Expected("error", 502, "error", "hold"),
    "eof_mid_stream": Expected("error", 502, "error", "hold"),
    "invalid_json": Expected("error", 502, "error", "hold"),
    "gzip_bomb": Expected("error", 502, "error", "hold"),
    "usage_absent": Expected("whole", 200, "ok", "hold"),
}
STREAMED = {
    "status": REFUSED,
    "redirect": REDIRECTED,
    "reset_before_headers": Expected("error", 502, "error", "seen"),
    "hang_before_headers": Expected("error", 504, "timeout", "seen"),
    "hang_mid_stream": Expected("broken", 200, "timeout", "seen"),
    "reset_mid_stream": Expected("broken", 200, "error", "seen"),
    "eof_mid_stream": Expected("broken", 200, "error", "seen"),
    "clean_end_without_terminal": Expected("broken", 200, "error", "seen"),
    "error_event_after_200": Expected("broken", 200, "error", "seen"),
    "response_failed": Expected("failed", 200, "error", "seen"),
    "invalid_json": Expected(
        "error", 502, "error", "hold"
    ),  # a whole body where a stream was asked for: nothing could be counted
    "gzip_bomb": Expected("error", 502, "error", "hold"),
    "answer_too_large": Expected("error", 502, "error", "seen"),
    "usage_absent": Expected("whole", 200, "ok", "seen"),
}
"""Faults that are not here do not keep an answer from being whole."""
MALFORMED = ("sse_malformed", "sse_malformed_joined")
MALFORMED_TRANSLATED = Expected("broken", 200, "error", "seen")


@dataclass(frozen=True)
class Case:
    route: str
    fault: str
    stream: bool

    def __str__(self) -> str:
        return f"{self.route}-{self.fault}-{'stream' if self.stream else 'whole'}"

    @property
    def expected(self) -> Expected:
        if self.fault in MALFORMED and "-to-" in self.route:
            return MALFORMED_TRANSLATED
        return (STREAMED if self.stream else NOT_STREAMED).get(self.fault, WHOLE)


def cases() -> Iterator[Case]:
    for route in ROUTES:
        for fault in FAULTS:
            if fault == "early_response" or (fault == "response_failed" and route != "responses"):
                continue
            if fault not in STREAM_FAULTS and fault != "answer_too_large":
                yield Case(route, fault, False)
            if not (fault == "answer_too_large" and route != "chat"):
                yield Case(route, fault, True)


@dataclass(frozen=True)
class Result:
    got: Got
    attempts: list[Attempt]
    entries: list[dict[str, Any]]


def run(gateway: Gateway, key: Key, case: Case) -> tuple[Got, str]:
    door, upstream, model = ROUTES[case.route]
    asked = f"hasty-{upstream}/{model}" if case.fault in HANGS else model
    mark = marker()
    script = {"reply": REPLY, "chunks": 6, "marker": mark, "fault": case.fault, **SCRIPTS.get(case.fault, {})}
    return gateway.post(door, key, body_of(door, asked, case.stream, **script)), mark


@pytest.fixture(scope="module")
def results(gateway: Gateway) -> dict[Case, Result]:
    """Those that close connections which they promised to keep come last, one by one: nothing else may run into that."""
    key = gateway.key(10**12)
    together = [case for case in cases() if case.fault != "keepalive_close"]
    with ThreadPoolExecutor(24) as pool:
        answers = dict(zip(together, pool.map(lambda case: run(gateway, key, case), together), strict=True))
    answers |= {case: run(gateway, key, case) for case in cases() if case.fault == "keepalive_close"}
    gateway.settled(key, len(answers))
    journal = gateway.provider.attempts()
    return {
        case: Result(got, [one for one in journal if one.marker == mark], gateway.entries_of(got))
        for case, (got, mark) in answers.items()
    }


@pytest.mark.parametrize("case", list(cases()), ids=str)
def test_a_fault(gateway: Gateway, results: dict[Case, Result], case: Case) -> None:
    result, expected = results[case], case.expected
    got = result.got
    door, upstream, model = ROUTES[case.route]
    assert got.status == expected.status, got.body[:500]
    assert len(result.entries) == len(result.attempts) == 1
    entry, attempt = result.entries[0], result.attempts[0]
    if expected.seen == "whole":
        assert got.whole
        if case.fault not in (*MALFORMED, "sse_huge_event"):
            assert text_of(door, got, case.stream) == REPLY
    elif expected.seen == "error":
        assert got.whole
        assert_error_shape(door, got)
    elif expected.seen == "broken":
        assert not got.whole
        assert_error_event(door, got)
    else:
        assert got.whole
        assert got.events[-1][0] == "response.failed"
    assert entry["outcome"] == expected.outcome
    told = expected is MALFORMED_TRANSLATED and not entry["estimate"]  # the usage came in the same read as the broken event
    assert told or entry["estimate"] == expected.estimate
    bill = gateway.cost_nusd(PROVIDERS[upstream], model, attempt.bill)
    if expected.free:
        assert entry["billed_nusd"] == bill == 0
    elif expected.estimate and not told:
        assert entry["billed_nusd"] >= bill
        assert entry["billed_nusd"] > 0
    else:
        assert entry["billed_nusd"] == bill > 0
    if expected.estimate == "hold":
        assert entry["billed_nusd"] == entry["held_nusd"]


def test_no_money_is_lost_between_faults(gateway: Gateway, results: dict[Case, Result]) -> None:
    billed = sum(entry["billed_nusd"] for result in results.values() for entry in result.entries)
    account = next(
        one for one in json.loads(gateway.jevons.run("keys", "list", "--json"))["keys"] if one["posted_nusd"] == billed
    )
    assert (account["held_nusd"], account["overrun_nusd"]) == (0, 0)


def test_answer_too_large(gateway: Gateway, key: Key) -> None:
    """256 MiB is the end of a non-streamed answer."""
    got = gateway.post("chat", key, body_of("chat", "gpt-4o", fault="answer_too_large", size_bytes=270_000_000))
    assert (got.status, got.error["code"]) == (502, "upstream_error")
    assert "larger than 256 MiB" in got.error["message"]
    assert gateway.entry_of(got)["estimate"] == "hold"


@pytest.mark.parametrize("door", ["chat", "responses"])
@pytest.mark.parametrize("fault", ["reset_mid_stream", "clean_end_without_terminal", "usage_absent", "hang_mid_stream"])
def test_hidden_reasoning_is_charged_whole(gateway: Gateway, key: Key, door: str, fault: str) -> None:
    """A model that may reason unseen: nobody can say what it made, so the hold is charged; the stand-in bills its reasoning."""
    mark = marker()
    asked = body_of(door, "hasty-oa/gpt-5", True, cap=2000, reply=REPLY, reasoning=900, fault=fault, marker=mark)
    entry = gateway.entry_of(gateway.post(door, key, asked))
    attempt = gateway.attempt(mark)
    assert attempt.bill is not None
    assert attempt.bill.reasoning > 0
    assert entry["estimate"] == "hold"
    assert entry["held_nusd"] == entry["billed_nusd"] >= gateway.cost_nusd("openai", "gpt-5", attempt.bill)


def text_of(door: str, got: Got, stream: bool) -> str:
    """What the client reads, straight from the wire formats."""
    if not stream:
        answer = got.json
        if door == "chat":
            return str(answer["choices"][0]["message"]["content"])
        if door == "messages":
            return "".join(block["text"] for block in answer["content"])
        return "".join(part["text"] for item in answer["output"] if item["type"] == "message" for part in item["content"])
    documents = [json.loads(data) for _, data in got.events if data != b"[DONE]"]
    if door == "chat":
        assert got.events[-1][1] == b"[DONE]"
        return "".join(choice["delta"].get("content") or "" for chunk in documents for choice in chunk["choices"])
    if door == "messages":
        assert documents[-1] == {"type": "message_stop"}
        return "".join(d["delta"].get("text", "") for d in documents if d["type"] == "content_block_delta")
    assert documents[-1]["type"] == "response.completed"
    return "".join(d["delta"] for d in documents if d["type"] == "response.output_text.delta")


def assert_error_shape(door: str, got: Got) -> None:
    """The error body of the client's own dialect."""
    document = got.json
    if door == "messages":
        assert document["type"] == "error"
        assert set(document) <= {"type", "error", "request_id"}
        assert set(document["error"]) >= {"type", "message"}
    else:
        assert set(document) == {"error"}
        assert set(document["error"]) >= {"message", "type", "param", "code"}


def assert_error_event(door: str, got: Got) -> None:
    """The last event is the dialect's error event."""
    name, data = got.events[-1]
    document = json.loads(data)
    if door == "chat":
        assert name == ""
        assert document["error"]["message"]
    else:
        assert (name, document["type"]) == ("error", "error")
        assert document["error"]["message"] if door == "messages" else document["message"]
