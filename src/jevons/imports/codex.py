"""Codex' session logs: ~/.codex/sessions/YYYY/MM/DD/rollout-*.jsonl, and archived_sessions.

Comes in: a file. Goes out: one `Record` for each API call. Only ids, models, counts and times are decoded; text is passed over.

What is read (Codex 0.40 to 0.169; ccusage issues 897, 1175, 1349, 1371; agentsview 657; cc-switch 4982, 5435; PokeTokenBar 137):
- `session_meta` names the thread (`payload.id`), what it was forked from (`forked_from_id`) and, of a subagent, who started it
  (`source.subagent.thread_spawn.parent_thread_id`). `turn_context` names the model.
- An `event_msg` of type `token_count` comes after each call: `info.total_token_usage` is the sum so far, `info.last_token_usage` the call's own.
  The same totals again are no call. Where the last is missing it is the difference of the totals.
- `input_tokens` includes `cached_input_tokens` and `cache_write_input_tokens`; `output_tokens` includes `reasoning_output_tokens`.
- A fork begins with a copy of its parent's lines, stamped with the time of the fork. They come after the parent's own `session_meta`, and end
  with the first turn whose id (a UUID of version 7, which holds its time) is not older than the fork. Copies are not counted. Where turns have no
  such id, copies get the parent's identity, so that they count once.

Does not know: prices, the ledger.
"""

import re
from collections.abc import Iterator
from typing import Any

import msgspec

from jevons.imports.fields import at_ms, count, split_input
from jevons.imports.reading import SourceFile
from jevons.imports.record import UNTOLD, BadRow, Record, Row

SOURCE = "codex"
_UUID7 = re.compile(r"([0-9a-f]{8})-([0-9a-f]{4})-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
_WANTED = (b'"token_count"', b'"session_meta"', b'"turn_context"', b'"thread_settings_applied"')
_TIERS = ("flex", "priority")


class _Tokens(msgspec.Struct, frozen=True):
    input_tokens: int = 0
    cached_input_tokens: int = 0
    cache_write_input_tokens: int = 0
    output_tokens: int = 0
    reasoning_output_tokens: int = 0


class _Info(msgspec.Struct):
    total_token_usage: _Tokens | None = None
    last_token_usage: _Tokens | None = None


class _Settings(msgspec.Struct):
    model: str | None = None
    service_tier: str | None = None


class _Payload(msgspec.Struct):
    type: str | None = None
    id: str | None = None
    timestamp: str | None = None
    forked_from_id: str | None = None
    source: Any = None
    model_provider: str | None = None
    turn_id: str | None = None
    model: str | None = None
    info: _Info | None = None
    thread_settings: _Settings | None = None


class _Line(msgspec.Struct):
    type: str | None = None
    timestamp: str | None = None
    payload: _Payload | None = None


_decode = msgspec.json.Decoder(_Line).decode


def read(file: SourceFile) -> Iterator[Row]:
    """Calls in the order in which they ended."""
    thread = _Thread(file.path.stem)
    for piece in file.lines():
        if piece.problem:
            yield Row(piece.line, piece.offset, problem=piece.problem)
            continue
        if not any(word in piece.data for word in _WANTED):
            continue
        try:
            record = thread.follow(_decode(piece.data))
        except BadRow as bad:
            yield Row(piece.line, piece.offset, problem=str(bad))
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            if piece.data.endswith(b"\n"):  # else it is being written
                yield Row(piece.line, piece.offset, problem="it is no JSON of a session log")
        else:
            if record is not None:
                yield Row(piece.line, piece.offset, (record,))


class _Thread:
    """What the lines so far say."""

    def __init__(self, name: str) -> None:
        self._id = name
        self._named = False
        self._parent: str | None = None
        self._born_ms = 0
        self._owner = name
        """Whose lines these are: the thread's own, or one's that it copies."""
        self._copied = False
        """Its lines are known to be copies."""
        self._provider: str | None = None
        self._model = UNTOLD
        self._tier = ""
        self._total: _Tokens | None = None

    def follow(self, line: _Line) -> Record | None:
        payload = line.payload
        if payload is None:
            return None
        if line.type == "session_meta":
            self._begin(payload)
        elif line.type == "turn_context":
            self._turn(payload)
        elif line.type == "event_msg" and payload.type == "thread_settings_applied" and payload.thread_settings:
            self._model = payload.thread_settings.model or self._model
            self._tier = payload.thread_settings.service_tier or ""
        elif line.type == "event_msg" and payload.type == "token_count" and payload.info is not None:
            return self._call(payload.info, line.timestamp)
        return None

    def _begin(self, meta: _Payload) -> None:
        self._provider = meta.model_provider or self._provider
        if self._named:
            self._owner = meta.id or self._owner
            self._copied = False
            return
        self._named = True
        self._id = self._owner = meta.id or self._id
        self._parent = meta.forked_from_id or _spawned_by(meta.source)
        self._born_ms = _uuid7_ms(self._id) or (at_ms(meta.timestamp, "timestamp") if meta.timestamp else 0)

    def _turn(self, turn: _Payload) -> None:
        self._model = turn.model or self._model
        if self._owner != self._id and (begun_ms := _uuid7_ms(turn.turn_id or "")):
            self._copied = begun_ms < self._born_ms
            if not self._copied:
                self._owner = self._id

    def _call(self, info: _Info, timestamp: str | None) -> Record | None:
        total, before = info.total_token_usage, self._total
        if total is not None and total == before:
            return None
        self._total = total or before
        last = info.last_token_usage or (_difference(total, before) if total is not None else None)
        if last is None or self._copied or last == _Tokens():
            return None
        said = "/".join(
            str(number) for tokens in (total, last) if tokens is not None for number in msgspec.structs.astuple(tokens)
        )
        return Record(
            identity=f"{self._owner}:{said}" if total is not None else f"{self._owner}:{timestamp}:{said}",
            at_ms=at_ms(timestamp, "timestamp"),
            model=self._model,
            provider=self._provider,
            usage=split_input(
                count(last.input_tokens, "input_tokens"),
                count(last.cached_input_tokens, "cached_input_tokens"),
                count(last.cache_write_input_tokens, "cache_write_input_tokens"),
                count(last.output_tokens, "output_tokens"),
                count(last.reasoning_output_tokens, "reasoning_output_tokens"),
            ),
            agent=SOURCE,
            run=self._id,
            parent_run=self._parent,
            context=(("service_tier", self._tier),) if self._tier in _TIERS else (),
        )


def _difference(total: _Tokens, before: _Tokens | None) -> _Tokens:
    """What came since; all of it where the sum began anew."""
    if before is None:
        return total
    parts = [new - old for new, old in zip(msgspec.structs.astuple(total), msgspec.structs.astuple(before), strict=True)]
    return total if min(parts) < 0 else _Tokens(*parts)


def _spawned_by(source: Any) -> str | None:
    """The thread that started a subagent."""
    for name in ("subagent", "thread_spawn"):
        source = source.get(name) if isinstance(source, dict) else None
    parent = source.get("parent_thread_id") if isinstance(source, dict) else None
    return parent if isinstance(parent, str) else None


def _uuid7_ms(text: str) -> int:
    """When a UUID of version 7 was made, 0 if it is none."""
    match = _UUID7.fullmatch(text.lower())
    return int(match[1] + match[2], 16) if match else 0
