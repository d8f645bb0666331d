"""Provider usage objects -> `core.usage.Usage`.

Comes in: the raw JSON of a `usage` member (Chat, Embeddings, Responses, Messages) and, where vendors differ, a flavour.
Goes out: disjoint token counts, and what was odd about the object. A 200 answer is paid for, so nothing here raises.
Does not know: prices, streams, whole answers.

Two ways lead to one arithmetic: a typed decode of a well-formed object (about 1.5 us), and, only if that fails, a lenient walk
that takes what can be read (nulls, "12", 12.0, negative counts) and names what it had to change.
Field sources: genai-prices' extractors (prices/providers/*.yml) and the openai 3.54 / anthropic 2.12 SDK types.
"""

import enum
from collections.abc import Callable
from typing import Annotated, Any, TypeVar, get_args, get_type_hints

import msgspec

from jevons.core.usage import Usage

Raw = bytes | msgspec.Raw
Problems = tuple[str, ...]
Count = Annotated[int, msgspec.Meta(ge=0, le=2**40)] | None
"""Bounded: a count beyond 2**40 (a trillion tokens) is noise, and would not fit a 64-bit ledger once priced."""

UNUSABLE = "no usable"
"""Start of the problem that says that the main counts could not be read: settle as a call without usage."""


class Flavour(enum.StrEnum):
    """Whose reading of the OpenAI usage object applies."""

    OPENAI = "openai"
    XAI = "x-ai"
    """Reasoning tokens come on top of `completion_tokens` (genai-prices x-ai.yml); `total_tokens` includes them."""
    GEMINI = "google"
    """Thinking may be missing from `completion_tokens` and from the details, but is in `total_tokens`."""
    PERPLEXITY = "perplexity"
    """Reasoning and citation tokens come on top, searches are counted (genai-prices perplexity.yml)."""


_FLAVOURS = {flavour.value: flavour for flavour in Flavour}


def flavour_of(provider: str) -> Flavour:
    """Flavour of a provider id as genai-prices spells it ("x-ai", "google", ...); everything else reads like OpenAI."""
    return _FLAVOURS.get(provider, Flavour.OPENAI)


def unusable(problems: Problems) -> bool:
    """True if the main counts were missing: the usage is then all zero and must not be taken as "free"."""
    return any(problem.startswith(UNUSABLE) for problem in problems)


class _CacheCreation(msgspec.Struct, gc=False):
    ephemeral_5m_input_tokens: Count = None
    ephemeral_1h_input_tokens: Count = None


class _WriteDetails(msgspec.Struct, gc=False):
    ttl_12h_tokens: Count = None


class _InputDetails(msgspec.Struct, gc=False):
    cached_tokens: Count = None
    cache_read_input_tokens: Count = None
    cache_write_tokens: Count = None
    cache_creation_input_tokens: Count = None
    cache_creation: _CacheCreation | None = None
    cache_write_tokens_details: _WriteDetails | None = None
    audio_tokens: Count = None
    image_tokens: Count = None
    video_tokens: Count = None


class _OutputDetails(msgspec.Struct, gc=False):
    reasoning_tokens: Count = None
    audio_tokens: Count = None
    image_tokens: Count = None


class _Chat(msgspec.Struct, gc=False):
    prompt_tokens: Count = None
    completion_tokens: Count = None
    total_tokens: Count = None
    prompt_tokens_details: _InputDetails | None = None
    completion_tokens_details: _OutputDetails | None = None
    prompt_cache_hit_tokens: Count = None
    cached_tokens: Count = None
    cached_prompt_text_tokens: Count = None
    cache_read_input_tokens: Count = None
    cache_creation_input_tokens: Count = None
    reasoning_tokens: Count = None
    citation_tokens: Count = None
    num_search_queries: Count = None


class _Invocations(msgspec.Struct, gc=False):
    invocation: Count = None


class _ToolCalls(msgspec.Struct, gc=False):
    search_web: _Invocations | None = None


class _Responses(msgspec.Struct, gc=False):
    input_tokens: Count = None
    output_tokens: Count = None
    total_tokens: Count = None
    input_tokens_details: _InputDetails | None = None
    output_tokens_details: _OutputDetails | None = None
    tool_calls_details: _ToolCalls | None = None


class _Thinking(msgspec.Struct, gc=False):
    thinking_tokens: Count = None


class _ServerTools(msgspec.Struct, gc=False):
    web_search_requests: Count = None


class _Iteration(msgspec.Struct, gc=False):
    type: str | None = None
    input_tokens: Count = None
    output_tokens: Count = None
    cache_creation_input_tokens: Count = None
    cache_read_input_tokens: Count = None
    cache_creation: _CacheCreation | None = None


class _Messages(msgspec.Struct, gc=False):
    input_tokens: Count = None
    output_tokens: Count = None
    cache_creation_input_tokens: Count = None
    cache_read_input_tokens: Count = None
    cache_creation: _CacheCreation | None = None
    output_tokens_details: _Thinking | None = None
    server_tool_use: _ServerTools | None = None
    iterations: list[_Iteration] | None = None


_S = TypeVar("_S", bound=msgspec.Struct)
_decode_chat = msgspec.json.Decoder(_Chat).decode
_decode_responses = msgspec.json.Decoder(_Responses).decode
_decode_messages = msgspec.json.Decoder(_Messages).decode
_XAI, _GEMINI, _PERPLEXITY = Flavour.XAI, Flavour.GEMINI, Flavour.PERPLEXITY  # an enum's members are slow to look up
_NO_INPUT = _InputDetails()
_NO_OUTPUT = _OutputDetails()


def chat_usage(raw: Raw, flavour: Flavour = Flavour.OPENAI) -> tuple[Usage, Problems]:
    """Usage of a Chat Completions or Embeddings answer, from OpenAI and everyone who speaks like it.

    Returns (usage, problems); problems are sentences for the log, empty for a sound object. Never raises.
    """
    u, problems = _read(raw, _Chat, _decode_chat)
    if u.prompt_tokens is None and u.completion_tokens is None:
        return Usage(), (*problems, f"{UNUSABLE} prompt_tokens or completion_tokens")
    prompt, output = u.prompt_tokens or 0, u.completion_tokens or 0
    inputs, outputs = u.prompt_tokens_details or _NO_INPUT, u.completion_tokens_details or _NO_OUTPUT
    reasoning = outputs.reasoning_tokens or u.reasoning_tokens or 0
    other: list[tuple[str, int]] = []
    if flavour is _PERPLEXITY:
        output += reasoning
        if u.citation_tokens:
            other.append(("output_citation", u.citation_tokens))
        if u.num_search_queries:
            other.append(("web_searches", u.num_search_queries))
    elif reasoning or u.total_tokens != prompt + output:
        output = _output_with_hidden(prompt, output, reasoning, u.total_tokens, flavour, problems)
        if flavour is _GEMINI and not reasoning:
            reasoning = output - (u.completion_tokens or 0)
    read = (
        inputs.cached_tokens
        or u.prompt_cache_hit_tokens
        or u.cached_tokens
        or u.cache_read_input_tokens
        or u.cached_prompt_text_tokens
        or 0
    )
    write = inputs.cache_write_tokens or inputs.cache_creation_input_tokens or u.cache_creation_input_tokens or 0
    return _normal(prompt, read, write, inputs, output, reasoning, outputs, other, problems)


def responses_usage(raw: Raw) -> tuple[Usage, Problems]:
    """Usage of a Responses answer (`response.usage`). Returns (usage, problems). Never raises."""
    u, problems = _read(raw, _Responses, _decode_responses)
    if u.input_tokens is None and u.output_tokens is None:
        return Usage(), (*problems, f"{UNUSABLE} input_tokens or output_tokens")
    prompt, output = u.input_tokens or 0, u.output_tokens or 0
    inputs, outputs = u.input_tokens_details or _NO_INPUT, u.output_tokens_details or _NO_OUTPUT
    reasoning = outputs.reasoning_tokens or 0
    if u.total_tokens != prompt + output:
        output = _output_with_hidden(prompt, output, reasoning, u.total_tokens, Flavour.OPENAI, problems)
    other: list[tuple[str, int]] = []
    searches = u.tool_calls_details and u.tool_calls_details.search_web and u.tool_calls_details.search_web.invocation
    if searches:
        other.append(("web_searches", searches))
    read = inputs.cached_tokens or inputs.cache_read_input_tokens or 0
    write = inputs.cache_write_tokens or inputs.cache_creation_input_tokens or 0
    return _normal(prompt, read, write, inputs, output, reasoning, outputs, other, problems)


def messages_usage(raw: Raw) -> tuple[Usage, Problems]:
    """Usage of an Anthropic Messages answer: `input_tokens` excludes cache reads and writes. Returns (usage, problems)."""
    return _from_messages(*_read(raw, _Messages, _decode_messages))


def merge_messages_usage(start: Raw | None, delta: Raw | None) -> tuple[Usage, Problems]:
    """Usage of a Messages stream: `message_start`'s usage, and the last `message_delta`'s, whose counts are cumulative.

    A member of the delta replaces the start's; an absent or null one keeps it. Either may be None (never seen).
    Without a delta the output is what had been made when the stream began, and the problems say so.
    """
    first, problems = _read(start, _Messages, _decode_messages) if start is not None else (_Messages(), [])
    if delta is None:
        problems.append("the stream ended before its final usage (message_delta)")
        return _from_messages(first, problems)
    last, more = _read(delta, _Messages, _decode_messages)
    for name in _Messages.__struct_fields__:
        value = getattr(last, name)
        if value is not None:
            setattr(first, name, value)
    return _from_messages(first, problems + more)


def with_units(usage: Usage, units: tuple[tuple[str, int], ...]) -> Usage:
    """The usage with billed units that only the answer's items show; what it reports of a kind itself stands."""
    told = {kind for kind, _ in usage.other}
    more = tuple([(kind, n) for kind, n in units if kind not in told])
    return msgspec.structs.replace(usage, other=(*usage.other, *more)) if more else usage


def _from_messages(u: _Messages, problems: list[str]) -> tuple[Usage, Problems]:
    if u.input_tokens is None and u.output_tokens is None:
        return Usage(), (*problems, f"{UNUSABLE} input_tokens or output_tokens")
    fresh, read, output = u.input_tokens or 0, u.cache_read_input_tokens or 0, u.output_tokens or 0
    write_5m, write_1h = _writes(u.cache_creation_input_tokens, u.cache_creation, problems)
    for step in u.iterations or ():
        # Turns of the same model are in the totals; a compaction is not (docs: sum it to get what is billed), and neither
        # is an adviser, which is another model at another price.
        if step.type == "compaction":
            more_5m, more_1h = _writes(step.cache_creation_input_tokens, step.cache_creation, problems)
            fresh, output = fresh + (step.input_tokens or 0), output + (step.output_tokens or 0)
            read, write_5m, write_1h = read + (step.cache_read_input_tokens or 0), write_5m + more_5m, write_1h + more_1h
        elif step.type not in ("message", "fallback_message"):
            problems.append(f"usage.iterations has a {step.type!r} step, whose tokens are not in this usage")
    reasoning = (u.output_tokens_details and u.output_tokens_details.thinking_tokens) or 0
    if reasoning > output:
        problems.append(f"thinking_tokens {reasoning} > output_tokens {output}; taken as {output}")
        reasoning = output
    searches = u.server_tool_use and u.server_tool_use.web_search_requests
    other = (("web_searches", searches),) if searches else ()
    return Usage(fresh, read, write_5m, write_1h, output, reasoning, other), tuple(problems)


def _writes(total: int | None, split: _CacheCreation | None, problems: list[str]) -> tuple[int, int]:
    """(5 m, 1 h) cache writes: what the total has beyond its split is of 5 minutes, Anthropic's default."""
    if split is None:
        return total or 0, 0
    write_5m, write_1h = split.ephemeral_5m_input_tokens or 0, split.ephemeral_1h_input_tokens or 0
    if total is None:
        return write_5m, write_1h
    missing = total - write_5m - write_1h
    if missing < 0:
        problems.append(f"cache_creation adds up to {write_5m + write_1h}, more than cache_creation_input_tokens {total}; kept")
        return write_5m, write_1h
    return write_5m + missing, write_1h


def _output_with_hidden(
    prompt: int, output: int, reasoning: int, total: int | None, flavour: Flavour, problems: list[str]
) -> int:
    """Output tokens with reasoning that the vendor left out of them. The vendor's own total is the witness."""
    if total is None:
        return output + reasoning if flavour is _XAI else output
    surplus = total - prompt - output
    if surplus > 0 and (surplus == reasoning or flavour is _GEMINI):
        return output + surplus
    if flavour is _XAI and surplus != 0:
        return output + reasoning
    if surplus > 0:
        problems.append(f"total_tokens {total} > {prompt} + {output}: {surplus} tokens of unknown kind were not counted")
    return output


def _normal(
    prompt: int,
    read: int,
    write: int,
    inputs: _InputDetails,
    output: int,
    reasoning: int,
    outputs: _OutputDetails,
    other: list[tuple[str, int]],
    problems: list[str],
) -> tuple[Usage, Problems]:
    """Disjoint counts from totals that include their details."""
    write_5m, write_1h = write, 0
    if write:
        if inputs.cache_creation:
            write_5m, write_1h = _writes(write, inputs.cache_creation, problems)
        long = inputs.cache_write_tokens_details and inputs.cache_write_tokens_details.ttl_12h_tokens
        if long:
            problems.append(f"{long} cache writes of 12 hours counted as plain writes")
    fresh = prompt - read - write_5m - write_1h
    audio, image, video = inputs.audio_tokens or 0, inputs.image_tokens or 0, inputs.video_tokens or 0
    if fresh < 0:
        problems.append(f"cached tokens {read} + {write_5m + write_1h} > input tokens {prompt}; taken as {prompt}")
        read, write_5m, write_1h = _fit(prompt, read, write_5m, write_1h)
        fresh = 0
    if audio or image or video:
        # What exceeds the uncached part is cached audio or images, counted there already.
        audio, image, video = _fit(fresh, audio, image, video)
        fresh -= audio + image + video
        other += [(kind, n) for kind, n in (("input_audio", audio), ("input_image", image), ("input_video", video)) if n]
    spoken, drawn = outputs.audio_tokens or 0, outputs.image_tokens or 0
    if spoken or drawn:
        if spoken + drawn > output:
            problems.append(f"audio and image tokens {spoken + drawn} > output tokens {output}; taken as {output}")
        spoken, drawn = _fit(output, spoken, drawn)
        output -= spoken + drawn
        other += [(kind, n) for kind, n in (("output_audio", spoken), ("output_image", drawn)) if n]
    if reasoning > output:
        problems.append(f"reasoning tokens {reasoning} > output tokens {output}; taken as {output}")
        reasoning = output
    return Usage(fresh, read, write_5m, write_1h, output, reasoning, tuple(other)), tuple(problems)


def _fit(room: int, *parts: int) -> list[int]:
    """Parts cut, first come first served, so that they sum to `room` at most."""
    cut = []
    for part in parts:
        taken = min(part, room)
        room -= taken
        cut.append(taken)
    return cut


def _read(raw: Raw, cls: type[_S], decode: Callable[[Raw], _S]) -> tuple[_S, list[str]]:
    try:
        return decode(raw), []
    except (msgspec.MsgspecError, UnicodeDecodeError):
        pass
    problems: list[str] = []
    try:
        value = msgspec.json.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return cls(), ["usage is not JSON"]
    if not isinstance(value, dict):
        return cls(), [f"usage is {'null' if value is None else 'not an object'}"]
    return _lenient(cls, value, "usage", problems), problems


def _lenient(cls: type[_S], value: dict[str, Any], path: str, problems: list[str]) -> _S:
    """A struct from whatever can be read of an object; each change is named."""
    fields: dict[str, Any] = {}
    for name, hint in get_type_hints(cls).items():
        found = value.get(name)
        if found is None:
            continue
        wanted = get_args(hint)[0]
        where = f"{path}.{name}"
        if wanted is str:
            fields[name] = str(found)
        elif wanted is int:
            fields[name] = _count(found, where, problems)
        elif isinstance(found, dict) and isinstance(wanted, type):
            fields[name] = _lenient(wanted, found, where, problems)
        elif isinstance(found, list) and get_args(wanted):
            item = get_args(wanted)[0]
            fields[name] = [_lenient(item, step, where, problems) for step in found if isinstance(step, dict)]
        else:
            problems.append(f"{where} is not an object; ignored")
    return cls(**fields)


def _count(found: object, where: str, problems: list[str]) -> int | None:
    number: int | None = None
    if isinstance(found, bool):
        pass
    elif isinstance(found, int):
        number = found
    elif (isinstance(found, float) and found.is_integer()) or (isinstance(found, str) and found.isdecimal() and len(found) < 20):
        number = int(found)
    if number is None or number > 2**40:
        problems.append(f"{where} is {found!r:.40}, not a count; ignored")
        return None
    if number < 0:
        problems.append(f"{where} is {number}; taken as 0")
        return 0
    return number
