"""Anthropic's own accounts of usage and of costs: answers of /v1/organizations/usage_report/messages and cost_report (JSON pages), and the
Console's CSV exports.

Comes in: a file. Goes out: one `Record` for each bucket of time and group. Usage has tokens and no cost; costs have dollars and no tokens.

What is read (platform.claude.com/docs: usage and cost API; headers of the Console's exports of 2025 and 2026):
- usage: `uncached_input_tokens`, `cache_creation.ephemeral_5m_input_tokens` and `…_1h_…`, `cache_read_input_tokens`, `output_tokens`,
  `server_tool_use.web_search_requests`; the number of requests is not told. `context_window` says whether calls were above 200,000 tokens.
- cost_report: `amount` is in cents, as a decimal text ("123.45" is $1.2345).
- Console: `usage_input_tokens_no_cache`, …; costs as `cost_usd` and `list_price_usd`, by `token_type`, with models by their display names.

Does not know: prices, the ledger.
"""

import re
from collections.abc import Iterator
from decimal import Decimal

import msgspec

from jevons.core.usage import Usage
from jevons.imports.buckets import rows_of
from jevons.imports.fields import at_ms, count, nusd
from jevons.imports.reading import SourceFile, plain_name
from jevons.imports.record import UNTOLD, BadRow, Record, Row, content_identity
from jevons.ledger.rollup import DAY_MS

LONG_CONTEXT_TOKENS = 200_000
_CENTS = 100


class _Writes(msgspec.Struct):
    ephemeral_5m_input_tokens: int | None = None
    ephemeral_1h_input_tokens: int | None = None


class _Tools(msgspec.Struct):
    web_search_requests: int | None = None


class _Result(msgspec.Struct):
    uncached_input_tokens: int | None = None
    cache_creation: _Writes | None = None
    cache_read_input_tokens: int | None = None
    output_tokens: int | None = None
    server_tool_use: _Tools | None = None
    api_key_id: str | None = None
    account_id: str | None = None
    service_account_id: str | None = None
    workspace_id: str | None = None
    model: str | None = None
    service_tier: str | None = None
    context_window: str | None = None
    inference_geo: str | None = None
    speed: str | None = None
    amount: Decimal | None = None
    currency: str | None = None
    cost_type: str | None = None
    token_type: str | None = None
    description: str | None = None


class _Bucket(msgspec.Struct):
    starting_at: str | None = None
    ending_at: str | None = None
    results: list[_Result] = []
    data: list[msgspec.Raw] | None = None
    """Of a page among pages: its buckets."""


class _Cells(msgspec.Struct):
    """A row of the Console's exports."""

    usage_date_utc: str | None = None
    model_version: str | None = None
    model: str | None = None
    api_key: str | None = None
    workspace: str | None = None
    usage_type: str | None = None
    context_window: str | None = None
    usage_input_tokens_no_cache: int | None = None
    usage_input_tokens_cache_write_5m: int | None = None
    usage_input_tokens_cache_write_1h: int | None = None
    usage_input_tokens_cache_read: int | None = None
    usage_output_tokens: int | None = None
    web_search_count: int | None = None
    inference_geo: str | None = None
    speed: str | None = None
    token_type: str | None = None
    cost_usd: Decimal | None = None
    list_price_usd: Decimal | None = None
    cost_type: str | None = None


_decode_bucket = msgspec.json.Decoder(_Bucket, strict=False).decode
_decode_cells = msgspec.json.Decoder(_Cells, strict=False).decode
_encode = msgspec.json.Encoder().encode


def read(file: SourceFile) -> Iterator[Row]:
    """Buckets in the order of the file."""
    if file.is_json:
        yield from rows_of(file, "Anthropic's", _decode_bucket, _told)
        return
    costs = plain_name("cost_usd") in plain_name(file.head.partition(b"\n")[0].decode("utf-8", "replace"))
    required = (
        ("usage_date_utc", "model", "cost_usd")
        if costs
        else ("usage_date_utc", "model_version", "usage_input_tokens_no_cache", "usage_output_tokens")
    )
    for cells in file.table(_Cells.__struct_fields__, required):
        if cells.problem:
            yield Row(cells.line, cells.offset, problem=cells.problem)
            continue
        try:
            row = _decode_cells(_encode(cells.cells))
            yield Row(cells.line, cells.offset, tuple(_exported_cost(row) if row.cost_usd is not None else _exported_usage(row)))
        except BadRow as bad:
            yield Row(cells.line, cells.offset, problem=str(bad))
        except msgspec.ValidationError as error:
            yield Row(cells.line, cells.offset, problem=f"it is no row of an export of Anthropic's Console: {error}")


def _told(bucket: _Bucket, result: _Result) -> Iterator[Record]:
    start_ms = at_ms(bucket.starting_at, "starting_at")
    span_ms = max(0, at_ms(bucket.ending_at, "ending_at") - start_ms)
    return _cost(start_ms, span_ms, result) if result.amount is not None else _usage(start_ms, span_ms, result)


def _usage(start_ms: int, span_ms: int, result: _Result) -> Iterator[Record]:
    writes = result.cache_creation or _Writes()
    usage = Usage(
        count(result.uncached_input_tokens, "uncached_input_tokens"),
        count(result.cache_read_input_tokens, "cache_read_input_tokens"),
        count(writes.ephemeral_5m_input_tokens, "ephemeral_5m_input_tokens"),
        count(writes.ephemeral_1h_input_tokens, "ephemeral_1h_input_tokens"),
        count(result.output_tokens, "output_tokens"),
        other=_searches(result.server_tool_use.web_search_requests if result.server_tool_use else None),
    )
    groups = (result.workspace_id, result.api_key_id, result.model, result.service_tier, result.context_window)
    who = (result.account_id, result.service_account_id)
    identity = content_identity(start_ms, span_ms, *groups, result.inference_geo, result.speed, *who)
    yield from _bucket_of(identity, start_ms, span_ms, usage, result, result.service_tier)


def _exported_usage(row: _Cells) -> Iterator[Record]:
    usage = Usage(
        count(row.usage_input_tokens_no_cache, "usage_input_tokens_no_cache"),
        count(row.usage_input_tokens_cache_read, "usage_input_tokens_cache_read"),
        count(row.usage_input_tokens_cache_write_5m, "usage_input_tokens_cache_write_5m"),
        count(row.usage_input_tokens_cache_write_1h, "usage_input_tokens_cache_write_1h"),
        count(row.usage_output_tokens, "usage_output_tokens"),
        other=_searches(row.web_search_count),
    )
    start_ms = at_ms(row.usage_date_utc, "usage_date_utc")
    groups = (row.workspace, row.api_key, row.model_version, row.usage_type, row.context_window, row.inference_geo, row.speed)
    result = _Result(
        model=row.model_version,
        workspace_id=row.workspace,
        api_key_id=row.api_key,
        context_window=row.context_window,
        speed=row.speed,
    )
    yield from _bucket_of(content_identity(start_ms, DAY_MS, *groups), start_ms, DAY_MS, usage, result, row.usage_type)


def _bucket_of(
    identity: str, start_ms: int, span_ms: int, usage: Usage, result: _Result, service_tier: str | None
) -> Iterator[Record]:
    if usage == Usage():
        return
    tier = service_tier if service_tier not in (None, "standard", "message") else ""
    yield Record(
        identity=identity,
        at_ms=start_ms,
        model=result.model or UNTOLD,
        provider="anthropic",
        usage=usage,
        requests=0,
        span_ms=span_ms,
        size=_size(result.context_window),
        account=result.api_key_id or result.account_id or result.service_account_id or "",
        team=result.workspace_id or "",
        context=tuple((name, value) for name, value in (("service_tier", tier), ("speed", result.speed)) if value),
        unknown=("requests",),
    )


def _cost(start_ms: int, span_ms: int, result: _Result) -> Iterator[Record]:
    billed = nusd(result.amount, "amount", per_usd=_CENTS)
    if not billed:
        return
    if (result.currency or "USD").upper() != "USD":
        raise BadRow("its currency is not the dollar, and the ledger is in dollars")
    groups = (result.workspace_id, result.model, result.description, result.cost_type, result.token_type, result.service_tier)
    yield Record(
        identity=content_identity(start_ms, span_ms, *groups, result.context_window, result.inference_geo),
        at_ms=start_ms,
        model=result.model or result.description or result.cost_type or UNTOLD,
        asked=result.description or "",
        provider="anthropic",
        requests=0,
        span_ms=span_ms,
        team=result.workspace_id or "",
        billed_nusd=billed,
        unknown=("tokens", "requests"),
    )


def _exported_cost(row: _Cells) -> Iterator[Record]:
    billed, listed = nusd(row.cost_usd, "cost_usd"), nusd(row.list_price_usd, "list_price_usd")
    if not billed and not listed:
        return
    start_ms = at_ms(row.usage_date_utc, "usage_date_utc")
    groups = (row.workspace, row.api_key, row.model, row.usage_type, row.context_window, row.token_type, row.cost_type)
    yield Record(
        identity=content_identity(start_ms, *groups, row.inference_geo, row.speed),
        at_ms=start_ms,
        model=_model_id(row.model or row.cost_type or UNTOLD),
        asked=row.model or "",
        provider="anthropic",
        requests=0,
        span_ms=DAY_MS,
        account=row.api_key or "",
        team=row.workspace or "",
        billed_nusd=billed,
        list_nusd=listed,
        unknown=("tokens", "requests"),
    )


def _searches(number: int | None) -> tuple[tuple[str, int], ...]:
    return (("web_searches", count(number, "web searches")),) if number else ()


def _size(window: str | None) -> int | None:
    """Of one call, as far as the tiers go: "0-200k" and "≤ 200k", "200k-1M" and "> 200k"."""
    if not window or "200k" not in window.lower():
        return None
    return LONG_CONTEXT_TOKENS + 1 if window.lower().lstrip().startswith(("200k", ">")) else LONG_CONTEXT_TOKENS


def _model_id(name: str) -> str:
    """ "Claude Opus 4.6" -> "claude-opus-4-6"."""
    return re.sub(r"[ .]+", "-", name.strip().lower())
