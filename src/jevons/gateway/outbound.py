"""What is sent upstream: URL, headers and body. Same dialect: the client's bytes but for the declared changes.

Declared: model name, output cap, `stream_options.include_usage`, a note to the agent; and where the operator wants it, tool output that was made
shorter (`gateway.trimming`), and what the provider's prompt cache is told (`gateway.prefixes`): `cache_control`, `prompt_cache_breakpoint`, a plain
text before the last of these as a block of that text, `prompt_cache_options`, `prompt_cache_key`. In calls of a route whose answer is judged before it
is shown, or is shown to nobody: `stream`, `stream_options`, `logprobs`, `top_logprobs`, `include`, `temperature` (`gateway.unseen`, `gateway.cascade`).
Of keys that can wait: `service_tier` (`gateway.spots`).
Stripped: Jevons' credentials and labels, cookies, hop-by-hop headers.
"""

from collections.abc import Mapping
from urllib.parse import quote, urlencode

import msgspec

from jevons.core.ask import Ask, Dialect
from jevons.core.refusal import Kind, Refusal, invalid
from jevons.gateway.auth_upstream import Sent, own_credential
from jevons.gateway.settings import UpstreamSettings
from jevons.policy.route import Target
from jevons.wire.body import edit, read_fields
from jevons.wire.note import note_edit
from jevons.wire.parse import parse
from jevons.wire.translate import translate_request

HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
NOT_SENT = HOP_BY_HOP | {
    b"host",
    b"content-length",
    b"content-encoding",
    b"accept-encoding",
    b"cookie",
    b"authorization",
    b"x-api-key",
    b"api-key",
    b"expect",
}
_NOT_ANSWERED_BY = frozenset(
    {
        b"accept",
        b"accept-language",
        b"baggage",
        b"cache-control",
        b"content-type",
        b"forwarded",
        b"idempotency-key",
        b"origin",
        b"pragma",
        b"priority",
        b"referer",
        b"sentry-trace",
        b"traceparent",
        b"tracestate",
        b"user-agent",
        b"via",
        b"x-client-request-id",
        b"x-correlation-id",
        b"x-real-ip",
        b"x-request-id",
    }
)
_NONE_ANSWERED_BY = (b"sec-", b"x-b3-", b"x-datadog-", b"x-forwarded-", b"x-stainless-")
"""With the names above: who sends it, by which way and in which form, and how it is traced. No provider answers by these in other words."""
NOT_RETURNED = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "content-length",
        "content-encoding",
        "set-cookie",
        "server",
        "date",
    }
)
NOTHING: Mapping[str, bytes] = {}
UNDECIDED_CAP = 1
"""Stands in a translated body until the gate has decided; always replaced before sending."""
_CAP_FIELDS = {
    Dialect.CHAT: ("max_tokens", "max_completion_tokens"),
    Dialect.RESPONSES: ("max_output_tokens",),
    Dialect.MESSAGES: ("max_tokens",),
}


def url_of(base_url: str, settings: UpstreamSettings, dialect: Dialect, model: str, query: bytes) -> str:
    """Where a call goes; the client's query string is kept, the operator's is added."""
    path = settings.path_of(dialect)
    assert path is not None  # routing offers only dialects with a path
    pairs = [text for text in (query.decode("latin-1"), urlencode(settings.query)) if text]
    if "{model}" in path:
        path = path.replace("{model}", quote(_no_dots(model), safe=""))
    return base_url.rstrip("/") + path + ("?" + "&".join(pairs) if pairs else "")


def passed_url(base_url: str, path: str, query: bytes) -> str:
    """Where a path of the client's own goes (`path` as ASGI decodes it, under /v1). It cannot leave the path that was allowed: `..`
    would be resolved on the way, and lead to another tenant's things. Raises Refusal (404)."""
    for segment in path.split("/"):
        _no_dots(segment)
    query_text = query.decode("latin-1")
    return (
        base_url.rstrip("/") + quote(path.removeprefix("/v1"), safe="/:@!$&'()*+,;=~") + (f"?{query_text}" if query_text else "")
    )


def _no_dots(segment: str) -> str:
    if segment in (".", ".."):
        raise Refusal(Kind.NOT_FOUND, 404, "Paths with `.` or `..` are not forwarded.", code="unknown_path")
    return segment


def passed_on(sent: Sent, *, same_dialect: bool) -> list[tuple[bytes, bytes]]:
    """The client's headers that may travel on. A translated call takes none of them but its user agent."""
    hop = [word.strip() for name, value in sent if name == b"connection" for word in value.lower().split(b",")]
    return [
        (name, value)
        for name, value in sent
        if name not in NOT_SENT
        and not name.startswith(b"x-jevons-")
        and (same_dialect or name in (b"user-agent", b"content-type"))
        and name not in hop
    ]


def answered_by(sent: Sent, settings: UpstreamSettings, *, same_dialect: bool) -> list[tuple[bytes, bytes]]:
    """Of the client's headers, those by which the upstream may answer in other words: all that travel on but the few that change nothing,
    and its own credential where that travels on."""
    found = [
        (name, value)
        for name, value in passed_on(sent, same_dialect=same_dialect)
        if name not in _NOT_ANSWERED_BY and not name.startswith(_NONE_ANSWERED_BY)
    ]
    return found + own_credential(sent) if settings.is_clients else found


def headers_for(sent: Sent, settings: UpstreamSettings, *, same_dialect: bool) -> list[tuple[str, str]]:
    """The operator's headers, and what of the client's may travel on; no credential."""
    kept = [("accept-encoding", "identity"), *settings.headers.items()]
    kept += [(name.decode("latin-1"), value.decode("latin-1")) for name, value in passed_on(sent, same_dialect=same_dialect)]
    if settings.kind == "anthropic" and not any(name == "anthropic-version" for name, _ in kept):
        kept.append(("anthropic-version", "2023-06-01"))
    return kept


class Outgoing:
    """A request body on its way upstream. Everything that can be refused is refused when it is made, before money is held."""

    def __init__(self, ask: Ask, target: Target, settings: UpstreamSettings, members: Mapping[str, bytes] = NOTHING) -> None:
        """`members` are set besides: name -> JSON, in the target's dialect. Raises Refusal (400) for what that cannot express."""
        if settings.kind == "local":
            _check_local(ask)
        self._ask = ask
        self._dialect = target.dialect
        self._changes: dict[str, bytes] = dict(members)
        self.keyed = is_openai(settings) or settings.kind == "azure"
        """It certainly knows what OpenAI's API says of prompt caches."""
        self.asks_usage = False
        """We ask for the usage of a stream although the client did not: its chunk is stripped again."""
        self._cap_names: tuple[str, ...]
        if target.dialect is not ask.dialect:
            name = cap_field(settings) if target.dialect is Dialect.CHAT else "max_tokens"
            self._body = translate_request(
                ask.body, ask.dialect, target.dialect, target.model, UNDECIDED_CAP, chat_cap_field=name
            )
            self._fields = read_fields(self._body)
            self._cap_names = (name,)
            return
        self._body, self._fields = ask.body, ask.fields
        self._cap_names = _cap_names(ask, settings)
        if target.model != ask.model:
            self._changes["model"] = msgspec.json.encode(target.model)
        self.asks_usage = ask.dialect is Dialect.CHAT and ask.stream and not ask.include_usage
        if self.asks_usage:
            self._changes["stream_options"] = _with_usage(ask)

    @property
    def sent(self) -> Ask:
        """The request in the dialect in which it is sent."""
        return self._ask if self._body is self._ask.body else parse(self._dialect, self._body)

    def body(self, output_cap: int | None, held_output: int, note: str = "", caching: Mapping[str, bytes] = NOTHING) -> bytes:
        """The bytes to send. `output_cap` None: what the client sent stays; a translated request must name one, then `held_output`.

        `note`: told to the agent at the end of the request. `caching`: members changed for the provider's prompt cache.
        """
        changes = self._changes
        if self._body is not self._ask.body:
            output_cap = output_cap or self._ask.output_cap or held_output
            changes = changes | dict.fromkeys(self._cap_names, str(output_cap).encode())
        elif output_cap is not None and output_cap != self._ask.output_cap:
            changes = changes | dict.fromkeys(self._cap_names, str(output_cap).encode())
        fields = self._fields
        if caching:
            changes = {**changes, **caching}
            fields = fields | {name: msgspec.Raw(value) for name, value in caching.items()}
        if note:
            changes = changes | note_edit(fields, self._dialect, note)
        return edit(self._body, self._fields, changes) if changes else self._body


def _check_local(ask: Ask) -> None:
    """What llama.cpp's server would do wrong silently is refused: it reports the usage of one choice only, and drops tools."""
    if ask.choices > 1:
        raise invalid("The local model gives one choice; leave n out, or send the request n times.", param="n")
    choice = bytes(ask.fields.get("tool_choice", b"null")).strip()
    if choice.startswith(b"{") or choice == b'"required"':
        raise invalid(
            "The local model cannot be made to call a tool; leave tool_choice out, or choose another model.", param="tool_choice"
        )


def _cap_names(ask: Ask, settings: UpstreamSettings) -> tuple[str, ...]:
    """The members that carry the output cap: those the client sent, else the one that this upstream knows. None where nothing is generated."""
    names = _CAP_FIELDS.get(ask.dialect, ())
    present = tuple([name for name in names if name in ask.fields])
    if present or not names:
        return present
    return (cap_field(settings),) if ask.dialect is Dialect.CHAT else names[:1]


def is_openai(settings: UpstreamSettings) -> bool:
    """OpenAI itself. A server that is only compatible may refuse what it does not know."""
    return settings.kind == "openai" and (not settings.base_url or "api.openai.com" in settings.base_url)


def cap_field(settings: UpstreamSettings) -> str:
    """The member in which this upstream takes a Chat output cap."""
    if settings.cap_field:
        return settings.cap_field
    if is_openai(settings):
        return "max_completion_tokens"  # OpenAI's reasoning models refuse max_tokens; others often know no other
    return settings.defaults.cap_field


def _with_usage(ask: Ask) -> bytes:
    raw = ask.fields.get("stream_options")
    if raw is None or bytes(raw) == b"null":
        return b'{"include_usage":true}'
    try:
        options = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
    except msgspec.DecodeError:
        raise invalid("stream_options must be an object.", param="stream_options") from None
    options["include_usage"] = msgspec.Raw(b"true")
    return msgspec.json.encode(options)
