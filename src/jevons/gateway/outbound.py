"""What is sent upstream: URL, headers and body. Same dialect: the client's bytes but for the declared changes.

Declared: model name, output cap, `stream_options.include_usage`. Stripped: Jevons' credentials and labels, cookies, hop-by-hop headers.
"""

from collections.abc import Iterable
from urllib.parse import urlencode

import msgspec

from jevons.core.ask import Ask, Dialect
from jevons.core.refusal import invalid
from jevons.gateway.settings import UpstreamSettings
from jevons.policy.route import Target
from jevons.wire.body import edit
from jevons.wire.translate import translate_request

HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
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
    return base_url.rstrip("/") + path.replace("{model}", model) + ("?" + "&".join(pairs) if pairs else "")


def headers_for(sent: Iterable[tuple[bytes, bytes]], settings: UpstreamSettings, *, same_dialect: bool) -> list[tuple[str, str]]:
    """The client's headers that may travel on. A translated call takes none of them but its user agent."""
    kept = [("accept-encoding", "identity"), *settings.headers.items()]
    for name, value in sent:
        if name in NOT_SENT or name.startswith(b"x-jevons-") or not (same_dialect or name in (b"user-agent", b"content-type")):
            continue
        kept.append((name.decode("latin-1"), value.decode("latin-1")))
    if settings.kind == "anthropic" and not any(name == "anthropic-version" for name, _ in kept):
        kept.append(("anthropic-version", "2023-06-01"))
    return kept


def body_for(ask: Ask, target: Target, settings: UpstreamSettings, output_cap: int | None) -> tuple[bytes, bool]:
    """(body, did we ask for usage that the client did not ask for). `output_cap` None: leave what the client sent."""
    if target.dialect is not ask.dialect:
        cap = output_cap or ask.output_cap or 0
        body = translate_request(ask.body, ask.dialect, target.dialect, target.model, cap, chat_cap_field=cap_field(settings))
        return body, False
    changes: dict[str, bytes | None] = {}
    if target.model != ask.model:
        changes["model"] = msgspec.json.encode(target.model)
    if output_cap is not None and output_cap != ask.output_cap:
        fields = _CAP_FIELDS[ask.dialect]
        present = [name for name in fields if name in ask.fields] or [
            cap_field(settings) if ask.dialect is Dialect.CHAT else fields[0]
        ]
        changes.update(dict.fromkeys(present, str(output_cap).encode()))
    asks_usage = ask.dialect is Dialect.CHAT and ask.stream and not ask.include_usage
    if asks_usage:
        changes["stream_options"] = _with_usage(ask)
    return (edit(ask.body, ask.fields, changes) if changes else ask.body), asks_usage


def cap_field(settings: UpstreamSettings) -> str:
    """The member in which this upstream takes a Chat output cap."""
    if settings.cap_field:
        return settings.cap_field
    if settings.kind == "openai" and (not settings.base_url or "api.openai.com" in settings.base_url):
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
