"""Claude Code's session logs: JSONL files under ~/.claude/projects, one for each session, and for each subagent in newer versions.

Comes in: a file. Goes out: one `Record` for each API call. Only usage, model, ids and times are decoded; text is passed over.

What is read (Claude Code 1.0 to 2.1; ccusage issues 888, 901, 985; tokscale 563; codeburn 201):
- A line of type assistant with `message.usage`. One call is several lines, one for each content block, with the same `message.id` and
  `requestId`, and `output_tokens` grows from line to line: a call counts once, with its largest usage, at its first line's time.
- Resumed and forked sessions begin with copies of earlier lines: the same ids, so the same identity, in whichever file.
- `requestId` is absent behind other vendors' gateways; then `message.id` alone names the call.
- Model `<synthetic>` is a message that Claude Code wrote itself.
- A subagent has an `agentId`; its run is a child of the session's.
- `costUSD` (before 1.0.9) is Claude Code's own sum, taken as what the source says.

Does not know: prices, the ledger.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import msgspec

from jevons.core.entry import Outcome
from jevons.core.limits import IMPORT_PENDING_CALLS
from jevons.imports.fields import at_ms, nusd
from jevons.imports.reading import SourceFile
from jevons.imports.record import BadRow, Record, Row
from jevons.meter.usage import Count, messages_usage, unusable

SOURCE = "claude-code"
SYNTHETIC = "<synthetic>"
_BEDROCK = re.compile(r"([a-z]+\.)?anthropic\.|arn:aws")
"""Models as Amazon Bedrock calls them, whose price list is another than the maker's."""


class _Facts(msgspec.Struct, gc=False):
    """What the price depends on. Counts are only looked at here: a live answer is read leniently, a log's row with a broken count is set aside."""

    service_tier: str | None = None
    speed: str | None = None
    input_tokens: Count = None
    output_tokens: Count = None
    cache_creation_input_tokens: Count = None
    cache_read_input_tokens: Count = None


class _Message(msgspec.Struct, gc=False):
    id: str | None = None
    model: str | None = None
    usage: msgspec.Raw = msgspec.Raw()


class _Line(msgspec.Struct, gc=False):
    type: str | None = None
    message: msgspec.Raw = msgspec.Raw()
    timestamp: str | None = None
    sessionId: str | None = None
    agentId: str | None = None
    requestId: str | None = None
    costUSD: float | None = None
    isApiErrorMessage: bool | None = None
    cwd: str | None = None


_decode_line = msgspec.json.Decoder(_Line).decode
_decode_message = msgspec.json.Decoder(_Message).decode
_decode_facts = msgspec.json.Decoder(_Facts).decode


def read(file: SourceFile, *, team_from_project: bool = False) -> Iterator[Row]:
    """Calls in the order of their first lines. A call is let go when many others have begun since, or the file ends."""
    pending: dict[str, Row] = {}
    for piece in file.lines():
        if piece.problem:
            yield Row(piece.line, piece.offset, problem=piece.problem)
            continue
        if b'"usage"' not in piece.data or b'"assistant"' not in piece.data:
            continue
        try:
            record = _record(piece.data, team_from_project)
        except BadRow as bad:
            yield Row(piece.line, piece.offset, problem=str(bad))
            continue
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            if piece.data.endswith(b"\n"):  # else it is being written
                yield Row(piece.line, piece.offset, problem="it is no JSON of a session log")
            continue
        if record is None:
            continue
        before = pending.get(record.identity)
        if before is not None:
            pending[record.identity] = before._replace(records=(_later(before.records[0], record),), offset=piece.offset)
            continue
        pending[record.identity] = Row(piece.line, piece.offset, (record,))
        if len(pending) > IMPORT_PENDING_CALLS:
            yield pending.pop(next(iter(pending)))
    yield from pending.values()


def _record(data: bytes, team_from_project: bool) -> Record | None:
    line = _decode_line(data)
    if line.type != "assistant" or not line.message:
        return None
    message = _decode_message(line.message)
    if not message.usage or bytes(message.usage) == b"null" or message.model == SYNTHETIC or line.isApiErrorMessage:
        return None
    usage, problems = messages_usage(message.usage)
    try:
        facts = _decode_facts(message.usage)
    except msgspec.ValidationError:
        raise BadRow("its usage is none that can be counted") from None
    if unusable(problems):
        return None
    if not message.id or not message.model:
        raise BadRow("it has usage but no message.id or no model")
    context = tuple(
        (name, value)
        for name, value in (("service_tier", facts.service_tier), ("speed", facts.speed))
        if value and value != "standard"
    )
    session = line.sessionId or None
    return Record(
        identity=f"{message.id}:{line.requestId}" if line.requestId else message.id,
        at_ms=at_ms(line.timestamp, "timestamp"),
        model=message.model,
        provider="aws" if _BEDROCK.match(message.model) else None,
        usage=usage,
        team=Path(line.cwd).name if team_from_project and line.cwd else "",
        agent=SOURCE,
        run=line.agentId or session,
        parent_run=session if line.agentId else None,
        billed_nusd=nusd(repr(line.costUSD), "costUSD") if line.costUSD is not None else None,
        context=context,
        outcome=Outcome.OK,
    )


def _later(before: Record, line: Record) -> Record:
    """A call's record with the further line: its time stays, its usage is the larger."""
    assert before.usage is not None and line.usage is not None
    usage = line.usage if line.usage.output >= before.usage.output else before.usage
    return msgspec.structs.replace(before, usage=usage, context=line.context or before.context)
