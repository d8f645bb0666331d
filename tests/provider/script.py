"""What one answer of the stand-in shall be: a script, sent along with the request or queued before it.

In: the text after `@@` in the last user message (`@@{"reply": "hello", "fault": "reset_mid_stream"}`; other text may stand around
it), the header `x-stand-in-script` (which no model takes for text), or the body of `POST /_script` (one object or a list), which is used
up first, in order. Out: a `Script`. A script that does not parse is answered with 400 and the reason: a test must not pass because of a
typing error.

In an agent's loop the script stands in the history at every turn: `then` is the script after one assistant turn, `then.then`
after two. Without `then`, the turn after a tool call echoes the tools' results.
"""

import json
from typing import Any, Literal

import msgspec

FAULTS = {
    # before the answer: nothing is billed unless `billed` says so
    "status": "an error of the provider: `status`, `retry_after`, `code`, `message`",
    "reset_before_headers": "TCP reset once the request was read",
    "hang_before_headers": "no answer for `hang_ms` (default: for ever), then a reset",
    "redirect": "307 to `location` (default: this server under another host name)",
    "early_response": "the error `status` before the body was read, then close; only from the queue, as it comes before the body",
    # in the answer: billed is what was generated till then
    "hang_mid_stream": "silence after `fault_at` frames (default: half of them) for `hang_ms` (default: for ever), then a reset",
    "reset_mid_stream": "TCP reset after `fault_at` frames",
    "eof_mid_stream": "connection closed after `fault_at` frames, without the end of the HTTP body",
    "clean_end_without_terminal": "HTTP body ends well after `fault_at` frames (default: all but usage and terminal event)",
    "error_event_after_200": "the dialect's error event after `fault_at` frames, then a clean end",
    "response_failed": "Responses: `response.failed` with `code` after `fault_at` frames",
    # around the answer: everything is billed
    "slow_loris": "head and body one byte at a time, `delay_ms` (at least 1) apart",
    "wrong_content_type": "text/html around a right body",
    "invalid_json": "200 with half a JSON document and a right length",
    "gzip_bomb": "`size_bytes` of spaces in a gzip body that nobody asked for",
    "answer_too_large": "a body of `size_bytes`",
    "keepalive_close": "the answer is complete and promises keep-alive, then the connection is closed",
    # how usage is reported
    "usage_absent": "no usage anywhere",
    "usage_twice": "the event with the final usage is sent twice",
    "usage_on_delta_chunk": "Chat: usage on the chunk with the finish reason instead of one of its own",
    "usage_unasked": "Chat: the usage chunk although the client did not ask",
    # how events are written
    "sse_malformed": "one event in the middle is broken JSON",
    "sse_malformed_joined": "the same, in one write with all that comes before it",
    "sse_huge_line": "one comment line of 10 MB in the middle (`size_bytes`)",
    "sse_huge_event": "one delta of 10 MB in the middle (`size_bytes`)",
    "sse_crlf": "lines end with CRLF",
    "sse_comments": "comment lines before every event",
    "sse_no_space": "no space after the colon of `data:`",
    "sse_split_utf8": "writes are cut inside multi-byte characters",
    "sse_split_bytes": "every event is cut into writes of 7 bytes",
    "sse_joined": "two events in one write",
    "sse_no_final_blank": "the blank line after the last event is missing",
}
"""Every fault by name."""

STREAM_FAULTS = frozenset(
    {name for name in FAULTS if name.startswith("sse_")}
    | {"error_event_after_200", "response_failed", "usage_twice", "usage_on_delta_chunk", "usage_unasked"}
    | {"clean_end_without_terminal"}
)
"""Faults that exist only in streamed answers."""

MARK = "@@"


class ScriptError(ValueError):
    """A script that does not say what can be done."""


class ToolScript(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One tool call to make; `raw` sends arguments verbatim, valid JSON or not."""

    name: str
    arguments: dict[str, Any] = {}
    raw: str | None = None


class Script(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One answer. Times in milliseconds, sizes in bytes, counts in tokens."""

    reply: str | None = None
    """The text. None: an echo, or `tokens_out` words."""
    tokens_out: int | None = None
    """Visible output tokens, whatever the text is."""
    reasoning: int = 0
    """Reasoning tokens, generated before the visible output and billed as output, per choice."""
    thinking: str | None = None
    """Text of a visible thinking block (Messages) or reasoning summary (Responses)."""
    tools: tuple[ToolScript, ...] = ()
    """Tool calls to make, in parallel; `reply` comes before them."""
    interleave: bool = False
    """Deltas of parallel tool calls take turns."""
    finish: str | None = None
    """Finish or stop reason, verbatim."""
    usage: dict[str, Any] | None = None
    """The usage object, verbatim; it is also what gets billed."""
    chunks: int = 4
    """Deltas per text, and steps in which hidden reasoning is made."""
    delay_ms: float = 0
    """Before each step."""
    first_delay_ms: float = 0
    """Before the head of the answer."""
    on_disconnect: Literal["stop", "finish"] | None = None
    """When the client leaves: stop and bill what was generated (default for streams), or finish unheard and bill all (others)."""
    ignore_cap: bool = False
    """Go over the output cap, with visible output or with reasoning."""
    input_tokens: int | None = None
    """What the whole prompt is billed as, whatever it says; nothing of it is cached."""
    hidden_system_tokens: int = 0
    """Input of the provider's own that no request shows, on top of the prompt."""
    hidden_tool_tokens: int = 0
    """The same for each tool that is offered."""
    image_tokens: int | None = None
    """What each image or file costs; None: as `prompt.py` says."""
    searches: int = 0
    """Web searches that are made and billed, asked for or not."""
    service_tier: str | None = None
    logprob: float = -0.125
    """Of every token of the text, where the request asks for log-probabilities (Chat)."""
    headers: dict[str, str] = {}
    """Extra headers of the answer."""
    marker: str | None = None
    """Copied to the journal."""
    fault: str | None = None
    fault_at: int | None = None
    fault_times: int | None = None
    """Only for the first so many requests with the same body or marker; then the answer is sound."""
    billed: Literal["nothing", "generated", "all"] | None = None
    """What a faulty answer costs; None: as the comments in FAULTS say."""
    status: int = 500
    retry_after: int | str | None = None
    code: str | None = None
    message: str | None = None
    hang_ms: float | None = None
    size_bytes: int | None = None
    location: str | None = None
    then: "Script | None" = None

    def __post_init__(self) -> None:
        if self.fault is not None and self.fault not in FAULTS:
            raise ValueError(f"unknown fault {self.fault!r}; there are: {', '.join(FAULTS)}")
        if self.chunks < 1:
            raise ValueError("chunks must be at least 1")


def parse_scripts(data: bytes) -> list[Script]:
    """Reads the body of `POST /_script`: one script or a list. Raises ScriptError."""
    try:
        found = msgspec.json.decode(data, type=list[Script] | Script)
    except (msgspec.DecodeError, ValueError) as error:
        raise ScriptError(f"bad script: {error}") from error
    return found if isinstance(found, list) else [found]


def script_in(text: str, mark: str = MARK) -> Script | None:
    """Finds the script in a user's text; None if there is none. Raises ScriptError."""
    start = text.find(mark + "{")
    if start < 0:
        return None
    try:
        found, _ = json.JSONDecoder().raw_decode(text, start + len(mark))
        return msgspec.convert(found, Script)
    except (ValueError, msgspec.ValidationError) as error:
        raise ScriptError(f"bad script: {error}") from error


def at_turn(script: Script, turns: int) -> Script:
    """The script after so many assistant turns; a plain one (echo) once `then` has run out."""
    current: Script | None = script
    for _ in range(turns):
        if current is None:
            break
        current = current.then
    return current or Script(marker=script.marker, chunks=script.chunks)
