"""The texts that candidates are measured on: a file of the operator's, or the packaged sample.

Comes in: JSON lines of chat bodies (OpenAI Chat, Responses, Anthropic Messages) or of questions with choices, or plain text. Goes out:
`Traffic`. The ledger keeps no text, so this is never it. Nothing read here is written anywhere.
Does not know: tokens, templates of models, what is measured.
"""

import hashlib
import random
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

SAMPLE = Path(__file__).with_name("data") / "sample.jsonl"
"""Arithmetic problems with answers, and customers' questions with topics; sources and licences in data/README.md."""
TRAFFIC_BYTES_MAX = 64 * 2**20
"""Read into memory at once; what is measured of it is a few thousand tokens."""
PASSAGE_CHARACTERS = 800
"""About how long a piece of plain text is made, at borders of paragraphs or sentences."""
PROPORTION = (4, 1)
"""Of tokens read and written where nothing tells: between a chat and a coding agent (the public traces of 2023 have 5 and 70)."""
CHOICES = 4
CLOZE_WORDS = 8
CLOZE_CONTEXT_WORDS = 60
SEED = 1865


class TrafficError(Exception):
    """The file cannot be used; the message names the line and what is expected."""


class Turn(msgspec.Struct, frozen=True):
    role: str
    content: str


class Text(msgspec.Struct, frozen=True):
    """One conversation, or a passage of plain text (then a single turn without a role)."""

    turns: tuple[Turn, ...]

    @property
    def plain(self) -> str:
        return "\n\n".join(turn.content for turn in self.turns)


class Question(msgspec.Struct, frozen=True):
    """The likeliest of the choices, as a continuation of the prompt, is the model's answer."""

    prompt: str
    choices: tuple[str, ...]
    answer: int


class Traffic(msgspec.Struct, frozen=True):
    """What a file holds, in an order of chance that is always the same."""

    texts: tuple[Text, ...]
    questions: tuple[Question, ...]
    made: bool
    """The questions were made of the texts: which of four continuations is the real one."""
    sha256: str
    source: str
    """For people: "the packaged sample", or a path."""

    def proportion(self) -> tuple[int, int]:
        """Characters that are read and that are written: what comes last from an assistant is written. PROPORTION if nothing does."""
        read = written = 0
        for text in self.texts:
            if len(text.turns) > 1 and text.turns[-1].role == "assistant":
                answer = len(text.turns[-1].content)
                read, written = read + len(text.plain) - answer, written + answer
        return (read, written) if read and written else PROPORTION


def read_traffic(path: Path | None = None) -> Traffic:
    """Texts and questions of a file (None = the packaged sample). Raises TrafficError."""
    file = path or SAMPLE
    try:
        if file.stat().st_size > TRAFFIC_BYTES_MAX:
            raise TrafficError(f"{file} is larger than {TRAFFIC_BYTES_MAX // 2**20} MiB; a few hundred conversations are enough")
        data = file.read_bytes()
        text = data.decode("utf-8")
    except OSError as error:
        raise TrafficError(f"{file} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise TrafficError(f"{file} is not UTF-8 text (byte {error.start})") from None
    found = list(_json_lines(file, text) if text.lstrip().startswith("{") else _passages(text))
    chance = random.Random(SEED)
    chance.shuffle(found)
    texts = tuple(one for one in found if isinstance(one, Text))
    questions = tuple(one for one in found if isinstance(one, Question))
    if not texts:
        raise TrafficError(f"{file} has no text: expected are JSON lines with `messages`, or plain text")
    source = str(path) if path else "the packaged sample"
    return Traffic(texts, questions or tuple(cloze(texts, chance)), not questions, hashlib.sha256(data).hexdigest(), source)


def _json_lines(file: Path, text: str) -> Iterator[Text | Question]:
    for number, line in enumerate(text.split("\n"), 1):  # texts in JSON may hold the other characters that end lines
        if not line.strip():
            continue
        try:
            body = msgspec.json.decode(line, type=dict[str, Any])
            one = _question(body) if "choices" in body else Text(tuple(_turns(body)))
        except (msgspec.DecodeError, ValueError, TypeError, AttributeError) as error:
            raise TrafficError(
                f"{file}, line {number}: {error}. Each line is a chat body with `messages` (or `input`), or a question with "
                "`prompt`, `choices` and `answer`, the right one's place from 0"
            ) from None
        if isinstance(one, Question) or one.turns:  # else it has pictures and calls of tools alone
            yield one


def _question(body: dict[str, Any]) -> Question:
    found = msgspec.convert(body, Question)
    if not found.prompt.strip():
        raise ValueError("the prompt is empty")
    if len(found.choices) < 2 or not all(found.choices) or not 0 <= found.answer < len(found.choices):
        raise ValueError(f"{len(found.choices)} choices, and the answer is {found.answer}")
    return found


def _turns(body: dict[str, Any]) -> Iterator[Turn]:
    for name in ("system", "instructions"):
        if content := _content(body.get(name)):
            yield Turn("system", content)
    turns = body.get("messages", body.get("input"))
    if isinstance(turns, str):
        turns = [{"role": "user", "content": turns}]
    if not isinstance(turns, list) or not turns:
        raise ValueError("there are no messages")
    for turn in turns:
        if content := _content(turn.get("content")):
            yield Turn(str(turn.get("role", "user")), content)


def _content(content: object) -> str:
    """The text of a message: a string, or the text parts of a list. Pictures and calls of tools are left out."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "\n".join(part["text"] for part in content if isinstance(part, dict) and isinstance(part.get("text"), str))
    return ""


def _passages(text: str) -> Iterator[Text]:
    """Pieces of about PASSAGE_CHARACTERS, cut after a paragraph or a sentence."""
    piece = ""
    for part in re.split(r"(?<=[.!?])\s+|\n\s*\n", text):
        piece = f"{piece} {part.strip()}".strip()
        if len(piece) >= PASSAGE_CHARACTERS:
            yield Text((Turn("", piece),))
            piece = ""
    if piece:
        yield Text((Turn("", piece),))


def cloze(texts: Sequence[Text], chance: random.Random) -> Iterator[Question]:
    """One question of each text that is long enough: which words go on in its middle? The wrong ones are other texts' middles."""
    middles = [found for text in texts if (found := _middle(text))]
    endings = sorted({after for _, after in middles})
    if len(endings) < CHOICES:
        return
    for before, after in middles:
        others = [one for one in chance.sample(endings, CHOICES) if one != after][: CHOICES - 1]
        answer = chance.randrange(CHOICES)
        yield Question(before, (*others[:answer], after, *others[answer:]), answer)


def _middle(text: Text) -> tuple[str, str] | None:
    """Words before the middle, and those after it with the space between."""
    words = text.plain.split(" ")
    half = len(words) // 2
    if half < CLOZE_WORDS:
        return None
    return " ".join(words[max(0, half - CLOZE_CONTEXT_WORDS) : half]), " " + " ".join(words[half : half + CLOZE_WORDS])
