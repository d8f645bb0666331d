"""Doors that the operator adds: a method and path forwarded although Jevons does not know it, at the price that the operator states.

Each call is an attempt like any other: held, sent, posted. Answers are passed on as they come, whole. A price of "0" is stated free.
"""

import asyncio
import fnmatch

from jevons.core.ask import Dialect
from jevons.core.entry import Outcome
from jevons.core.money import parse_usd
from jevons.core.price import Price, PriceTier
from jevons.core.refusal import Kind, Refusal
from jevons.core.usage import REQUESTS, Usage
from jevons.gateway.attempt import Attempt
from jevons.gateway.client import Client, Scope
from jevons.gateway.gate import Gate
from jevons.gateway.outbound import headers_for, passed_url
from jevons.gateway.passage import Passage
from jevons.gateway.patience import Patience
from jevons.gateway.reply import own_headers, passed_headers
from jevons.gateway.settings import Pass
from jevons.gateway.stop import Stop
from jevons.gateway.upstream import Broken, NotSent, TimedOut
from jevons.gateway.upstreams import Live
from jevons.policy.govern import Terms
from jevons.policy.route import Target


def find_pass(lives: dict[str, Live], method: str, path: str) -> tuple[Live, Pass] | None:
    """The upstream and rule that cover a method and path, or None."""
    for live in lives.values():
        for rule in live.settings.passes:
            if rule.method.upper() == method and fnmatch.fnmatchcase(path, rule.path):
                return live, rule
    return None


async def forward(
    gate: Gate, live: Live, rule: Pass, client: Client, passage: Passage, scope: Scope, path: str, body: bytes
) -> None:
    """One call through such a door. Raises Refusal or LedgerUnavailable."""
    with gate.governor.under_way(passage) as stop:
        await _forward(gate, live, rule, client, passage, stop, scope, path, body)


async def _forward(
    gate: Gate, live: Live, rule: Pass, client: Client, passage: Passage, stop: Stop, scope: Scope, path: str, body: bytes
) -> None:
    attempt = await _admit(gate, live, rule, passage, path)
    outcome = Outcome.ERROR
    patience = Patience()
    try:
        url = passed_url(await live.address(), path, scope["query_string"])
        headers = headers_for(scope["headers"], live.settings, same_dialect=True)
        headers += await live.credential.headers(scope["method"], url, body, scope["headers"])
        attempt.sent = True
        answer = await live.upstream.send(scope["method"], url, headers, body or None, patience, stream=False)
        try:
            attempt.status = answer.status
            data = await answer.read()
        finally:
            await answer.close()
        if answer.status < 300:
            attempt.usage, outcome = Usage(other=((REQUESTS, 1),)), Outcome.OK
        await attempt.resolve(outcome)
        gate.governor.answered(passage)
        reply = passed_headers(answer.headers) + own_headers(passage.request, attempt, cost=True)
        await client.answer(answer.status, reply, data)
    except asyncio.CancelledError:
        outcome = Outcome.STOPPED if stop.refusal is not None else Outcome.CANCELLED
        raise
    except NotSent as error:
        attempt.sent = False
        raise _unreachable(live, error) from None
    except TimedOut as error:
        outcome = Outcome.TIMEOUT
        raise _unreachable(live, error) from None
    except Broken as error:
        raise _unreachable(live, error) from None
    finally:
        patience.stop()
        if attempt.settled is None:
            attempt.resolve(outcome)


async def _admit(gate: Gate, live: Live, rule: Pass, passage: Passage, path: str) -> Attempt:
    price = Price(f"{live.settings.name}{rule.path}", "", 1, (PriceTier(-1, {REQUESTS: parse_usd(rule.price_usd)}),))
    terms = Terms(price, 0, 0, units=((REQUESTS, 1),), billed=live.settings.billed)
    return await gate.admit_plain(passage, Target(live.settings.name, path, Dialect.CHAT), live.settings, terms)


def _unreachable(live: Live, error: Exception) -> Refusal:
    return Refusal(Kind.UPSTREAM, 502, f"Upstream {live.settings.name}: {error}.", code="upstream_error")
