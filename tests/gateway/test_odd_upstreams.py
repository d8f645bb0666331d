"""Providers that write their streams in ways of their own: no event lines, lone carriage returns, no [DONE], counts that run along."""

import http.server
import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from tests.gateway.asking import Gateway, body_of
from tests.provider import Provider
from tests.running import Jevons, upstream


def chunk(content: str | None = None, finish: str | None = None, output: int | None = None, choices: bool = True) -> str:
    delta = {"content": content} if content else {}
    usage = None if output is None else {"prompt_tokens": 40, "completion_tokens": output, "total_tokens": 40 + output}
    picked = [{"index": 0, "delta": delta, "finish_reason": finish}] if choices else []
    return json.dumps(
        {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "gpt-4o", "choices": picked, "usage": usage}
    )


def lines(*datas: str, end: str = "\n", name: bool = False) -> bytes:
    parts = []
    for data in datas:
        kind = json.loads(data)["type"] if name else ""
        parts.append(f"event: {kind}{end}" * bool(kind) + f"data: {data}{end}{end}")
    return "".join(parts).encode()


MESSAGE = (
    json.dumps({"type": "message_start", "message": {"id": "m", "type": "message", "role": "assistant", "content": [], "model": "claude-sonnet-4-5",
                                                     "stop_reason": None, "usage": {"input_tokens": 40, "output_tokens": 1}}}),
    json.dumps({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
    json.dumps({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "one two"}}),
    json.dumps({"type": "content_block_stop", "index": 0}),
    json.dumps({"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None}, "usage": {"output_tokens": 2}}),
    json.dumps({"type": "message_stop"}),
)  # fmt: skip
RESPONSE = (
    json.dumps({"type": "response.created", "response": {"id": "resp_1", "status": "in_progress"}}),
    json.dumps({"type": "response.output_text.delta", "delta": "one two"}),
    json.dumps({"type": "response.completed", "response": {"id": "resp_1", "status": "completed",
                                                           "usage": {"input_tokens": 40, "output_tokens": 2, "total_tokens": 42}}}),
)  # fmt: skip
USED = chunk(choices=False, output=2)
STREAMS = {
    "lone-returns": lines(chunk("one two"), chunk(finish="stop"), USED, end="\r") + b"data: [DONE]\r\r",
    "no-done": lines(chunk("one two"), chunk(finish="stop"), USED),
    "counts-run-along": lines(chunk("one", output=1), chunk(" two", output=2), chunk(finish="stop", output=2))
    + b"data: [DONE]\n\n",
    "counts-run-along-and-break": lines(chunk("one", output=1), chunk(" two", output=2)),
    "usage-only-at-the-end": lines(chunk("one two"), chunk(finish="stop"), USED) + b"data: [DONE]\n\n",
    "messages-unnamed": lines(*MESSAGE),
    "messages-unnamed-cut": lines(*MESSAGE[:3]),
    "messages-returns": lines(*MESSAGE, end="\r\n", name=True),
    "responses-unnamed": lines(*RESPONSE),
    "responses-unnamed-cut": lines(*RESPONSE[:2]),
    "nothing": b"",
    "only-comments": b": hello\n\n: still here\n\n",
    "only-done": b"data: [DONE]\n\n",
}


class Odd(http.server.BaseHTTPRequestHandler):
    """Answers with the stream that the path names."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        body = STREAMS[self.path.split("/")[1]]
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        for at in range(0, len(body), 50):
            self.wfile.write(b"%x\r\n%b\r\n" % (len(body[at : at + 50]), body[at : at + 50]))
        self.wfile.write(b"0\r\n\r\n")

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        pass


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Odd)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    upstreams = [
        upstream(name, f"http://127.0.0.1:{server.server_port}/{name}", "anthropic" if "messages" in name else "openai",
                 models=("none",), provider="anthropic" if "messages" in name else "openai", retries=0)
        for name in STREAMS
    ]  # fmt: skip
    with Provider() as unused, Jevons(tmp_path_factory.mktemp("odd") / "home", *upstreams) as jevons:
        yield Gateway(jevons, unused)
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("name", ["lone-returns", "no-done", "counts-run-along", "usage-only-at-the-end"])
@pytest.mark.parametrize("door", ["chat", "messages"])
def test_whole_chat_streams(odd: Gateway, name: str, door: str) -> None:
    key = odd.key(10**12)
    got = odd.post(door, key, body_of(door, f"{name}/gpt-4o", True))
    assert got.status == 200
    assert got.whole
    entry = odd.entry_of(got)
    assert (entry["outcome"], entry["estimate"], entry["input"], entry["output"]) == ("ok", "", 40, 2)
    if door == "messages":
        assert got.events[-1][0] == "message_stop"


@pytest.mark.parametrize(
    ("name", "door"), [("messages-unnamed", "messages"), ("messages-returns", "messages"), ("responses-unnamed", "responses")]
)
def test_whole_streams_of_typed_events(odd: Gateway, name: str, door: str) -> None:
    model = "gpt-4o" if door == "responses" else "claude-sonnet-4-5"
    got = odd.post(door, odd.key(10**12), body_of(door, f"{name}/{model}", True))
    assert got.whole
    assert got.body == STREAMS[name]
    entry = odd.entry_of(got)
    assert (entry["outcome"], entry["estimate"], entry["input"], entry["output"]) == ("ok", "", 40, 2)


@pytest.mark.parametrize(
    ("name", "door"),
    [
        ("counts-run-along-and-break", "chat"),
        ("counts-run-along-and-break", "messages"),
        ("messages-unnamed-cut", "messages"),
        ("messages-unnamed-cut", "chat"),
        ("responses-unnamed-cut", "responses"),
    ],
)
def test_streams_that_break(odd: Gateway, name: str, door: str) -> None:
    """Counts so far are no bill: what may be under way is charged too. The input's count is the provider's."""
    model = "claude-sonnet-4-5" if "messages" in name else "gpt-4o"
    got = odd.post(door, odd.key(10**12), body_of(door, f"{name}/{model}", True))
    assert got.status == 200
    assert not got.whole
    entry = odd.entry_of(got)
    assert (entry["outcome"], entry["estimate"]) == ("error", "seen")
    assert entry["output"] == 64 + 2
    if door != "responses":
        assert entry["input"] == 40


@pytest.mark.parametrize("name", ["nothing", "only-comments"])
def test_streams_without_an_answer(odd: Gateway, name: str) -> None:
    got = odd.post("chat", odd.key(10**12), body_of("chat", f"{name}/gpt-4o", True))
    assert got.status == 502 or not got.whole
    entry = odd.entry_of(got)
    assert (entry["outcome"], entry["estimate"], entry["output"]) == ("error", "seen", 64)


def test_an_end_without_an_answer(odd: Gateway) -> None:
    """It says that it is whole: so it is, and its input is charged."""
    got = odd.post("chat", odd.key(10**12), body_of("chat", "only-done/gpt-4o", True))
    entry = odd.entry_of(got)
    assert (got.whole, entry["outcome"], entry["estimate"], entry["output"]) == (True, "ok", "seen", 0)
    assert entry["billed_nusd"] > 0
