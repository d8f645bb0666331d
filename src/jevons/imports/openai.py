"""OpenAI's own accounts of usage and of costs: answers of /v1/organization/usage/… and /costs (JSON pages), and the dashboard's CSV exports.

Comes in: a file. Goes out: one `Record` for each bucket of time and group. Usage has tokens and no cost; costs have dollars and no tokens.

What is read (platform.openai.com/docs/api-reference/usage; headers of exports of 2025 and 2026):
- usage: `input_tokens` includes `input_cached_tokens` and, where they are told, `input_cache_write_tokens`. Audio came beside it; where
  `input_text_tokens` is told (text that is neither cached nor written, as are audio and images then) and shows that audio is within, it is.
- costs: `amount.value` in dollars (CSV: `amount_value`), `line_item` such as "gpt-4o-2024-08-06, cached input".
- A bucket is its time and its groups: exported again, it is the same row, perhaps with larger sums.

Does not know: prices, the ledger.
"""

from collections.abc import Iterator
from decimal import Decimal

import msgspec

from jevons.core.usage import Usage
from jevons.imports.buckets import rows_of
from jevons.imports.fields import Written, at_ms, count, nusd, split_input
from jevons.imports.reading import SourceFile, plain_name
from jevons.imports.record import UNTOLD, BadRow, Record, Row, content_identity


class _Amount(msgspec.Struct):
    value: Decimal | None = None
    currency: str | None = None


class _Result(msgspec.Struct):
    object: str | None = None
    input_tokens: int | None = None
    input_cached_tokens: int | None = None
    input_cache_write_tokens: int | None = None
    input_text_tokens: int | None = None
    input_audio_tokens: int | None = None
    input_image_tokens: int | None = None
    output_tokens: int | None = None
    output_text_tokens: int | None = None
    output_audio_tokens: int | None = None
    output_image_tokens: int | None = None
    num_model_requests: int | None = None
    project_id: str | None = None
    user_id: str | None = None
    api_key_id: str | None = None
    model: str | None = None
    batch: bool | None = None
    service_tier: str | None = None
    api_source: str | None = None
    amount: _Amount | None = None
    line_item: str | None = None


class _Bucket(msgspec.Struct):
    start_time: Written = None
    end_time: Written = None
    results: list[_Result] = []
    data: list[msgspec.Raw] | None = None
    """Of a page among pages: its buckets."""


class _Cells(_Result):
    start_time: Written = None
    end_time: Written = None
    amount_value: Decimal | None = None
    amount_currency: str | None = None


_decode_bucket = msgspec.json.Decoder(_Bucket, strict=False).decode
_decode_cells = msgspec.json.Decoder(_Cells, strict=False).decode
_encode = msgspec.json.Encoder().encode


def read(file: SourceFile) -> Iterator[Row]:
    """Buckets in the order of the file."""
    if file.is_json:
        yield from rows_of(
            file, "OpenAI's", _decode_bucket, lambda bucket, result: _records(bucket.start_time, bucket.end_time, result)
        )
        return
    costs = plain_name("amount_value") in plain_name(file.head.partition(b"\n")[0].decode("utf-8", "replace"))
    required = ("start_time", "amount_value") if costs else ("start_time", "input_tokens", "output_tokens")
    for cells in file.table(_Cells.__struct_fields__, required):
        if cells.problem:
            yield Row(cells.line, cells.offset, problem=cells.problem)
            continue
        try:
            row = _decode_cells(_encode(cells.cells))
            if row.amount_value is not None:
                row.amount = _Amount(row.amount_value, row.amount_currency)
            yield Row(cells.line, cells.offset, tuple(_records(row.start_time, row.end_time, row)))
        except BadRow as bad:
            yield Row(cells.line, cells.offset, problem=str(bad))
        except msgspec.ValidationError as error:
            yield Row(cells.line, cells.offset, problem=f"it is no row of an export of OpenAI: {error}")


def _records(start: Written, end: Written, result: _Result) -> Iterator[Record]:
    """None for a bucket in which nothing was."""
    start_ms = at_ms(start, "start_time")
    span_ms = max(0, at_ms(end, "end_time") - start_ms) if end is not None else 0
    groups = (result.project_id, result.user_id, result.api_key_id)
    if result.amount is not None:
        yield from _cost(start_ms, span_ms, result, result.amount)
        return
    if result.input_tokens is None and result.output_tokens is None:
        if result.num_model_requests or result.object:
            raise BadRow("it counts no tokens (images, speech, sessions); OpenAI's costs have it")
        return
    usage = _usage(result)
    requests = count(result.num_model_requests, "num_model_requests")
    if not requests and usage == Usage():
        return
    tier = (result.service_tier or "").lower()
    yield Record(
        identity=content_identity(
            start_ms, span_ms, result.object, *groups, result.model, result.batch, result.service_tier, result.api_source
        ),
        at_ms=start_ms,
        model=result.model or UNTOLD,
        provider="openai",
        usage=usage,
        requests=requests,
        span_ms=span_ms,
        account=result.api_key_id or result.user_id or "",
        team=result.project_id or "",
        context=(("processing", "batch"),) if result.batch else (("service_tier", tier),) if tier not in ("", "default") else (),
        unknown=() if result.num_model_requests is not None else ("requests",),
    )


def _usage(result: _Result) -> Usage:
    total, output = count(result.input_tokens, "input_tokens"), count(result.output_tokens, "output_tokens")
    heard, said = count(result.input_audio_tokens, "input_audio_tokens"), count(result.output_audio_tokens, "output_audio_tokens")
    read = count(result.input_cached_tokens, "input_cached_tokens")
    written = count(result.input_cache_write_tokens, "input_cache_write_tokens")
    shown = (result.input_text_tokens or 0) + heard + (result.input_image_tokens or 0)
    if result.input_text_tokens is not None and shown in (total, total - read - written):
        total -= heard
    if result.output_text_tokens is not None and result.output_text_tokens + said + (result.output_image_tokens or 0) == output:
        output -= said
    other = tuple((kind, n) for kind, n in (("input_audio", heard), ("output_audio", said)) if n)
    return split_input(total, read, written, output, 0, other)


def _cost(start_ms: int, span_ms: int, result: _Result, amount: _Amount) -> Iterator[Record]:
    billed = nusd(amount.value, "amount")
    if not billed:
        return
    if (amount.currency or "usd").lower() != "usd":
        raise BadRow("its currency is not the dollar, and the ledger is in dollars")
    item = result.line_item or ""
    yield Record(
        identity=content_identity(start_ms, span_ms, item, result.project_id, result.api_key_id),
        at_ms=start_ms,
        model=item.partition(",")[0].strip() or UNTOLD,
        asked=item,
        provider="openai",
        requests=0,
        span_ms=span_ms,
        account=result.api_key_id or "",
        team=result.project_id or "",
        billed_nusd=billed,
        unknown=("tokens", "requests"),
    )
