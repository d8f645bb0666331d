"""Ends a Responses stream as cut for its length: parts, items and the response are closed in this order, each with all that it held.

Comes in: the events that the client was sent. Goes out: the events that OpenAI sends when `max_output_tokens` is reached.
An item that is an open tool call is left open and is not in the output: nobody shall run half a call.
"""

from typing import Any

import msgspec

from jevons.core.usage import Usage
from jevons.wire.sse import event
from jevons.wire.tool_calls import is_call_item

_TEXTS = {
    "output_text": ("content", "text"),
    "refusal": ("content", "refusal"),
    "reasoning_text": ("content", "text"),
    "reasoning_summary_text": ("summary", "text"),
}
"""What a text is called in events -> the list of the item that it stands in, its member of the part."""
_PARTS = {"content": "response.content_part", "summary": "response.reasoning_summary_part"}


class _Event(msgspec.Struct):
    type: str = ""
    sequence_number: int | None = None
    output_index: int = 0
    content_index: int = 0
    summary_index: int = 0
    item: dict[str, Any] | None = None
    part: dict[str, Any] | None = None
    delta: Any = None
    annotation: Any = None
    response: dict[str, Any] | None = None

    def place(self, stands_in: str) -> tuple[str, int]:
        """(list of the item, index) of the part that this event is about."""
        return stands_in, self.summary_index if stands_in == "summary" else self.content_index


_decode = msgspec.json.Decoder(_Event).decode


class _Part:
    """A part of an item, as far as it was told."""

    def __init__(self, kind: str, said: dict[str, Any]) -> None:
        self.kind = kind
        """What its text is called in events; "" if it has none."""
        self.said = said
        self.pieces: list[str] = []
        self.text_done = self.done = False

    @property
    def whole(self) -> dict[str, Any]:
        if not self.kind:
            return self.said
        member = _TEXTS[self.kind][1]
        return {**self.said, member: "".join([self.said.get(member) or "", *self.pieces])}


class _OpenItem:
    """An output item that is not done."""

    def __init__(self, head: dict[str, Any]) -> None:
        self.head = head
        self.parts: dict[tuple[str, int], _Part] = {}

    @property
    def is_call(self) -> bool:
        return is_call_item(str(self.head.get("type")))

    @property
    def whole(self) -> dict[str, Any]:
        lists: dict[str, list[dict[str, Any]]] = {}
        for (stands_in, _), part in sorted(self.parts.items(), key=lambda entry: entry[0]):
            lists.setdefault(stands_in, []).append(part.whole)
        return {**self.head, **lists, "status": "incomplete"}


class ResponsesEnding:
    """One stream."""

    def __init__(self, model: str, answer_id: str, created_s: int) -> None:
        self._begun = False
        self._response: dict[str, Any] = {
            "id": answer_id,
            "object": "response",
            "created_at": created_s,
            "status": "in_progress",
            "error": None,
            "incomplete_details": None,
            "instructions": None,
            "metadata": {},
            "model": model,
            "output": [],
            "parallel_tool_calls": True,
            "temperature": None,
            "tool_choice": "auto",
            "tools": [],
            "top_p": None,
            "usage": None,
        }
        self._number = -1
        self._open: dict[int, _OpenItem] = {}
        self._done: dict[int, dict[str, Any]] = {}

    def saw(self, name: str, data: bytes) -> None:
        said = _decode(data)
        self._number = max(self._number, said.sequence_number if said.sequence_number is not None else self._number + 1)
        kind = said.type or name
        if said.response is not None:
            self._begun, self._response = True, said.response
        elif said.item is not None and kind == "response.output_item.added":
            self._open[said.output_index] = _OpenItem(said.item)
        elif said.item is not None and kind == "response.output_item.done":
            self._open.pop(said.output_index, None)
            self._done[said.output_index] = said.item
        elif (item := self._open.get(said.output_index)) is not None:
            _saw_part(item, kind, said)

    def length(self, output_tokens: int, usage: Usage | None) -> tuple[bytes, bytes]:
        """`output_tokens` alone cannot be told: a response's usage is whole or null."""
        out = b"" if self._begun else self._event("response.created", response=self._response)
        for index, item in sorted(self._open.items()):
            if item.is_call:
                continue
            for (stands_in, place), part in sorted(item.parts.items(), key=lambda entry: entry[0]):
                out += self._close(item, index, stands_in, place, part)
            self._done[index] = item.whole
            out += self._event("response.output_item.done", output_index=index, item=item.whole)
        response = {
            **self._response,
            "status": "incomplete",
            "incomplete_details": {"reason": "max_output_tokens"},
            "output": [item for _, item in sorted(self._done.items())],
            "usage": None if usage is None else _usage(usage),
        }
        return out, self._event("response.incomplete", response=response)

    def _close(self, item: _OpenItem, index: int, stands_in: str, place: int, part: _Part) -> bytes:
        at = {"item_id": item.head.get("id"), "output_index": index, f"{stands_in}_index": place}
        out = b""
        if part.kind and not part.text_done:
            member = _TEXTS[part.kind][1]
            logprobs: dict[str, object] = {"logprobs": []} if part.kind == "output_text" else {}
            out += self._event(f"response.{part.kind}.done", **at, **{member: part.whole[member]}, **logprobs)
        if not part.done:
            out += self._event(f"{_PARTS[stands_in]}.done", **at, part=part.whole)
        return out

    def _event(self, kind: str, **members: object) -> bytes:
        self._number += 1
        return event(kind, msgspec.json.encode({"type": kind, "sequence_number": self._number, **members}))


def _saw_part(item: _OpenItem, kind: str, said: _Event) -> None:
    """An event about a part of an open item."""
    subject, _, verb = kind.removeprefix("response.").rpartition(".")
    if subject in _TEXTS:
        stands_in, member = _TEXTS[subject]
        empty = {"type": subject.removeprefix("reasoning_") if stands_in == "summary" else subject, member: ""}
        part = item.parts.setdefault(said.place(stands_in), _Part(subject, empty))
        if verb == "delta" and isinstance(said.delta, str):
            part.pieces.append(said.delta)
        part.text_done = part.text_done or verb == "done"
    elif subject == "output_text.annotation" and (annotated := item.parts.get(said.place("content"))) is not None:
        annotated.said.setdefault("annotations", []).append(said.annotation)
    else:
        for stands_in, event_name in _PARTS.items():
            if f"response.{subject}" == event_name and said.part is not None:
                _saw_border(item, said.place(stands_in), said.part, verb)


def _saw_border(item: _OpenItem, place: tuple[str, int], said: dict[str, Any], verb: str) -> None:
    """A part begins, or is done."""
    kind = str(said.get("type"))
    kind = "reasoning_summary_text" if kind == "summary_text" else kind
    part = item.parts.setdefault(place, _Part(kind if kind in _TEXTS else "", said))
    if verb == "done":
        part.said, part.pieces = said, []
        part.text_done = part.done = True


def _usage(usage: Usage) -> dict[str, object]:
    """A response's `usage`. All inputs count as input tokens."""
    written = usage.cache_write_5m + usage.cache_write_1h
    total = usage.input + usage.cache_read + written
    return {
        "input_tokens": total,
        "input_tokens_details": {"cached_tokens": usage.cache_read, "cache_write_tokens": written},
        "output_tokens": usage.output,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning},
        "total_tokens": total + usage.output,
    }
