"""Which requests may be answered by an answer that is kept here, which answers may be kept, under which key, and for how long.

Comes in: a parsed request with what its headers say of caching, and how its answer ended. Goes out: a `Wish`, a key, yes or no. A key is a
keyed digest over the organisation, the model asked for, the target that is tried first, and the request in one spelling; two requests have
one key only if the provider is asked the same. Does not know: where answers are kept, clocks, similarity.

One spelling: white space, the escapes of a string, and the order of members of the request, its messages and their parts do not count. Within
any other value order does, and a number is what was written: models write their answers in the order of a schema, and read a call's arguments as
text. Left out is what changes no word of an answer: how it is delivered, who asks, what it costs (`_ASIDE`), and marks for the provider's prompt
cache. Everything else counts, also what nobody here has heard of.
"""

from collections.abc import Iterable
from hashlib import blake2b
from operator import itemgetter
from typing import Any

import msgspec

from jevons.core.ask import Ask, Dialect
from jevons.core.chain import DIGEST_BYTES
from jevons.core.limits import KEPT_ANSWER_BYTES_MAX
from jevons.core.refusal import Kind, Refusal, invalid
from jevons.policy.route import Target

WORDS = ("off", "on", "exact", "semantic", "refresh")
"""What `x-jevons-cache` of a request may say."""

_ASIDE = frozenset(
    {
        "stream", "stream_options",  # an answer is kept whole and given in either form
        "n",  # 1 wherever a request takes part
        "service_tier",  # the same answer, sooner or cheaper
        "store", "background",  # false wherever a request takes part
        "cache_control", "prompt_cache_key", "prompt_cache_retention", "prompt_cache_options",
    }
)  # fmt: skip
_WHO = frozenset({"user", "metadata", "safety_identifier"})
"""Labels. They do not count but in Responses, whose answers repeat them."""
_MARKS = frozenset({"cache_control", "prompt_cache_breakpoint"})
_CLIENT_TOOLS = ("function", "custom", "bash_", "text_editor_", "memory_", "computer_", "local_shell", "apply_patch")
"""How the `type` of a tool begins that the client runs itself. What a provider runs looks at the world, which is another one tomorrow."""
_SEARCHES = ("search_parameters", "plugins", "enable_search")
"""Members by which a provider is told to look at the world (xAI, OpenRouter, Qwen)."""
_POINTERS = ("url", "uri", "file_id")
"""How a member's name ends that names what lies elsewhere."""
_WORDS = frozenset(
    {"text", "content", "output", "data", "source", "title", "context", "thinking", "reasoning", "reasoning_content", "refusal"}
)
"""Members whose text may be an address and is nothing but words."""
_TOLD = frozenset({"input", "arguments", "action", "tool_calls", "function_call", "annotations", "citations"})
"""What was asked of tools, and what an answer referred to: nobody fetches it again."""
_ENDED = {
    Dialect.CHAT: frozenset({"stop", "length", "tool_calls", "function_call"}),
    Dialect.MESSAGES: frozenset({"end_turn", "stop_sequence", "max_tokens", "tool_use"}),
    Dialect.RESPONSES: frozenset({"completed", "incomplete:max_output_tokens"}),
    Dialect.EMBEDDINGS: frozenset({""}),
}
"""Ends of an answer that the same request would come to again. A filter's verdict or a provider's failure is none."""
_LENGTHS = frozenset({"length", "max_tokens", "incomplete:max_output_tokens"})
_BAD_JSON = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

_decode = msgspec.json.Decoder(float_hook=msgspec.Raw).decode
_encode = msgspec.json.Encoder().encode
_decode_number = msgspec.json.Decoder(float | None).decode


class Wish(msgspec.Struct, frozen=True):
    """What a request wants of kept answers. There is one only for a request that asks to take part, or whose caller is listed."""

    chosen: bool = False
    """Its own header says so: it takes part even if another answer might come the next time."""
    similar: bool = False
    """The answer to a similar request will do."""
    looks: bool = True
    """A kept answer may be given; False: the provider is asked, and its answer kept anew."""
    only_kept: bool = False
    """Nothing but a kept answer: the provider is not to be asked."""
    max_age_s: int | None = None
    min_fresh_s: int = 0


def wish_of(word: bytes | None, control: bytes | None, *, listed: bool) -> Wish | None:
    """From `x-jevons-cache` and `Cache-Control` (RFC 9111, 5.2.1); None = it takes no part. `listed`: its caller takes part unasked.

    Raises Refusal (400) for a word that is not known; a directive that is not known, or `max-stale`, changes nothing.
    """
    said = None if word is None else word.decode("latin-1").strip().lower()
    if said is not None and said not in WORDS:
        raise invalid(f"x-jevons-cache is {said[:40]!r}; it must be one of {', '.join(WORDS)}.", code="invalid_cache_word")
    if said == "off" or (said is None and not listed):
        return None
    wish = Wish(chosen=said is not None, similar=said == "semantic", looks=said != "refresh")
    return wish if control is None else _directed(wish, control)


def asks_only_kept(control: bytes | None) -> bool:
    """Does `Cache-Control` forbid to ask the provider?"""
    return control is not None and "only-if-cached" in _directives(control)


def _directives(control: bytes) -> dict[str, str]:
    pairs = [part.partition("=") for part in control.decode("latin-1").lower().split(",")]
    return {name.strip(): value.strip().strip('"') for name, _, value in pairs}


def _directed(wish: Wish, control: bytes) -> Wish | None:
    said = _directives(control)
    if "no-store" in said:
        return None
    seconds = {name: said.get(name, "") for name in ("max-age", "min-fresh")}
    unclear = any(name in said and not _is_count(value) for name, value in seconds.items())
    return msgspec.structs.replace(
        wish,
        looks=wish.looks and "no-cache" not in said and not unclear,
        only_kept="only-if-cached" in said,
        max_age_s=int(seconds["max-age"]) if _is_count(seconds["max-age"]) else None,
        min_fresh_s=int(seconds["min-fresh"]) if _is_count(seconds["min-fresh"]) else 0,
    )


def _is_count(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < 12


def takes_part(ask: Ask, wish: Wish) -> bool:
    """May it be answered by a kept answer at all, as far as this is seen without reading it?

    Not: several answers at once, an answer that the provider stores, a conversation or content that lies with the provider, tools that the
    provider runs. And not what may be answered otherwise the next time, unless the request itself wishes so.
    """
    if ask.dialect not in _ENDED or ask.choices != 1 or ask.stored or ask.remote_context or ask.server_tools:
        return False
    if ask.previous_response_id is not None or bytes(ask.fields.get("store", b"")) == b"true" or "audio" in ask.fields:
        return False
    if any(name in ask.fields for name in _SEARCHES):
        return False
    return wish.chosen or is_deterministic(ask)


def is_deterministic(ask: Ask) -> bool:
    """An embedding, or a temperature of 0. A `seed` is no promise of its provider, and `top_p` alone chooses among several words."""
    if ask.dialect is Dialect.EMBEDDINGS:
        return True
    raw = ask.fields.get("temperature")
    try:
        return raw is not None and _decode_number(raw) == 0
    except _BAD_JSON:
        return False


def key_of(secret: bytes, org: str, target: Target, ask: Ask, sent: Iterable[tuple[bytes, bytes]], query: bytes) -> bytes | None:
    """The key of 16 bytes; None: it takes no part after all. About 10 us + 8 us per KB.

    `target`: the one that is tried first, so that an alias that changes, or a cheaper model, has answers of its own. `sent`: headers that the
    provider may answer by.
    """
    said = canonical(ask)
    if said is None:
        return None
    headers = sorted(sent, key=itemgetter(0))  # of one name, their order counts
    asked = (org, ask.dialect, ask.model, target.upstream, target.model, target.dialect, headers, query, said)
    return blake2b(msgspec.msgpack.encode(asked), digest_size=DIGEST_BYTES, key=secret, person=b"answer").digest()


def canonical(ask: Ask) -> bytes | None:
    """The request in its one spelling, not to be sent; None where it names what lies elsewhere, or says a member twice."""
    try:
        said: dict[str, Any] = _decode(ask.body)
        if _members(ask.body) != _members(_encode(said)):
            return None  # within a message some member is there twice, and providers may take the other one
        aside = _ASIDE if ask.dialect is Dialect.RESPONSES else _ASIDE | _WHO
        said = {name: value for name, value in said.items() if name not in aside}
        if isinstance(tools := said.get("tools"), list):
            said["tools"] = [_tool(tool) for tool in tools]
        for name in ("system", "instructions", "messages", "input"):
            if isinstance(said.get(name), list):
                said[name] = [_part(item) for item in said[name]]
        return _encode(_sorted(said))
    except (*_BAD_JSON, _Elsewhere):
        return None


def _members(body: bytes) -> int:
    """How many members all objects of a JSON text have together: its colons outside of strings."""
    if b"\\" in body:
        body = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    return b"".join(body.split(b'"')[::2]).count(b":")


def _sorted(value: dict[str, Any]) -> dict[str, Any]:
    return {name: value[name] for name in sorted(value)}


class _Elsewhere(Exception):
    """The request names something that it does not hold."""


def _unmarked(value: dict[str, Any]) -> dict[str, Any]:
    return value if _MARKS.isdisjoint(value) else {name: member for name, member in value.items() if name not in _MARKS}


def _tool(tool: Any) -> Any:
    if not isinstance(tool, dict) or not str(tool.get("type") or "custom").startswith(_CLIENT_TOOLS):
        raise _Elsewhere
    return _unmarked(tool)


def _part(value: Any) -> Any:
    """A message, or a part of one, without marks. What a tool was called with stays as it is."""
    if not isinstance(value, dict):
        return value
    value = _unmarked(value)
    if value.get("type") == "item_reference":
        raise _Elsewhere
    parts = {name: [_part(part) for part in value[name]] for name in ("content", "output") if isinstance(value.get(name), list)}
    for name, member in value.items():
        if name not in parts and name not in _TOLD:
            _check_here(name, member)
    return _sorted(value | parts)


def _check_here(name: str, value: Any) -> None:
    """Raises _Elsewhere for a value that is, or holds, the address of something."""
    if isinstance(value, str):
        points = name.lower().endswith(_POINTERS) and not value.startswith("data:")
        if points or (name not in _WORDS and "://" in value[:12]):
            raise _Elsewhere
    elif isinstance(value, list):
        for item in value:
            _check_here(name, item)
    elif isinstance(value, dict):
        for inner, member in value.items():
            if inner not in _TOLD:
                _check_here(inner, member)


class Given(msgspec.Struct, frozen=True):
    """An answer as it came to its end."""

    dialect: Dialect
    """The upstream's, whose word for the end it is."""
    finish: str
    bytes: int
    metered: bool
    """The provider's own usage is known."""
    first: bool
    """The target answered that is tried first."""
    capped: bool
    """We told the provider an output cap that the client did not send."""
    noted: bool
    """We added a note for the agent to the request."""


def may_keep(given: Given) -> bool:
    """May it be given again? Only what the provider made of the client's own words, to its own end."""
    ended = _ENDED.get(given.dialect)
    if ended is None or given.finish not in ended or (given.capped and given.finish in _LENGTHS):
        return False
    return is_its_own(given) and given.bytes <= KEPT_ANSWER_BYTES_MAX


def is_its_own(given: Given) -> bool:
    """Was it made of the client's own words, where they go first, and measured? This is known before a stream is put together."""
    return given.metered and given.first and not given.noted


def age_s(kept_ms: int, now_ms: int) -> int:
    """Whole seconds since it was kept; a clock that was put back makes no answer younger than new."""
    return max(0, now_ms - kept_ms) // 1000


def is_fresh(wish: Wish, kept_ms: int, now_ms: int, ttl_s: int) -> bool:
    """Is it young enough for everybody, and for this request?"""
    age = age_s(kept_ms, now_ms)
    young = wish.max_age_s is None or age < wish.max_age_s  # whole seconds that have passed: with max-age=0 none is young enough
    return age < ttl_s and ttl_s - age >= wish.min_fresh_s and young


def not_kept(why: str) -> Refusal:
    """For a request that forbids to ask the provider."""
    refusal = Refusal(Kind.TIMEOUT, 504, f"Cache-Control says only-if-cached, and {why}.", code="not_cached")
    refusal.spent = True
    return refusal
