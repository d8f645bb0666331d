"""What is seen of a request: its question, counts and marks, in every dialect with messages."""

from typing import Any

import msgspec
import pytest

from jevons.core.ask import Dialect
from jevons.wire import features
from jevons.wire.features import MEDIUM_TOKENS, Read, read
from jevons.wire.parse import parse

PICTURE = "A" * 40_000
CALLS: dict[Dialect, list[dict[str, Any]]] = {
    Dialect.CHAT: [
        {"role": "user", "content": "Fix the bug in a.py"},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f"}}]},
        {"role": "tool", "tool_call_id": "c", "content": "image file document"},
    ],
    Dialect.MESSAGES: [
        {"role": "user", "content": [{"type": "text", "text": "Fix the bug in a.py"}]},
        {
            "role": "assistant",
            "content": [{"type": "tool_use", "id": "c", "name": "f", "input": {"file": "a.py", "type": "file"}}],
        },
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c", "content": "x = 1"}]},
    ],
    Dialect.RESPONSES: [
        {"role": "user", "content": [{"type": "input_text", "text": "Fix the bug in a.py"}]},
        {"type": "reasoning", "id": "r", "summary": []},
        {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
        {"type": "function_call", "call_id": "d", "name": "g", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c", "output": "x = 1"},
    ],
}


def seen(dialect: Dialect, said: object, *, of_run: bool = False, **more: object) -> Read:
    name = "input" if dialect is Dialect.RESPONSES else "messages"
    body = {"model": "auto", name: said, **({"max_tokens": 64} if dialect is Dialect.MESSAGES else {}), **more}
    return read(parse(dialect, msgspec.json.encode(body)), of_run=of_run)


@pytest.mark.parametrize("dialect", CALLS)
def test_an_agent_goes_on_from_a_result(dialect: Dialect) -> None:
    found = seen(dialect, CALLS[dialect], of_run=True, tools=[{"name": "f"}, {"name": "g"}])
    assert found.question == "Fix the bug in a.py"
    assert found.head == 1
    features = found.features
    assert (features.tools, features.tool_results, features.step, features.modalities) == (2, True, 2, ())
    assert (features.question_chars, features.question_words, features.messages) == (19, 5, len(CALLS[dialect]) + 1)


@pytest.mark.parametrize("dialect", CALLS)
def test_a_person_speaks_again(dialect: Dialect) -> None:
    found = seen(dialect, [*CALLS[dialect], {"role": "user", "content": "And now, in 2026?"}])
    assert (found.question, found.features.tool_results, found.features.step) == ("And now, in 2026?", False, 0)
    assert found.features.digits_pct == 100 * 4 // 17


@pytest.mark.parametrize(
    ("dialect", "part", "kind"),
    [
        (Dialect.CHAT, {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PICTURE}"}}, "image"),
        (Dialect.CHAT, {"type": "input_audio", "input_audio": {"data": PICTURE, "format": "wav"}}, "audio"),
        (Dialect.CHAT, {"type": "file", "file": {"file_data": PICTURE}}, "file"),
        (Dialect.MESSAGES, {"type": "image", "source": {"type": "base64", "data": PICTURE}}, "image"),
        (Dialect.MESSAGES, {"type": "document", "source": {"type": "base64", "data": PICTURE}}, "file"),
        (Dialect.RESPONSES, {"type": "input_image", "image_url": f"data:image/png;base64,{PICTURE}"}, "image"),
        (Dialect.RESPONSES, {"type": "input_file", "file_data": PICTURE}, "file"),
    ],
)
def test_what_is_no_text(dialect: Dialect, part: dict[str, Any], kind: str) -> None:
    text = {"type": "input_text" if dialect is Dialect.RESPONSES else "text", "text": "What is this?"}
    found = seen(dialect, [{"role": "user", "content": [text, part]}])
    assert (found.question, found.features.modalities) == ("What is this?", (kind,))
    assert MEDIUM_TOKENS < found.features.input_tokens < MEDIUM_TOKENS + 100


def test_pictures_in_what_a_tool_said() -> None:
    picture = {"type": "image", "source": {"type": "base64", "data": PICTURE}}
    result = {"type": "tool_result", "tool_use_id": "c", "content": [{"type": "text", "text": "a screen"}, picture]}
    assert seen(Dialect.MESSAGES, [{"role": "user", "content": [result]}]).features.modalities == ("image",)
    output = {"type": "function_call_output", "call_id": "c", "output": [{"type": "input_image", "image_url": PICTURE}]}
    assert seen(Dialect.RESPONSES, [output]).features.modalities == ("image",)


def test_words_about_pictures_are_none() -> None:
    told = 'Send {"type": "image_url"} as "image", "file" or "document".'
    for dialect in CALLS:
        assert seen(dialect, [{"role": "user", "content": told}]).features.modalities == ()
    tools = [{"name": "open", "input_schema": {"type": "object", "properties": {"file": {"type": "image"}}}}]
    assert seen(Dialect.MESSAGES, [{"role": "user", "content": "hi"}], tools=tools).features.modalities == ()


def test_one_text_is_all_of_a_responses_input() -> None:
    found = seen(Dialect.RESPONSES, "Wie heißt du?", instructions="Be brief.")
    assert (found.question, found.head, found.features.messages) == ("Wie heißt du?", 1, 2)


def test_what_stands_before_a_conversation() -> None:
    said = [
        {"role": "system", "content": "Be brief."},
        {"role": "developer", "content": "Or not."},
        {"role": "user", "content": "hi"},
    ]
    assert seen(Dialect.CHAT, said, tools=[{}], functions=[{}, {}]).head == 4
    assert seen(Dialect.CHAT, said, tools=[{}], functions=[{}, {}]).features.tools == 3
    assert seen(Dialect.CHAT, said[:2]).question == ""
    assert seen(Dialect.MESSAGES, [{"role": "user", "content": "hi"}], system="Be brief.").head == 1
    assert seen(Dialect.CHAT, said, tools=None).features.tools == 0


def test_a_shape_and_a_cap() -> None:
    shape = {"type": "json_schema", "json_schema": {"name": "a", "schema": {}}}
    found = seen(Dialect.CHAT, [{"role": "user", "content": "hi"}], response_format=shape, max_tokens=7).features
    assert (found.schema, found.output_cap) == (True, 7)
    assert not seen(Dialect.CHAT, [{"role": "user", "content": "hi"}], response_format={"type": "json_object"}).features.schema


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("What does this do?\n```\nx\n```", True),
        ("Why is this slow:\nfor (let i = 0; i < n; i++) {\n  sum += a[i];\n}", True),
        ("def f(x):\n    return x", True),
        ("SELECT * FROM users WHERE id = 7;", True),
        ("Is <b>this</b> right?", True),
        ("Write a poem about autumn; make it short.", False),
        ("Import duties: what do I pay (in euros)?", False),
        ("", False),
    ],
)
def test_program_text(text: str, code: bool) -> None:
    assert seen(Dialect.CHAT, [{"role": "user", "content": text}]).features.code is code


@pytest.mark.parametrize("line", ["\n", " \n", "{ \n\t", "</a", "def f\n"])
def test_lines_are_searched_once(monkeypatch: pytest.MonkeyPatch, line: str) -> None:
    """Each by itself: of so many, a search that begins anew at each and goes on through the rest ends at no time that a run of the tests waits for."""
    monkeypatch.setattr(features, "READ_CHARS", 2_000_000)
    found = seen(Dialect.CHAT, [{"role": "user", "content": line * 400_000 + "x"}])
    assert found.features.code is ("{" in line)


def test_what_no_provider_would_take_is_read_as_nothing() -> None:
    for said in (7, {"role": 7}, {"role": "user"}, {"role": "user", "content": 7}, {"role": "user", "content": [{"text": 7}]}):
        assert seen(Dialect.CHAT, [said, {"role": "user", "content": [{"type": "image_url"}, 7]}]).question == ""
    assert (
        seen(Dialect.RESPONSES, [{"type": "function_call_output", "output": [{"type": 7, "x": "image"}]}]).features.modalities
        == ()
    )
    assert seen(Dialect.CHAT, []).features.tool_results is False


def test_embeddings_have_no_question() -> None:
    ask = parse(Dialect.EMBEDDINGS, b'{"model": "e", "input": "hello"}')
    assert read(ask, of_run=True).question == ""
    assert read(ask, of_run=True).features.input_tokens == len(ask.body) // 4
