"""Who is calling: the key from a header or the base path, and the labels that come with it: client program, run, the run's own budget.

The key comes in `x-jevons-key`, in the base path (`/k/<key>/v1`), or where SDKs put theirs: `Authorization: Bearer`, `x-api-key`,
`api-key`. With auth = "client" upstreams the latter belong to the client's own provider, so the first two win.

The run is named by the first that is there: `x-jevons-run-id`, a client's own headers (clients.py), members of the body. Labels belong
to their key and are never authority. Does not know: runs that nobody names (policy/lineage.py), nor stored responses.
"""

import re
from collections.abc import Mapping, Sequence

import msgspec

from jevons.core.ask import Ask, Caller, Dialect, RunClaim
from jevons.core.money import parse_usd
from jevons.core.refusal import Kind, Refusal, invalid
from jevons.gateway.clients import Named, family_of, label, named_run
from jevons.ledger import keys
from jevons.ledger.ops import Key
from jevons.wire.body import BAD_JSON

Headers = Sequence[tuple[bytes, bytes]]

_BASE_PATH = re.compile(r"(?:/k/([A-Za-z0-9_-]{16,128}))?(?:/run/([\x21-\x2e\x30-\x7e]{1,128}))?(/(?!run/).*)")
_KEY_HEADERS = frozenset({b"x-jevons-key", b"authorization", b"x-api-key", b"api-key"})
_SESSION_IN_USER_ID = re.compile(r".*_session_([0-9A-Fa-f-]{36})", re.DOTALL)


class _Metadata(msgspec.Struct):
    """Members of `metadata` that may name a run; others are passed over undecoded."""

    session_id: msgspec.Raw = msgspec.Raw(b"null")
    user_id: msgspec.Raw = msgspec.Raw(b"null")


_decode_text = msgspec.json.Decoder(str | None).decode
_decode_metadata = msgspec.json.Decoder(_Metadata | None).decode


def split_path(path: str) -> tuple[str, str, str]:
    """(key in the base path or "", run in it or "", the door's path): /k/<key>/run/<run>/v1/…, either part alone too."""
    match = _BASE_PATH.fullmatch(path)
    return (match[1] or "", match[2] or "", match[3]) if match else ("", "", path)


def presented_key(headers: Headers, path_key: str) -> str:
    """The one Jevons key of a request, or "". Raises Refusal (400) for two that differ."""
    own = {path_key} if path_key else set()
    borrowed = set()
    for name, value in headers:
        if name not in _KEY_HEADERS:
            continue
        if name == b"x-jevons-key":
            own.add(value.decode("latin-1").strip())
        elif name == b"authorization":
            scheme, _, token = value.decode("latin-1").partition(" ")
            borrowed.add(token.strip() if scheme.lower() == "bearer" else value.decode("latin-1"))
        else:
            borrowed.add(value.decode("latin-1").strip())
    found = own or borrowed
    if len(found) > 1:
        raise invalid("The request carries two different keys; send one.", code="ambiguous_key")
    return found.pop() if found else ""


def identify(known: Mapping[bytes, Key], headers: Headers, named: Named, path_key: str) -> Caller:
    """The caller behind a request. Raises Refusal (401) for no key, an unknown or a revoked one."""
    presented = presented_key(headers, path_key)
    key = keys.find(known, presented) if presented else None
    if key is None:
        what = "This key is unknown or revoked" if presented else "No key was sent"
        raise Refusal(
            Kind.AUTHENTICATION,
            401,
            f"{what}. Send a Jevons key as `Authorization: Bearer jv-…`, `x-api-key` or `x-jevons-key`; `jevons keys create NAME` makes one.",
            code="invalid_api_key",
        )
    settings = key.settings
    return Caller(
        key.id,
        key.name,
        org=settings.org,
        team=settings.team,
        agent=_agent(named),
        run=claimed_run(named),
        default_output_tokens=settings.default_output_tokens,
        models=settings.models,
        denial_status=settings.denial_status,
        holds=settings.holds,
        tiers=settings.tiers,
    )


def claimed_run(named: Named, ask: Ask | None = None) -> RunClaim | None:
    """The run that the headers name, else (given the ask) the body. None = nothing names one; a `traceparent` does not.

    `previous_response_id` comes before `prompt_cache_key`, which then does not count: whose response that was is known elsewhere.
    `x-jevons-parent-run-id` also holds for a run that the client named its own way, unless that has a parent of its own: an orchestrator
    can so start a Claude Code under itself. Raises Refusal (400) for a label of ours that is none.
    """
    run, parent = _own_run(named, b"x-jevons-run-id"), _own_run(named, b"x-jevons-parent-run-id")
    claim = RunClaim(run, None, "x-jevons-run-id") if run is not None else named_run(named)
    if claim is None and ask is not None:
        claim = _run_in_body(ask)
    if claim is not None and claim.parent_id is None and parent not in (None, claim.run_id):
        claim = RunClaim(claim.run_id, parent, claim.source)
    return claim


def run_budget(named: Named) -> int | None:
    """What the request allows its run to cost in all, nano-USD. Raises Refusal (400) for anything but an amount of 0 or more."""
    value = named.get(b"x-jevons-run-budget-usd")
    if value is None:
        return None
    try:
        nusd = parse_usd(value.decode("latin-1"))
        if nusd < 0:
            raise ValueError("a budget is not below zero")
    except ValueError as error:
        raise invalid(f"x-jevons-run-budget-usd: {error}.", code="invalid_run_budget") from None
    return nusd


def _agent(named: Named) -> str:
    value = named.get(b"x-jevons-agent")
    if value is None:
        family = family_of(named)
        return "" if family is None or not family.agent else family.name
    agent = label(value.decode("latin-1"))
    if agent is None:
        raise invalid("x-jevons-agent must be 1 to 128 visible ASCII characters.", code="invalid_agent")
    return agent


def _own_run(named: Named, header: bytes) -> str | None:
    value = named.get(header)
    if value is None:
        return None
    run = label(value.decode("latin-1"))
    if run is None:
        raise invalid(f"{header.decode()} must be 1 to 128 visible ASCII characters.", code="invalid_run_id")
    return run


def _run_in_body(ask: Ask) -> RunClaim | None:
    """Members that are not what they should be name nothing; the provider may like them."""
    fields = ask.fields
    if "metadata" in fields:
        metadata = _metadata(fields["metadata"])
        if (run := label(_text(metadata.session_id))) is not None:
            return RunClaim(run, None, "metadata.session_id")
        if ask.dialect in (Dialect.MESSAGES, Dialect.COUNT_TOKENS) and (run := _session_of(_text(metadata.user_id))) is not None:
            return RunClaim(run, None, "metadata.user_id")
    if (
        "prompt_cache_key" in fields
        and ask.previous_response_id is None
        and (run := label(_text(fields["prompt_cache_key"]))) is not None
    ):
        return RunClaim(run, None, "prompt_cache_key")
    return None


def _session_of(user_id: str | None) -> str | None:
    """Claude Code's session: in a JSON text, in older versions after `_session_`. Any other user id names a person, not a run."""
    if user_id is None:
        return None
    if user_id.startswith("{"):
        return label(_text(_metadata(user_id).session_id))
    match = _SESSION_IN_USER_ID.fullmatch(user_id)
    return match[1] if match else None


def _metadata(raw: msgspec.Raw | str) -> _Metadata:
    try:
        return _decode_metadata(raw) or _Metadata()
    except BAD_JSON:
        return _Metadata()


def _text(raw: msgspec.Raw) -> str | None:
    try:
        text: str | None = _decode_text(raw)
    except BAD_JSON:
        return None
    return text
