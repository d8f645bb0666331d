"""A whole response told as the events that OpenAI streams: items, parts, texts and arguments, each begun, said and done.

Comes in: the response as an object. Goes out: its events, and the terminal one. Its last event says all of it again, so nothing is lost
to a client that reads only that. Does not know: other dialects.
"""

from collections.abc import Iterator
from typing import Any

import msgspec

from jevons.wire.sse import event

Json = dict[str, Any]

_PARTS = (("summary", "response.reasoning_summary_part", "summary_index"), ("content", "response.content_part", "content_index"))
"""(list of an item, what its parts are called in events, what their place is called)."""
_TEXTS = {
    "output_text": ("response.output_text", "text"),
    "refusal": ("response.refusal", "refusal"),
    "reasoning_text": ("response.reasoning_text", "text"),
    "summary_text": ("response.reasoning_summary_text", "text"),
}
"""Type of a part -> what its text is called in events, and the member of the part."""
_ARGUMENTS = {
    "function_call": ("response.function_call_arguments", "arguments"),
    "custom_tool_call": ("response.custom_tool_call_input", "input"),
}

_encode = msgspec.json.Encoder().encode


def tell_response(whole: Json) -> tuple[bytes, bytes]:
    """(events, the terminal event)."""
    told = [*_told(whole), (f"response.{whole.get('status', 'completed')}", {"response": whole})]
    written = [
        event(name, _encode({"type": name, "sequence_number": number, **members})) for number, (name, members) in enumerate(told)
    ]
    return b"".join(written[:-1]), written[-1]


def _told(whole: Json) -> Iterator[tuple[str, Json]]:
    begun = {**whole, "status": "in_progress", "output": [], "usage": None, "incomplete_details": None}
    if "completed_at" in begun:
        begun["completed_at"] = None
    yield "response.created", {"response": begun}
    yield "response.in_progress", {"response": begun}
    for index, item in enumerate(whole["output"]):
        yield from _item(index, item)


def _item(index: int, item: Json) -> Iterator[tuple[str, Json]]:
    texts, member = _ARGUMENTS.get(item.get("type", ""), ("", ""))
    shell = {**item, **{name: [] for name, _, _ in _PARTS if isinstance(item.get(name), list)}}
    if "status" in shell:
        shell["status"] = "in_progress"
    if texts:
        shell[member] = ""
    yield "response.output_item.added", {"output_index": index, "item": shell}
    at = {"item_id": item.get("id"), "output_index": index}
    if texts:
        yield f"{texts}.delta", {**at, "delta": item[member]}
        yield f"{texts}.done", {**at, member: item[member]}
    for stands_in, called, place in _PARTS:
        for number, part in enumerate(item.get(stands_in) or ()):
            yield from _part({**at, place: number}, called, part)
    yield "response.output_item.done", {"output_index": index, "item": item}


def _part(at: Json, called: str, part: Json) -> Iterator[tuple[str, Json]]:
    texts, member = _TEXTS.get(part.get("type", ""), ("", ""))
    logprobs: Json = {"logprobs": part.get("logprobs") or []} if part.get("type") == "output_text" else {}
    yield f"{called}.added", {**at, "part": {**part, member: ""} if texts else part}
    if texts:
        yield f"{texts}.delta", {**at, "delta": part[member], **logprobs}
        yield f"{texts}.done", {**at, member: part[member], **logprobs}
    yield f"{called}.done", {**at, "part": part}
