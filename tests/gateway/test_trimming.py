"""Tool output that was made shorter on its way to a provider: where, for how long, and how the whole of it is had."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.gateway.asking import Gateway, Key, marker, prompt
from tests.gateway.governing import MODELS, Talk
from tests.provider import Provider
from tests.running import Jevons, upstream

DOORS = ["chat", "messages", "responses"]
PATH = "/jevons/v1/trimmed/"


def listing(rows: int = 60) -> str:
    """JSON as a tool gives it, unlike any other."""
    mark = marker()
    return json.dumps([{"number": n, "name": f"{mark} {n}", "state": "open", "price": n / 4} for n in range(rows)])


def texts(body: bytes, door: str) -> list[str]:
    """What tools gave back in a request, as the provider got it."""
    items = json.loads(body)["input" if door == "responses" else "messages"]
    if door == "responses":
        return [item["output"] for item in items if item.get("type") == "function_call_output"]
    if door == "chat":
        return [item["content"] for item in items if item["role"] == "tool"]
    return [
        block["content"] for item in items if isinstance(item["content"], list) for block in item["content"] if "content" in block
    ]


@pytest.fixture(scope="module")
def trimming(standin: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    yield from serving(standin, tmp_path_factory, {"enabled": True})


@pytest.fixture(scope="module")
def rewriting(standin: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    yield from serving(standin, tmp_path_factory, {"enabled": True, "history": True, "ram_mib": 1})


def serving(standin: Provider, folders: pytest.TempPathFactory, settings: dict[str, Any]) -> Iterator[Gateway]:
    upstreams = [
        upstream("openai", standin.openai_url, models=("gpt-*",), retries=0),
        upstream("anthropic", standin.url, "anthropic", models=("claude-*",), retries=0),
    ]
    with Jevons(folders.mktemp("trimming") / "home", *upstreams, cache={"trim": settings}) as jevons:
        yield Gateway(jevons, standin)
    assert "Traceback" not in jevons.log()


class Speaker:
    """One conversation with the stand-in, each request found again by a marker of its own."""

    def __init__(self, gateway: Gateway, key: Key, door: str) -> None:
        self.gateway, self.key, self.talk = gateway, key, Talk(door, f"Look at {marker()}.")

    def say(self, **headers: str) -> tuple[Any, bytes]:
        """(the answer, the body as the provider got it)."""
        mark = marker()
        self.talk.user(prompt("Go on.", marker=mark))
        got = self.gateway.post(self.talk.door, self.key, self.talk.body(), **headers)
        assert got.status == 200, got.body
        return got, self.gateway.attempt(mark).body


@pytest.mark.parametrize("door", DOORS)
def test_long_output_is_sent_shorter_and_stays_so(trimming: Gateway, door: str) -> None:
    """The same bytes at the next turn, so that a provider's cache goes on; no other byte of the request is touched."""
    speaker, output = Speaker(trimming, trimming.key(), door), listing()
    speaker.talk.tool("list_orders", {"page": 1}, output)
    got, sent = speaker.say()
    [small] = texts(sent, door)
    came = json.dumps(speaker.talk.body()).encode()
    assert came.replace(json.dumps(output).encode(), json.dumps(small).encode()) == sent.replace(
        json.dumps(small, ensure_ascii=False).encode(), json.dumps(small).encode()
    )
    table, last = small.rsplit("\n", 1)
    assert json.loads(table)["rows"][59] == [59, f"{output.split('name')[1][4:36]} 59", 14.75]
    tokens = int(got.headers["x-jevons-trimmed"].removeprefix("tokens=").removesuffix(";refs=1"))
    [saving] = trimming.entry_of(got)["savings"]
    assert saving["kind"] == "trim" and saving["nusd"] > 0
    assert 0 < saving["tokens"] < tokens > 500, "what is saved goes by the provider's count, whose tokens are words here"
    speaker.talk.assistant("Seen.")
    again, later = speaker.say()
    assert texts(later, door) == [small]
    assert again.headers["x-jevons-trimmed"] == got.headers["x-jevons-trimmed"]
    assert again.headers["x-jevons-run-id"] == got.headers["x-jevons-run-id"], "whose run it is depends on what came"
    assert last.endswith("]") and PATH in last


def test_the_whole_is_had_by_its_reference(trimming: Gateway) -> None:
    """By every key of the organisation, and by no other."""
    mine, colleague, stranger = trimming.key(org="a"), trimming.key(org="a"), trimming.key(org="b")
    speaker, output = Speaker(trimming, mine, "chat"), listing()
    speaker.talk.tool("list", {}, output)
    _, sent = speaker.say()
    [small] = texts(sent, "chat")
    path = PATH + small.rpartition(PATH)[2].removesuffix("]")
    for key in (mine, colleague):
        got = trimming.get(path, key)
        assert got.status == 200 and got.body.decode() == output
        assert got.headers["content-type"] == "text/plain; charset=utf-8"
    refused = trimming.get(path, stranger)
    assert refused.status == 404 and refused.error["code"] == "unknown_original"
    assert trimming.get(path).status == 401


@pytest.mark.parametrize("door", DOORS)
def test_a_request_may_say_no_and_what_it_sent_stays_whole(trimming: Gateway, door: str) -> None:
    speaker, output = Speaker(trimming, trimming.key(), door), listing()
    speaker.talk.tool("list", {}, output)
    got, sent = speaker.say(x_jevons_trim="off")
    assert sent == json.dumps(speaker.talk.body()).encode()
    assert "x-jevons-trimmed" not in got.headers
    _, again = speaker.say()  # no answer stands between: it looks new, and is not
    assert texts(again, door) == [output]
    other = trimming.post(door, speaker.key, speaker.talk.body(), x_jevons_trim="no")
    assert other.status == 400 and "x-jevons-trim" in other.body.decode()


def test_what_stands_behind_an_answer_is_left_alone(trimming: Gateway) -> None:
    """Some request carried it whole before: the gateway was restarted, or trimming was off."""
    speaker, old, new = Speaker(trimming, trimming.key(), "messages"), listing(), listing()
    speaker.talk.tool("list", {}, old).tool("list", {}, new)
    _, sent = speaker.say()
    first, second = texts(sent, "messages")
    assert first == old and second != new


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        ("Read", {"file_path": "a.json"}),
        ("mcp__files__read_file", {"path": "a"}),
        ("bash", {"command": "cd x && cat package.json"}),
        ("bash", {"command": "cd x\ncat package.json"}),
        ("shell", {"command": ["cat", "package.json"]}),
    ],
)
def test_what_may_be_edited_next_keeps_its_words(trimming: Gateway, tool: str, arguments: dict[str, object]) -> None:
    speaker, output = Speaker(trimming, trimming.key(), "responses"), listing()
    speaker.talk.tool(tool, arguments, output)
    _, sent = speaker.say()
    assert texts(sent, "responses") == [output]


def test_what_went_wrong_is_told_in_full(trimming: Gateway) -> None:
    mark, output = marker(), listing()
    called = {"type": "tool_use", "id": "toolu_1", "name": "list", "input": {}}
    returned = [
        {"type": "tool_result", "tool_use_id": "toolu_1", "is_error": True, "content": [{"type": "text", "text": output}]},
        {"type": "text", "text": prompt("So?", marker=mark)},
    ]
    messages = [{"role": "assistant", "content": [called]}, {"role": "user", "content": returned}]
    body = {"model": MODELS["messages"], "max_tokens": 9, "messages": messages}
    assert trimming.post("messages", trimming.key(), body).status == 200
    assert trimming.attempt(mark).body == json.dumps(body).encode()


def test_a_long_history_is_rewritten_where_it_pays(rewriting: Gateway) -> None:
    """At the end of a conversation nearly nothing stands behind; ahead of a long rest it would cost more than it saves."""
    short, long = (Speaker(rewriting, rewriting.key(), "messages") for _ in range(2))
    output = listing(400)
    short.talk.tool("list", {}, output).assistant("Seen.")
    long.talk.tool("list", {}, output).assistant("word " * 100_000)
    for speaker, whole in ((short, False), (long, True)):
        _, sent = speaker.say()
        assert (texts(sent, "messages") == [output]) is whole


def test_the_same_bytes_are_made_again_when_memory_was_short(rewriting: Gateway) -> None:
    speaker = Speaker(rewriting, rewriting.key(), "chat")
    speaker.talk.tool("list", {}, listing(1_000))
    got, sent = speaker.say()
    [small] = texts(sent, "chat")
    other = Speaker(rewriting, speaker.key, "chat")
    for _ in range(8):  # of 100 KB and more each, of 1 MiB in all
        other.talk.tool("list", {}, listing(1_000))
    other.say()
    path = PATH + small.rpartition(PATH)[2].removesuffix("]")
    assert rewriting.get(path, speaker.key).status == 404
    speaker.talk.assistant("Seen.")
    again, later = speaker.say()
    assert texts(later, "chat") == [small] and again.headers["x-jevons-trimmed"] == got.headers["x-jevons-trimmed"]
    assert rewriting.get(path, speaker.key).status == 200, "the client sent it once more"


@pytest.mark.parametrize("more_words", [0, 20_000])
def test_a_client_may_move_its_marks(trimming: Gateway, more_words: int) -> None:
    """Claude Code marks its last block in each request: what the block says is still the same."""
    key, output, sent = trimming.key(), listing(), []
    opening = {"type": "text", "text": f"Look at {marker()}." + " word" * more_words}
    called = {"type": "tool_use", "id": "toolu_1", "name": "list", "input": {}}
    returned = {"type": "tool_result", "tool_use_id": "toolu_1", "content": output}
    for more in ([], [{"role": "assistant", "content": "Seen."}]):
        mark = marker()
        cached = {"cache_control": {"type": "ephemeral"}}
        first = {**opening, **({} if more else cached)}
        messages = [
            {"role": "user", "content": [first]},
            {"role": "assistant", "content": [called]},
            {"role": "user", "content": [{**returned, **({} if more else cached)}]},
            *more,
            {"role": "user", "content": prompt(marker=mark)},
        ]
        body = {"model": MODELS["messages"], "max_tokens": 9, "messages": messages}
        assert trimming.post("messages", key, body).status == 200
        sent.append(json.loads(trimming.attempt(mark).body)["messages"][2]["content"][0]["content"])
    assert sent[0] == sent[1] != output


def test_it_is_off_unless_the_operator_wants_it(gateway: Gateway, any_key: Key) -> None:
    speaker = Speaker(gateway, any_key, "chat")
    speaker.talk.tool("list", {}, listing())
    got, sent = speaker.say()
    assert sent == json.dumps(speaker.talk.body()).encode() and "x-jevons-trimmed" not in got.headers
    assert gateway.get(PATH + "0" * 15, any_key).error["code"] == "unknown_path"


def test_a_text_that_cannot_be_read_is_refused_as_it_ever_was(trimming: Gateway) -> None:
    """Half of a surrogate pair."""
    talk = Talk("responses").tool("list", {}, listing())
    body = json.dumps(talk.body()).encode().replace(b"number", b"n\\ud800umber")
    got = trimming.post("responses", trimming.key(), body)
    assert (got.status, got.error["code"]) == (400, "invalid_json")
