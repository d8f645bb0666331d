"""LiteLLM's spend logs (table LiteLLM_SpendLogs), exported as a JSON array, as JSON lines or as CSV, or answered by /spend/logs.

Comes in: a file. Goes out: one `Record` for each request. Of `metadata` only usage and names are decoded; `messages`, `response` and
`proxy_server_request`, which hold content where a proxy was told to store it, are passed over.

What is read (litellm schema.prisma; spend_tracking_utils.get_logging_payload; issues 11364, 15056, 36168, 40006; pull request 23342):
- `request_id` names the row. `spend` is what LiteLLM says it cost, in dollars.
- `metadata.usage_object` is the usage in OpenAI's form, with the cache in `prompt_tokens_details` or beside it;
  `metadata.additional_usage_values` has the cache in older versions. Without either, `prompt_tokens` and `completion_tokens` are all there is,
  and the cache is unknown.
- Of Anthropic's models `prompt_tokens` includes the cache in some versions and call types and excludes it in others. More cache than prompt
  means excluded; else `text_tokens` decides; where nothing decides, it is taken as included and marked unknown.
- `cache_hit` is LiteLLM's own answer cache: no model was called.

Does not know: prices, the ledger.
"""

from collections.abc import Iterator
from decimal import Decimal

import msgspec

from jevons.core.entry import Outcome
from jevons.core.usage import Usage
from jevons.imports.fields import at_ms, count, nusd
from jevons.imports.reading import SourceFile
from jevons.imports.record import BadRow, Record, Row
from jevons.meter.usage import chat_usage, flavour_of, unusable

SOURCE = "litellm"
_HASH_SHOWN = 12
"""Characters of a key's hash by which it is told from others; no key can be found by them."""


class _Metadata(msgspec.Struct, gc=False):
    user_api_key_alias: str | None = None
    user_api_key_team_alias: str | None = None
    status: str | None = None
    usage_object: msgspec.Raw = msgspec.Raw()
    additional_usage_values: msgspec.Raw = msgspec.Raw()


class _Spend(msgspec.Struct, gc=False):
    request_id: str | None = None
    startTime: str | int | float | None = None
    call_type: str | None = None
    api_key: str | None = None
    spend: Decimal | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    model: str | None = None
    model_group: str | None = None
    custom_llm_provider: str | None = None
    metadata: msgspec.Raw = msgspec.Raw()
    cache_hit: str | bool | None = None
    team_id: str | None = None
    organization_id: str | None = None
    agent_id: str | None = None
    session_id: str | None = None
    status: str | None = None


class _Split(msgspec.Struct, gc=False):
    ephemeral_1h_input_tokens: int | None = None


class _Details(msgspec.Struct, gc=False):
    cached_tokens: int | None = None
    cache_creation_tokens: int | None = None
    cache_write_tokens: int | None = None
    cache_creation_token_details: _Split | None = None
    text_tokens: int | None = None


class _Cache(msgspec.Struct, gc=False):
    """The cache as it is told beside the prompt."""

    cache_read_input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    cache_creation: _Split | None = None
    prompt_tokens_details: _Details | None = None


_decode = msgspec.json.Decoder(_Spend, strict=False).decode
_decode_metadata = msgspec.json.Decoder(_Metadata).decode
_decode_text = msgspec.json.Decoder(str).decode
_decode_cache = msgspec.json.Decoder(_Cache, strict=False).decode
_encode = msgspec.json.Encoder().encode
_COLUMNS = _Spend.__struct_fields__
_NO_METADATA, _NO_DETAILS = _Metadata(), _Details()


def read(file: SourceFile, start: int = 0, line: int = 0) -> Iterator[Row]:
    """Requests in the order of the file, where it has lines from an offset on."""
    if file.is_json:
        for piece in file.values(start, line):
            yield _row(piece.line, piece.offset, piece.data, piece.problem)
        return
    for cells in file.table(_COLUMNS, required=("request_id", "startTime", "model")):
        yield _row(cells.line, cells.offset, b"" if cells.problem else _encode(cells.cells), cells.problem)


def _row(line: int, offset: int, data: bytes, problem: str) -> Row:
    if problem:
        return Row(line, offset, problem=problem)
    try:
        return Row(line, offset, (_record(_decode(data)),))
    except BadRow as bad:
        return Row(line, offset, problem=str(bad))
    except msgspec.ValidationError as error:
        return Row(line, offset, problem=f"it is no row of a spend log: {error}")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Row(line, offset, problem="it is no JSON")


def _record(row: _Spend) -> Record:
    if not row.request_id:
        raise BadRow("request_id is missing")
    metadata = _metadata(row.metadata)
    provider = row.custom_llm_provider or None
    model = row.model or row.model_group or row.call_type or ""
    if not model:
        raise BadRow("model is missing")
    usage, unknown = _usage(row, metadata)
    outcome = Outcome.ERROR if "failure" in (row.status, metadata.status) else Outcome.OK
    billed = nusd(row.spend, "spend")
    if str(row.cache_hit).lower() == "true":
        usage, unknown, outcome, billed = Usage(), (), Outcome.FREE, 0
    return Record(
        identity=row.request_id,
        at_ms=at_ms(row.startTime, "startTime"),
        model=model.removeprefix(f"{provider}/") if provider else model,
        asked=row.model_group or "",
        provider=provider,
        usage=usage,
        account=metadata.user_api_key_alias or (row.api_key or "")[:_HASH_SHOWN],
        team=metadata.user_api_key_team_alias or row.team_id or "",
        org=row.organization_id or "",
        agent=row.agent_id or "",
        run=row.session_id or None,
        billed_nusd=billed,
        outcome=outcome,
        unknown=unknown,
    )


def _metadata(raw: msgspec.Raw) -> _Metadata:
    """An object, or one written as a text, as CSV and some JSON exports have it."""
    if not raw:
        return _NO_METADATA
    try:
        return _decode_metadata(_decode_text(raw) if bytes(raw).startswith(b'"') else raw)
    except msgspec.MsgspecError:
        return _NO_METADATA


def _usage(row: _Spend, metadata: _Metadata) -> tuple[Usage, tuple[str, ...]]:
    """What was used, and what of it is unknown."""
    prompt, output = count(row.prompt_tokens, "prompt_tokens"), count(row.completion_tokens, "completion_tokens")
    cache = _cache(metadata.usage_object) or _cache(metadata.additional_usage_values)
    if cache is None:
        return Usage(input=prompt, output=output), ("cache",) if prompt else ()
    details = cache.prompt_tokens_details or _NO_DETAILS
    read = count(cache.cache_read_input_tokens or details.cached_tokens, "cached tokens")
    written = count(
        cache.cache_creation_input_tokens or details.cache_creation_tokens or details.cache_write_tokens, "written tokens"
    )
    told = _object(row, metadata)
    apart = _apart(row, prompt, read + written, details.text_tokens)
    split = cache.cache_creation or details.cache_creation_token_details
    long = min(written, (split and split.ephemeral_1h_input_tokens) or 0)
    if apart is False and not long and told is not None and (told.input_total, told.cache_read) == (prompt, read):
        return told, ()
    fresh = prompt if apart else prompt - read - written
    made, reasoning = (told.output, told.reasoning) if told is not None else (output, 0)
    return Usage(fresh, read, written - long, long, made, reasoning), ("cache",) if apart is None else ()


def _apart(row: _Spend, prompt: int, cached: int, text: int | None) -> bool | None:
    """Is the cache counted beside the prompt? None = the row does not say; it is taken as included then."""
    if cached > prompt:
        return True
    if not cached or not ("claude" in (row.model or "").lower() or row.custom_llm_provider == "anthropic"):
        return False
    return {prompt: True, prompt - cached: False}.get(-1 if text is None else text)


def _object(row: _Spend, metadata: _Metadata) -> Usage | None:
    """`usage_object` as any answer of that provider is read."""
    if not metadata.usage_object:
        return None
    usage, problems = chat_usage(metadata.usage_object, flavour_of(row.custom_llm_provider or ""))
    return None if unusable(problems) else usage


def _cache(raw: msgspec.Raw) -> _Cache | None:
    if not raw:
        return None
    try:
        return _decode_cache(raw)
    except msgspec.MsgspecError:
        return None
