"""What is read as traffic, and what is said of what cannot be."""

from pathlib import Path

import msgspec
import pytest

from jevons.engine.weights.traffic import PROPORTION, Question, TrafficError, read_traffic

SENTENCES = "The {n}th house stands by the river, and in its garden an old man plants {n} trees every year before winter comes. "


def lines(path: Path, *bodies: object) -> Path:
    path.write_text("\n".join(msgspec.json.encode(body).decode() for body in bodies))
    return path


def test_the_packaged_sample() -> None:
    traffic = read_traffic()
    assert len(traffic.texts) == 72 and len(traffic.questions) == 120 and not traffic.made
    assert {len(question.choices) for question in traffic.questions} == {4}
    read, written = traffic.proportion()
    assert 0.4 < read / written < 2.5
    assert read_traffic() == traffic


def test_bodies_of_three_dialects(tmp_path: Path) -> None:
    parts = [
        {"type": "text", "text": "two"},
        {"type": "image_url", "image_url": {"url": "data:,"}},
        {"type": "text", "text": "three"},
    ]
    file = lines(
        tmp_path / "t.jsonl",
        {"model": "m", "messages": [{"role": "user", "content": "one"}, {"role": "assistant", "content": "yes"}]},
        {"system": "be brief", "messages": [{"role": "user", "content": parts}]},
        {"instructions": "be kind", "input": "four"},
        {"prompt": "2 + 2 =", "choices": [" 4", " 5"], "answer": 0},
    )
    traffic = read_traffic(file)
    turns = sorted([[(turn.role, turn.content) for turn in text.turns] for text in traffic.texts])
    assert turns == [
        [("system", "be brief"), ("user", "two\nthree")],
        [("system", "be kind"), ("user", "four")],
        [("user", "one"), ("assistant", "yes")],
    ]
    assert traffic.questions == (Question("2 + 2 =", (" 4", " 5"), 0),)
    assert traffic.proportion() == (5, 3), "three letters and two line ends are read, three letters written"


def test_a_line_ends_where_json_lines_do_and_one_without_text_is_left_out(tmp_path: Path) -> None:
    file = tmp_path / "t.jsonl"
    said = "one\u2028two\x85three"
    file.write_bytes(
        f'{{"input": "{said}"}}\r\n{{"messages": [{{"role": "user", "content": [{{"type": "image"}}]}}]}}\n'.encode()
    )
    assert [text.plain for text in read_traffic(file).texts] == [said]


def test_plain_text_is_cut_at_sentences_and_asked_about(tmp_path: Path) -> None:
    file = tmp_path / "t.txt"
    file.write_text("".join(SENTENCES.format(n=n) for n in range(60)))
    traffic = read_traffic(file)
    assert all(text.plain.endswith(".") and len(text.plain) < 1000 for text in traffic.texts)
    assert len(traffic.questions) == len(traffic.texts) == 8 and traffic.made
    assert traffic.proportion() == PROPORTION
    whole = " ".join(text.plain for text in traffic.texts)
    for question in traffic.questions:
        assert question.prompt + question.choices[question.answer] in whole
        assert len(set(question.choices)) == 4


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"messages": [{"role": "user", "content": "x"}]}\n{"messages": []}', "line 2: there are no messages"),
        ('{"messages": 3}', "line 1"),
        ('{"messages": ["x"]}', "line 1"),
        ('{"messages"', "line 1"),
        ('{"prompt": "x", "choices": ["a", "b"], "answer": 2}', "line 1: 2 choices, and the answer is 2"),
        ('{"prompt": " ", "choices": ["a", "b"], "answer": 0}', "line 1: the prompt is empty"),
        ('{"messages": [{"role": "user", "content": ""}]}', "has no text"),
        ('{"prompt": "x", "choices": "ab", "answer": 0}', "line 1"),
        ('{"prompt": "x", "choices": ["a", "b"], "answer": 0}', "has no text"),
        ("", "has no text"),
    ],
)
def test_what_cannot_be_read_is_said_with_its_line(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "t.jsonl").write_text(text)
    with pytest.raises(TrafficError, match=says):
        read_traffic(tmp_path / "t.jsonl")


def test_files_that_are_no_text(tmp_path: Path) -> None:
    (tmp_path / "t").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(TrafficError, match="UTF-8"):
        read_traffic(tmp_path / "t")
    with pytest.raises(TrafficError, match="No such file"):
        read_traffic(tmp_path / "nothing")
