"""Published traces and statistics of model traffic: Azure's and Mooncake's requests, OpenRouter's weekly sums.

Comes in: a file, and what it lacks: the model, the provider, the instant at which it begins. Goes out: one `Record` for each request or week.

- Azure LLM inference traces (AzurePublicDataset): CSV `TIMESTAMP, ContextTokens, GeneratedTokens`.
- Mooncake (kvcache-ai/Mooncake): JSON lines `timestamp` (milliseconds from the start), `input_length`, `output_length`. Its `hash_ids` say what a
  serving system could reuse, not what anybody was billed as cached.
- OpenRouter's weekly sums (johnbean393/openrouter-inference-stats): CSV by week and model, with the list prices of that week. A week stands at
  its last day. Free models may have totals without a split; these tokens are unknown.

Rows have no id: they are known by their content and their place among equal ones, and by what the operator added.

Does not know: prices other than those in the file, the ledger.
"""

import re
from collections.abc import Iterator
from typing import TypeVar

import msgspec

from jevons.core.usage import CACHE_READ, INPUT, OUTPUT, Usage
from jevons.imports.fields import at_ms, count, split_input
from jevons.imports.reading import Cells, SourceFile, Unreadable, plain_name
from jevons.imports.record import BadRow, Record, Row, content_identity
from jevons.ledger.rollup import DAY_MS

SOURCE = "trace"
_S = TypeVar("_S", bound=msgspec.Struct)
_DOLLARS = re.compile(r"\d{1,6}(\.\d{1,30})?(e-?\d)?", re.ASCII | re.IGNORECASE)


class Added(msgspec.Struct, frozen=True):
    """What the operator says of a trace."""

    model: str = ""
    provider: str | None = None
    start_ms: int | None = None


class _Azure(msgspec.Struct):
    TIMESTAMP: str
    ContextTokens: int
    GeneratedTokens: int


class _Mooncake(msgspec.Struct, gc=False):
    timestamp: int
    input_length: int
    output_length: int


class _Week(msgspec.Struct):
    week_ending: str
    model: str
    requests: int | None = None
    prompt_tokens: int | None = None
    cached_tokens: int | None = None
    completion_tokens: int | None = None
    reasoning_tokens: int | None = None
    total_tokens: int | None = None
    input_usd_per_mtok: str | None = None
    cached_input_usd_per_mtok: str | None = None
    output_usd_per_mtok: str | None = None
    is_free: str | None = None


_decode_mooncake = msgspec.json.Decoder(_Mooncake).decode


def read(file: SourceFile, added: Added) -> Iterator[Row]:
    """Requests or weeks in the order of the file. Raises Unreadable where something must be said that is not in it."""
    header = plain_name(file.head.partition(b"\n")[0].decode("utf-8", "replace"))
    if not file.is_json and header.startswith("weekending"):
        yield from _weeks(file)
        return
    if not added.model:
        raise Unreadable(f"{file.path} names no model: add --model NAME, and --provider NAME or --rate-card FILE for its price.")
    if file.is_json:
        if added.start_ms is None:
            raise Unreadable(f"{file.path} has no dates, only times from its start: add --start DAY.")
        yield from _mooncake(file, added, added.start_ms)
    else:
        yield from _azure(file, added)


def _azure(file: SourceFile, added: Added) -> Iterator[Row]:
    shift_ms: int | None = 0 if added.start_ms is None else None
    for cells in file.table(_Azure.__struct_fields__, required=_Azure.__struct_fields__):
        try:
            row = _converted(cells, _Azure)
            told_ms = at_ms(row.TIMESTAMP, "TIMESTAMP")
            if shift_ms is None:
                assert added.start_ms is not None
                shift_ms = added.start_ms - told_ms
            record = _request(added, told_ms + shift_ms, row.TIMESTAMP, row.ContextTokens, row.GeneratedTokens)
            yield Row(cells.line, cells.offset, (record,))
        except BadRow as bad:
            yield Row(cells.line, cells.offset, problem=str(bad))


def _mooncake(file: SourceFile, added: Added, start_ms: int) -> Iterator[Row]:
    for piece in file.values():
        if piece.problem:
            yield Row(piece.line, piece.offset, problem=piece.problem)
            continue
        try:
            row = _decode_mooncake(piece.data)
            record = _request(added, start_ms + max(0, row.timestamp), str(row.timestamp), row.input_length, row.output_length)
            yield Row(piece.line, piece.offset, (record,))
        except BadRow as bad:
            yield Row(piece.line, piece.offset, problem=str(bad))
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            yield Row(piece.line, piece.offset, problem="it is no request of a Mooncake trace")


def _request(added: Added, instant_ms: int, told: str, given: int, made: int) -> Record:
    return Record(
        identity=content_identity(added.model, added.provider, added.start_ms, told, given, made),
        at_ms=instant_ms,
        model=added.model,
        provider=added.provider,
        usage=Usage(input=count(given, "the input"), output=count(made, "the output")),
        unknown=("cache", "time") if added.start_ms is not None else ("cache",),
    )


def _weeks(file: SourceFile) -> Iterator[Row]:
    for cells in file.table(_Week.__struct_fields__, required=("week_ending", "model", "prompt_tokens", "completion_tokens")):
        try:
            yield Row(cells.line, cells.offset, (_week(_converted(cells, _Week)),))
        except BadRow as bad:
            yield Row(cells.line, cells.offset, problem=str(bad))


def _rate(usd: str) -> str:
    if _DOLLARS.fullmatch(usd) is None:
        raise BadRow("a price of it is not an amount")
    return usd


def _week(row: _Week) -> Record:
    split = row.prompt_tokens is not None and row.completion_tokens is not None
    free = row.is_free in ("1", "true")
    given = row.input_usd_per_mtok or ("0" if free else None)
    made = row.output_usd_per_mtok or ("0" if free else None)
    rates: tuple[tuple[str, str], ...] = ()
    if given is not None and made is not None:
        told = ((INPUT, given), (CACHE_READ, row.cached_input_usd_per_mtok or given), (OUTPUT, made))
        rates = tuple((kind, _rate(usd)) for kind, usd in told)
    return Record(
        identity=content_identity(row.week_ending, row.model),
        at_ms=at_ms(row.week_ending, "week_ending"),
        model=row.model,
        provider="openrouter",
        usage=split_input(
            count(row.prompt_tokens, "prompt_tokens"),
            count(row.cached_tokens, "cached_tokens"),
            0,
            count(row.completion_tokens, "completion_tokens"),
            min(count(row.reasoning_tokens, "reasoning_tokens"), count(row.completion_tokens, "completion_tokens")),
        )
        if split
        else None,
        requests=count(row.requests, "requests"),
        span_ms=DAY_MS,
        billed_nusd=None if split or not free else 0,
        rates=rates,
        unknown=(*(() if split else ("tokens",)), *(() if row.requests else ("requests",))),
    )


def _converted(cells: Cells, kind: type[_S]) -> _S:
    if cells.problem:
        raise BadRow(cells.problem)
    try:
        return msgspec.convert(cells.cells, kind, strict=False)
    except msgspec.ValidationError as error:
        raise BadRow(f"it is no row of this trace: {error}") from None
