"""Responses that a provider stores: only the key that created one may fetch, delete or continue it, and only where it lies."""

import asyncio

from jevons.core.ask import Caller
from jevons.core.refusal import Kind, Refusal
from jevons.gateway.client import Client, Scope
from jevons.gateway.outbound import headers_for, passed_url
from jevons.gateway.patience import Patience
from jevons.gateway.reply import Headers, passed_headers
from jevons.gateway.upstream import Broken, NotSent
from jevons.gateway.upstreams import Live
from jevons.ledger.bill import response_owner
from jevons.ledger.ledger import Ledger
from jevons.policy.route import Target


def owner_of(ledger: Ledger, caller: Caller, response_id: str, targets: tuple[Target, ...]) -> tuple[Target, ...]:
    """The one target that may continue a stored response. Raises Refusal (404) for another key's, or one we never saw."""
    owner = response_owner(ledger.path, response_id)
    at_home = tuple(target for target in targets if owner is not None and target.upstream == owner[1])
    if owner is None or owner[0] != caller.key_id or not at_home:
        raise _unknown(response_id)
    return at_home


async def forward_stored(
    client: Client, ledger: Ledger, lives: dict[str, Live], caller: Caller, own: Headers, scope: Scope, path: str
) -> None:
    """GET or DELETE of a stored response, forwarded to the upstream that has it. Costs nothing."""
    response_id = path.removeprefix("/v1/responses/").partition("/")[0]
    owner = await asyncio.to_thread(response_owner, ledger.path, response_id)
    live = lives.get(owner[1]) if owner is not None else None
    if owner is None or owner[0] != caller.key_id or live is None:
        raise _unknown(response_id)
    url = passed_url(await live.address(), path, scope["query_string"])
    headers = headers_for(scope["headers"], live.settings, same_dialect=True)
    headers += await live.credential.headers(scope["method"], url, b"", scope["headers"])
    try:
        answer = await live.upstream.send(scope["method"], url, headers, None, Patience(), stream=False)
        try:
            body = await answer.read()
        finally:
            await answer.close()
    except (Broken, NotSent) as error:
        raise Refusal(Kind.UPSTREAM, 502, f"Upstream {owner[1]}: {error}.", code="upstream_error") from None
    await client.answer(answer.status, passed_headers(answer.headers) + own, body)


def _unknown(response_id: str) -> Refusal:
    return Refusal(
        Kind.NOT_FOUND,
        404,
        f"No response {response_id!r} was made with this key.",
        code="unknown_response",
        param="previous_response_id",
    )
