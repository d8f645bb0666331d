"""Small answers about the gateway itself: health, metrics, models, what a request cost."""

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec

from jevons.core.ask import Caller
from jevons.core.entry import ATTEMPT_BITS, parse_request_text
from jevons.core.refusal import Kind, Refusal
from jevons.gateway.client import Client
from jevons.gateway.metrics import CONTENT_TYPE, Metrics
from jevons.gateway.reply import Headers
from jevons.gateway.upstreams import Live
from jevons.ledger.bill import request_entries
from jevons.ledger.ledger import Ledger
from jevons.meter.pricebook import PriceBook
from jevons.policy.route import Table, allowed

JSON = [(b"content-type", b"application/json")]


async def health(client: Client, problem: str) -> None:
    """200, or 503 with the reason."""
    status = {"status": "unavailable", "reason": problem} if problem else {"status": "ok"}
    await client.answer(503 if problem else 200, list(JSON), msgspec.json.encode(status))


async def hello(client: Client) -> None:
    text = b"Jevons is running. Clients: set OPENAI_BASE_URL to this address + /v1, or ANTHROPIC_BASE_URL to this address.\n"
    await client.answer(200, [(b"content-type", b"text/plain; charset=utf-8")], text)


async def metrics(client: Client, counters: Metrics) -> None:
    await client.answer(200, [(b"content-type", CONTENT_TYPE)], counters.page())


def models_of(table: Table, book: PriceBook, lives: dict[str, Live], more: set[str], may_use: Callable[[str], bool]) -> list[str]:
    """The models that a caller may ask for. A pattern such as gpt-* stands for the names of it that have a price. `more`: names that routes take."""
    return sorted(name for name in _names(table, book, lives) | more if may_use(name))


async def models(client: Client, names: list[str], own: Headers, *, anthropic: bool) -> None:
    """A list of models, in the shape that the client expects."""
    if anthropic:
        data = [{"type": "model", "id": name, "display_name": name, "created_at": "1970-01-01T00:00:00Z"} for name in names]
        body: dict[str, Any] = {
            "data": data,
            "has_more": False,
            "first_id": names[0] if names else None,
            "last_id": names[-1] if names else None,
        }
    else:
        body = {"object": "list", "data": [{"id": name, "object": "model", "created": 0, "owned_by": "jevons"} for name in names]}
    await client.answer(200, [*JSON, *own], msgspec.json.encode(body))


async def request_cost(client: Client, ledger: Ledger, caller: Caller, own: Headers, text: str) -> None:
    """Entries of one request of the caller's own, with their lines, and what was saved against what it asked for."""
    first = parse_request_text(text)
    rows = (
        await asyncio.to_thread(request_entries, ledger.path, first, 1 << ATTEMPT_BITS, caller.key_id)
        if first is not None
        else []
    )
    held = [
        call.hold
        for call in ledger.open_holds.values()
        if first is not None and call.hold.id >> ATTEMPT_BITS == first >> ATTEMPT_BITS and call.hold.key_id == caller.key_id
    ]
    if not rows and not held:
        raise Refusal(Kind.NOT_FOUND, 404, f"There is no request {text!r} of this key.", code="unknown_request")
    body = {
        "id": text,
        "settled": not held,
        "billed_nusd": sum(row["billed_nusd"] for row in rows),
        "list_nusd": sum(row["list_nusd"] for row in rows),
        "baseline_nusd": sum(row["baseline_nusd"] for row in rows),
        "held_nusd": sum(hold.held_nusd for hold in held),
        "attempts": rows,
    }
    await client.answer(200, [*JSON, *own], msgspec.json.encode(body))


async def trimmed(client: Client, text: str, own: Headers) -> None:
    """Tool output as it came, where a shorter one was sent."""
    await client.answer(200, [(b"content-type", b"text/plain; charset=utf-8"), *own], text.encode())


def _names(table: Table, book: PriceBook, lives: dict[str, Live]) -> set[str]:
    names = {alias.name for alias in table.aliases}
    for offer in table.offers:
        plain = [name for name in offer.models if not set(name) & set("*?[")]
        patterns = [name for name in offer.models if name not in plain]
        names.update(plain)
        if patterns:
            provider = lives[offer.upstream].provider
            names.update(model.id for model in book.models(provider) if allowed(patterns, model.id))
    return names
