"""What the running engine answers: the facts that the gateway and the meter build on."""

import json
import threading
import time
from typing import Any

import pytest

from jevons.engine.process import Engine
from tests.engine.asking import Asker, data_of

GREET = [{"role": "user", "content": "Say hello."}]
LONG = [{"role": "user", "content": "word " * 1000}]
PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name", "age"],
    "additionalProperties": False,
}


def test_chat_answers_with_usage(ask: Asker) -> None:
    status, answer = ask.post("/v1/chat/completions", {"model": "local", "messages": GREET, "max_tokens": 8})
    assert status == 200
    assert answer["model"] == "local"
    [choice] = answer["choices"]
    assert choice["message"]["content"]
    assert choice["finish_reason"] in ("stop", "length")
    usage = answer["usage"]
    assert 1 <= usage["completion_tokens"] <= 8
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    assert 0 <= usage["prompt_tokens_details"]["cached_tokens"] < usage["prompt_tokens"]


def test_chat_stream_ends_with_usage_when_asked(ask: Asker) -> None:
    body = {"messages": GREET, "max_tokens": 8, "stream": True, "stream_options": {"include_usage": True}}
    *chunks, finish, usage, done = ask.events("/v1/chat/completions", body)
    assert "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks)
    assert finish["choices"][0]["finish_reason"] in ("stop", "length")
    assert usage["choices"] == []
    assert 1 <= usage["usage"]["completion_tokens"] <= 8
    assert done == "[DONE]"


def test_responses_answers_with_usage(ask: Asker) -> None:
    status, answer = ask.post(
        "/v1/responses", {"model": "local", "input": "Say hello.", "max_output_tokens": 4, "ignore_eos": True}
    )
    assert status == 200
    assert answer["usage"]["output_tokens"] == 4
    assert "cached_tokens" in answer["usage"]["input_tokens_details"]


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/completions", "/infill", "/slots/0?action=erase", "/slots/0?action=save"])
def test_what_would_pass_by_the_seats_is_not_served(ask: Asker, path: str) -> None:
    """llama.cpp's own Messages drops the slot of a request; the gateway translates it. States are moved by the front alone."""
    status, answer = ask.post(path, {"messages": GREET, "max_tokens": 1})
    assert (status, answer["error"]["type"]) == (404, "not_found_error")


def test_a_slot_cannot_be_chosen_from_outside(ask: Asker) -> None:
    body = {"messages": GREET, "max_tokens": 1, "id_slot": 99}
    assert ask.post("/v1/chat/completions", body)[0] == 200


@pytest.mark.parametrize("stream", [False, True])
def test_over_the_context_is_one_clear_error(ask: Asker, stream: bool) -> None:
    status, answer = ask.post("/v1/chat/completions", {"messages": LONG, "max_tokens": 4, "stream": stream})
    assert status == 400
    error = answer["error"]
    assert error["type"] == "exceed_context_size_error"
    assert error["n_ctx"] == 512
    assert error["n_prompt_tokens"] > 1000
    assert f"({error['n_prompt_tokens']} tokens) exceeds the available context size (512 tokens)" in error["message"]


def test_an_answer_that_fills_the_context_ends_with_length(ask: Asker) -> None:
    body = {"messages": [{"role": "user", "content": "word " * 470}], "ignore_eos": True}
    status, answer = ask.post("/v1/chat/completions", body)
    assert status == 200
    assert answer["choices"][0]["finish_reason"] == "length"
    assert answer["usage"]["total_tokens"] <= 512


def test_a_schema_is_kept(ask: Asker) -> None:
    form = {"type": "json_schema", "json_schema": {"name": "person", "strict": True, "schema": PERSON}}
    body = {"messages": [{"role": "user", "content": "Invent a person."}], "temperature": 0, "response_format": form}
    _, answer = ask.post("/v1/chat/completions", {**body, "max_tokens": 100})
    person = json.loads(answer["choices"][0]["message"]["content"])
    assert set(person) == {"name", "age"}
    assert isinstance(person["age"], int)


@pytest.mark.parametrize("name", ["n", "n_cmpl"])
def test_several_choices_are_refused(ask: Asker, name: str) -> None:
    """llama.cpp would put the others into slots of its own choice, and report the usage of one."""
    status, answer = ask.post("/v1/chat/completions", {"messages": GREET, "max_tokens": 4, name: 2})
    assert status == 400
    assert "leave n out" in answer["error"]["message"]


def test_embeddings_are_not_served(ask: Asker) -> None:
    """A chat model's pooled states would pass for embeddings and be poor ones."""
    status, answer = ask.post("/v1/embeddings", {"input": "steam"})
    assert (status, answer["error"]["type"]) == (404, "not_found_error")


@pytest.mark.parametrize("path", ["/v1/models", "/slots", "/props", "/metrics"])
def test_nothing_is_served_without_the_key(ask: Asker, path: str) -> None:
    stranger = Asker("http://" + ask.address, "guess")
    assert stranger.get(path)[0] == 401
    assert stranger.post("/v1/chat/completions", {"messages": GREET})[0] == 401
    assert stranger.get("/health")[0] == 200


def test_refused_requests_leave_nothing_of_their_content_in_the_log(ask: Asker, engine: Engine) -> None:
    log = engine.settings.log_file
    assert log
    for body in ({"messages": GREET, "tools": "my secret"}, {"messages": "my secret"}):
        assert ask.post("/v1/chat/completions", body)[0] >= 400
    assert not log.exists() or "secret" not in log.read_text()


def test_two_requests_progress_together(ask: Asker) -> None:
    """Each stream gets a token while the other is still running, which one at a time could not do."""
    spans: dict[int, list[float]] = {0: [], 1: []}

    def stream(number: int) -> None:
        body = {"messages": [{"role": "user", "content": f"Story {number}"}], "max_tokens": 40, "ignore_eos": True}
        with ask.open("POST", "/v1/chat/completions", {**body, "stream": True}) as answer:
            spans[number] = [time.monotonic() for event in data_of(answer) if event != "[DONE]"]

    threads = [threading.Thread(target=stream, args=(number,)) for number in spans]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(len(times) > 20 for times in spans.values())  # some tokens are half a character, and told with the next
    within = [sum(spans[1 - n][0] < t < spans[1 - n][-1] for t in spans[n]) for n in spans]
    assert min(within) > 5


def test_a_stream_whose_reader_left_is_stopped(ask: Asker) -> None:
    def busy() -> bool:
        slots: list[dict[str, Any]] = json.loads(ask.get("/slots")[1])
        return any(slot["is_processing"] for slot in slots)

    body = {"messages": GREET, "stream": True, "ignore_eos": True}
    with ask.open("POST", "/v1/chat/completions", body) as answer:
        next(data_of(answer))
        assert busy()
    started = made(ask)
    while busy():
        pass
    # Without the stop it would have gone on to the end of its context, over 450 tokens.
    assert made(ask) - started < 300


def made(ask: Asker) -> int:
    """Tokens generated since the start, by the engine's own counter."""
    lines = ask.get("/metrics")[1].splitlines()
    return next(int(float(line.split()[1])) for line in lines if line.startswith("llamacpp:n_decode_total"))
