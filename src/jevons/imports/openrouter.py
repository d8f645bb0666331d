"""OpenRouter's activity: the export of single generations, the export by day and model (both CSV), and the answer of /api/v1/activity (JSON).

Comes in: a file. Goes out: one `Record` for each generation, or for each day, model and endpoint.

What is read (openrouter.ai/docs: activity export, ActivityItem; the header of exports of 2026):
- generations: `generation_id, created_at, cost_total, byok_usage_inference, tokens_prompt, tokens_completion, tokens_reasoning, tokens_cached,
  model_permaslug, cancelled, api_key_name, app_name, …`. Reasoning is a part of completion, cached a part of prompt.
- by day: `Date, Slug, Usage, BYOK Usage, Requests, Prompt Tokens, Completion Tokens, Reasoning Tokens`; the API's has `model_permaslug`,
  `endpoint_id`, `provider_name`. The cache is not told.
- What a call cost is OpenRouter's credits plus what a key of your own was charged by its provider.

Does not know: prices, the ledger.
"""

from collections.abc import Iterator
from decimal import Decimal

import msgspec

from jevons.core.entry import Outcome
from jevons.imports.fields import at_ms, count, nusd, split_input
from jevons.imports.reading import SourceFile, Unreadable, plain_name
from jevons.imports.record import BadRow, Record, Row, content_identity
from jevons.ledger.rollup import DAY_MS

SOURCE = "openrouter"


class _Generation(msgspec.Struct, gc=False):
    generation_id: str | None = None
    created_at: str | None = None
    cost_total: Decimal | None = None
    byok_usage_inference: Decimal | None = None
    tokens_prompt: int | None = None
    tokens_completion: int | None = None
    tokens_reasoning: int | None = None
    tokens_cached: int | None = None
    model_permaslug: str | None = None
    cancelled: str | bool | None = None
    api_key_name: str | None = None
    app_name: str | None = None
    user: str | None = None


class _Day(msgspec.Struct, gc=False):
    date: str | None = None
    slug: str | None = None
    model: str | None = None
    model_permaslug: str | None = None
    endpoint_id: str | None = None
    provider_name: str | None = None
    usage: Decimal | None = None
    byok_usage: Decimal | None = None
    byok_usage_inference: Decimal | None = None
    requests: int | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    reasoning_tokens: int | None = None


_decode_generation = msgspec.json.Decoder(_Generation, strict=False).decode
_decode_day = msgspec.json.Decoder(_Day, strict=False).decode
_encode = msgspec.json.Encoder().encode


def read(file: SourceFile) -> Iterator[Row]:
    """Rows in the order of the file."""
    if file.is_json:
        for piece in file.values():
            yield _row(piece.line, piece.offset, piece.data, piece.problem, single=False)
        return
    header = plain_name(file.head.partition(b"\n")[0].decode("utf-8", "replace"))
    single = plain_name("generation_id") in header
    if not single and not all(name in header for name in ("date", "requests")):
        raise Unreadable(
            f"{file.path} is no export of OpenRouter's activity: it has neither generation_id nor Date and Requests."
        )
    columns = (_Generation if single else _Day).__struct_fields__
    required = ("generation_id", "created_at", "model_permaslug") if single else ("date", "requests", "prompt_tokens")
    for cells in file.table(columns, required):
        yield _row(cells.line, cells.offset, _encode(cells.cells), cells.problem, single=single)


def _row(line: int, offset: int, data: bytes, problem: str, *, single: bool) -> Row:
    if problem:
        return Row(line, offset, problem=problem)
    try:
        return Row(line, offset, (_generation(_decode_generation(data)) if single else _day(_decode_day(data)),))
    except BadRow as bad:
        return Row(line, offset, problem=str(bad))
    except msgspec.ValidationError as error:
        return Row(line, offset, problem=f"it is no row of OpenRouter's activity: {error}")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Row(line, offset, problem="it is no JSON")


def _generation(row: _Generation) -> Record:
    if not row.generation_id or not row.model_permaslug:
        raise BadRow("generation_id or model_permaslug is missing")
    return Record(
        identity=row.generation_id,
        at_ms=at_ms(row.created_at, "created_at"),
        model=row.model_permaslug,
        provider=SOURCE,
        usage=split_input(
            count(row.tokens_prompt, "tokens_prompt"),
            count(row.tokens_cached, "tokens_cached"),
            0,
            count(row.tokens_completion, "tokens_completion"),
            count(row.tokens_reasoning, "tokens_reasoning"),
        ),
        account=row.api_key_name or "",
        agent=row.app_name or "",
        billed_nusd=_sum(nusd(row.cost_total, "cost_total"), nusd(row.byok_usage_inference, "byok_usage_inference")),
        outcome=Outcome.CANCELLED if str(row.cancelled).lower() == "true" else Outcome.OK,
    )


def _day(row: _Day) -> Record:
    model = row.model_permaslug or row.slug or row.model
    if not model:
        raise BadRow("it names no model")
    start_ms = at_ms(row.date, "date")
    return Record(
        identity=content_identity(start_ms, model, row.endpoint_id, row.provider_name),
        at_ms=start_ms,
        model=model,
        provider=SOURCE,
        usage=split_input(
            count(row.prompt_tokens, "prompt_tokens"),
            0,
            0,
            count(row.completion_tokens, "completion_tokens"),
            count(row.reasoning_tokens, "reasoning_tokens"),
        ),
        requests=count(row.requests, "requests"),
        span_ms=DAY_MS,
        billed_nusd=_sum(
            nusd(row.usage, "usage"),
            nusd(row.byok_usage if row.byok_usage is not None else row.byok_usage_inference, "byok_usage"),
        ),
        unknown=("cache",),
    )


def _sum(credits_nusd: int | None, own_nusd: int | None) -> int | None:
    return None if credits_nusd is None and own_nusd is None else (credits_nusd or 0) + (own_nusd or 0)
