"""What one message weighs: its text in tokens, and the rest by what can be said of it.

Comes in: the raw JSON of one of `Ask.messages` (a message or item of any dialect, a system prompt, a list of tools, an input to
embed) and an encoding. Goes out: `Weight`, which no model's facts went into, so that it can be remembered for all of them.
Refuses what policy could read otherwise than the provider: repeated keys, deep nesting, broken JSON.
Does not know: models, media sizes, templates.
"""

import json
from json.encoder import encode_basestring_ascii
from typing import Any, NamedTuple, NoReturn

from jevons.core.limits import JSON_DEPTH_MAX
from jevons.core.refusal import Refusal, invalid
from jevons.meter.bpe import count_text


class Weight(NamedTuple):
    """Counts of one message; they add up over messages."""

    text: int = 0
    """Tokens of text that reaches the prompt as it stands."""
    structure: int = 0
    """Tokens of JSON that a provider renders in a way of its own (tool definitions and calls, schemas), written compactly."""
    structure_bound: int = 0
    """A bound for the same: UTF-8 bytes of that JSON in the most verbose of the customary renderings."""
    text_bytes: int = 0
    parts: int = 0
    """Content parts beyond the first of a message: a template may wrap each."""
    images: int = 0
    audios: int = 0
    files: int = 0
    inexact: int = 0
    """1 if the message is anything but role, name and one text."""
    tools: int = 0
    """1 if it defines tools."""
    hosted: int = 0
    """1 if one of them runs at the provider, which may read its results as input more than once."""


_TEXT = frozenset({"text", "input_text", "output_text", "summary_text", "reasoning_text"})
_IMAGE = frozenset({"image", "image_url", "input_image", "computer_screenshot", "image_generation_call"})
_AUDIO = frozenset({"audio", "input_audio", "audio_url"})
_FILE = frozenset({"file", "input_file", "document", "video", "video_url", "input_video", "item_reference", "container_upload"})
_HOSTED = (
    "web_search", "web_fetch", "code_execution", "code_interpreter", "file_search", "mcp", "image_generation", "tool_search",
    "advisor",
)  # fmt: skip
_SILENT = frozenset({"cache_control", "annotations", "logprobs", "citations"})
"""Members that do not reach the prompt (an empty or null one), or only repeat it."""


def weigh(raw: bytes, encoding: str) -> Weight:
    """Weight of one message. Text costs about 40 us per KB.

    Raises Refusal (400) for JSON that is broken, nested deeper than JSON_DEPTH_MAX, or has a key twice in one object.
    """
    scale = _Scale(encoding)
    scale.message(_decode(raw))
    return scale.weight()


def _decode(raw: bytes) -> Any:
    try:
        value = _decode_json(raw.decode())
    except RecursionError:
        raise _too_deep() from None
    except UnicodeDecodeError:
        raise invalid("a message is not UTF-8") from None
    except ValueError as error:
        raise invalid(f"a message is not JSON: {error}") from None
    if raw.count(b"[") + raw.count(b"{") > JSON_DEPTH_MAX:
        _check_depth(value)
    return value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise invalid(f"a message has {twice!r} twice in one object; send it once", param=twice, code="duplicate_field")
    return found


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


_decode_json = json.JSONDecoder(object_pairs_hook=_once, parse_constant=_no_constant).decode


def _check_depth(value: Any) -> None:
    level = [value]
    for _ in range(JSON_DEPTH_MAX):
        children = [child for node in level for child in (node.values() if isinstance(node, dict) else node)]
        level = [child for child in children if isinstance(child, dict | list)]
        if not level:
            return
    raise _too_deep()


def _too_deep() -> Refusal:
    return invalid(f"a message is nested more than {JSON_DEPTH_MAX} levels deep; flatten it", code="nesting_too_deep")


class _Scale:
    """Adds up one message."""

    def __init__(self, encoding: str) -> None:
        self.encoding = encoding
        self.texts: list[str] = []
        self.extra = 0
        self.structure = self.structure_bound = 0
        self.parts = self.images = self.audios = self.files = self.inexact = self.tools = self.hosted = 0

    def weight(self) -> Weight:
        tokens = sum(count_text(text, self.encoding) for text in self.texts)
        if len(self.texts) > 1:
            # A provider may join the parts, and a joint can cost a token more or less.
            tokens = max(tokens, count_text("".join(self.texts), self.encoding)) + len(self.texts)
        size = sum(len(text) if text.isascii() else len(text.encode("utf-8", "replace")) for text in self.texts)
        return Weight(
            tokens + self.extra, self.structure, self.structure_bound, size, self.parts,
            self.images, self.audios, self.files, self.inexact, self.tools, self.hosted,
        )  # fmt: skip

    def message(self, value: Any) -> None:
        """Anything that may stand in `Ask.messages`."""
        if isinstance(value, str):
            self.texts.append(value)
        elif isinstance(value, list):
            self.listed(value)
        elif isinstance(value, dict):
            if "role" in value:
                self.turn(value)
            else:
                self.inexact = 1
                self.part(value)
        elif isinstance(value, int):
            self.extra += 1  # an input to embed, given as token ids
        elif value is not None:
            self.plain(value)

    def listed(self, values: list[Any]) -> None:
        """System blocks, tools, or inputs to embed (texts, token ids, lists of token ids)."""
        if values and all(isinstance(item, int) for item in values):
            self.extra += len(values)
        elif values and all(isinstance(item, str) for item in values):
            self.extra += sum(count_text(item, self.encoding) for item in values)  # embedded one by one, never joined
        elif values and all(isinstance(item, list) for item in values):
            for item in values:
                self.listed(item)
        elif all(isinstance(item, dict) and item.get("type") in _TEXT for item in values):
            self.content(values)
        else:
            self.inexact = self.tools = 1
            self.hosted = int(any(_is_hosted(tool) for tool in values))
            self.plain(values)

    def turn(self, message: dict[str, Any]) -> None:
        for name, value in message.items():
            if name == "content":
                self.content(value)
            elif name == "role" and isinstance(value, str):
                self.extra += count_text(value, self.encoding)
            elif name == "name" and isinstance(value, str):
                self.extra += count_text(value, self.encoding) + 1
            elif value is None or name in _SILENT or (name == "type" and value == "message"):
                continue
            elif name in ("reasoning_content", "reasoning", "refusal") and isinstance(value, str):
                self.inexact = 1
                self.texts.append(value)
            else:
                self.inexact = 1
                if name == "audio":  # {"id": …}: an earlier spoken answer, read again
                    self.audios += 1
                self.plain(value)

    def content(self, content: Any) -> None:
        if content is None:
            return
        if isinstance(content, str):
            self.texts.append(content)
            return
        parts = content if isinstance(content, list) else [content]
        self.parts += max(0, len(parts) - 1)
        self.inexact |= int(len(parts) > 1)
        for part in parts:
            if isinstance(part, str):
                self.texts.append(part)
            elif isinstance(part, dict):
                self.part(part)
            elif part is not None:
                self.plain(part)

    def part(self, part: dict[str, Any]) -> None:
        """A content part, or a Responses item without a role."""
        kind = part.get("type")
        if kind in _TEXT and isinstance(part.get("text"), str):
            self.texts.append(part["text"])
            self.rest(part, "type", "text")
            return
        self.inexact = 1
        source = part.get("source")
        if kind in _IMAGE:
            self.images += 1
        elif kind in _AUDIO:
            self.audios += 1
        elif kind == "document" and isinstance(source, dict) and source.get("type") in ("text", "content"):
            self.content(source.get("data") or source.get("content"))
            self.rest(part, "type", "source")
        elif kind in _FILE:
            self.files += 1
        elif kind == "thinking" and isinstance(part.get("thinking"), str):
            self.texts.append(part["thinking"])
            self.rest(part, "type", "thinking")
        elif isinstance(part.get("content"), str | list):  # tool_result, search_result, …
            self.parts += 1
            self.content(part["content"])
            self.rest(part, "content")
        elif isinstance(part.get("output"), str | list):  # function_call_output
            self.parts += 1
            self.content(part["output"])
            self.rest(part, "output")
        elif isinstance(part.get("output"), dict):  # computer_call_output
            self.part(part["output"])
            self.rest(part, "output")
        else:
            self.tools |= int("tools" in part)  # Codex sends tools as an item
            self.plain(part)

    def rest(self, part: dict[str, Any], *done: str) -> None:
        """Members of a part that were not read: they may reach the prompt."""
        left = {k: v for k, v in part.items() if k not in done and k not in _SILENT and v is not None}
        if left:
            self.inexact = 1
            self.plain(left)

    def plain(self, value: Any) -> None:
        """JSON that a provider renders in a way of its own."""
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        self.inexact = 1
        self.structure += count_text(text, self.encoding)
        self.structure_bound += structure_bound(text)


def structure_bound(text: str) -> int:
    """Most tokens that compact JSON can become in a byte-level BPE, whichever customary rendering a template chooses.

    Renderings are taken to be: as it stands; with spaces after commas and colons; indented; with non-ASCII escaped; with quotes
    escaped (JSON inside JSON). All are covered by the text with quotes, backslashes and non-ASCII escaped, and two tokens more
    (newline, indent) for each bracket, brace and comma. That OpenAI's private rendering of a schema is no longer is an
    assumption: its published relative (harmony) writes each schema as a TypeScript type, which is shorter than the JSON.
    """
    signs = text.count(",") + text.count("{") + text.count("}") + text.count("[") + text.count("]")
    return len(encode_basestring_ascii(text)) + 2 * signs


def _is_hosted(tool: Any) -> bool:
    kind = tool.get("type") if isinstance(tool, dict) else None
    return isinstance(kind, str) and kind.startswith(_HOSTED)
