"""The door: a bare ASGI application. Model calls go to the journey; the rest to small handlers; admin and pages to applications of their own.

A path that is not listed here is a 404 in the dialect of its caller, never forwarded.
"""

import asyncio
import hashlib
import logging
import time
from collections.abc import Awaitable, Callable
from functools import partial

import msgspec

from jevons.core.ask import Ask, Caller, Dialect
from jevons.core.entry import request_text
from jevons.core.limits import COUNT_TOKENS_PER_MINUTE_MAX, ROUTE_MEMO_ENTRIES_MAX
from jevons.core.price import Price
from jevons.core.refusal import Kind, Refusal
from jevons.gateway import about
from jevons.gateway.answers import Answers
from jevons.gateway.client import Client, Receive, Scope, Send
from jevons.gateway.clients import Named, for_client, takes_failed_event
from jevons.gateway.degrading import degraded
from jevons.gateway.feedback import PATH as FEEDBACK
from jevons.gateway.feedback import Feedback
from jevons.gateway.gate import Gate
from jevons.gateway.idempotency import check_repeat
from jevons.gateway.identify import identify, split_path
from jevons.gateway.inbound import Bodies, Body, ClientGone
from jevons.gateway.journey import Aborted, Journey, Parts
from jevons.gateway.metrics import Metrics
from jevons.gateway.pace import PerMinute
from jevons.gateway.passage import Passage
from jevons.gateway.passing import find_pass, forward
from jevons.gateway.pricing import price_context
from jevons.gateway.reply import fail, own_headers, refuse
from jevons.gateway.routing import Router
from jevons.gateway.showing import Listener
from jevons.gateway.spots import Spots
from jevons.gateway.stored import forward_stored, owner_of
from jevons.gateway.trimming import Trimmer
from jevons.gateway.turns import remember
from jevons.gateway.unseen import Judge
from jevons.gateway.upstreams import Live
from jevons.ledger.errors import LedgerUnavailable
from jevons.policy.route import Table, Target
from jevons.wire.errors import error_event
from jevons.wire.parse import parse
from jevons.wire.trimming.crushed import PATH

log = logging.getLogger("jevons.gateway")

DOORS = {
    "/v1/chat/completions": Dialect.CHAT,
    "/v1/responses": Dialect.RESPONSES,
    "/v1/embeddings": Dialect.EMBEDDINGS,
    "/v1/messages": Dialect.MESSAGES,
    "/v1/messages/count_tokens": Dialect.COUNT_TOKENS,
}
Asgi = Callable[[Scope, Receive, Send], Awaitable[None]]


class App:
    """All that answers on the gateway's port."""

    def __init__(
        self,
        gate: Gate,
        lives: dict[str, Live],
        table: Table,
        metrics: Metrics,
        answers: Answers,
        spots: Spots,
        admin: Asgi,
        pages: Asgi,
        hosts: tuple[str, ...],
        ready: Callable[[], str],
        router: Router,
        trimmer: Trimmer | None = None,
        listeners: tuple[Listener, ...] = (),
        feedback: Feedback | None = None,
        judge: Judge | None = None,
    ) -> None:
        """`pages` answers everything under /ui. `ready` says why no request can be served, or "". `hosts` are the Host names answered to; empty = all."""
        self._gate = gate
        self._lives = lives
        self._table = table
        self._router = router
        self._metrics = metrics
        self._answers = answers
        self._parts = Parts(gate, lives, answers, spots, judge)
        self._admin = admin
        self._pages = pages
        self._hosts = frozenset(hosts)
        self._ready = ready
        self._trimmer = trimmer
        self.listeners = listeners
        self._feedback = feedback
        self._bodies = Bodies()
        self._counts = PerMinute(COUNT_TOKENS_PER_MINUTE_MAX, "counts")
        self._good_hosts: set[bytes] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path_key, path_run, path = split_path(scope["path"])
        client, named = Client(receive, send), dict(scope["headers"])
        if path_run:
            named.setdefault(b"x-jevons-run-id", path_run.encode())
        request = self._gate.ledger.next_request(int(time.time() * 1000))
        apart = _apart(path, self._admin, self._pages)
        if apart is not None:
            try:
                self._check_host(named)
            except Refusal as refused:
                await self._refuse(client, refused, Dialect.CHAT, request)
            else:
                await apart(scope, receive, send)
            return
        dialect = DOORS.get(path)
        if dialect is not None and scope["method"] == "POST":
            work = self._model_call(dialect, path_key, scope, named, receive, client, request)
        else:
            anthropic = b"anthropic-version" in named or path.startswith("/v1/messages")
            dialect = Dialect.MESSAGES if anthropic else Dialect.CHAT
            work = self._other(path_key, path, scope, named, receive, client, request)
        try:
            self._check_host(named)
            await work
        except Refusal as refused:
            # its frames hold it, and the whole request besides, until a collection
            refused.__traceback__ = refused.__context__ = None
            self._metrics.denials[refused.code] += 1
            if refused.kind is Kind.BUDGET:
                try:
                    caller = identify(self._gate.ledger.keys, scope["headers"], named, path_key)
                except Refusal:  # its key was revoked while it was under way
                    await self._refuse(client, refused, dialect, request)
                    return
                refused = for_client(refused, named, caller)
                if dialect is Dialect.RESPONSES and client.streams and not client.started and takes_failed_event(named, caller):
                    await fail(client, refused, request, own_headers(request, None, cost=False))
                    return
            await self._refuse(client, refused, dialect, request)
        except LedgerUnavailable as error:
            message = f"The call was not made or not finished: {error}. Nothing is served unmetered."
            await self._refuse(client, Refusal(Kind.UNAVAILABLE, 503, message, code="ledger_unavailable"), dialect, request)
        except Aborted as aborted:
            await self._refuse(client, aborted.refusal, dialect, request)
        except ClientGone:
            return
        except asyncio.CancelledError:  # only a stop cancels a call from outside; the journey has settled it
            message = "The gateway is being stopped, and this call was cut off. Try again when it is back."
            await self._refuse(
                client, Refusal(Kind.UNAVAILABLE, 503, message, code="stopping", retry_after_s=1), dialect, request
            )
        except Exception:
            log.exception("a bug, in request %s", request_text(request))
            refusal = Refusal(Kind.INTERNAL, 500, "A bug of the gateway; its log has the details.", code="internal_error")
            await self._refuse(client, refusal, dialect, request)
        finally:
            work.close()
            client.close()

    async def _model_call(
        self, dialect: Dialect, path_key: str, scope: Scope, named: Named, receive: Receive, client: Client, request: int
    ) -> None:
        ledger = self._gate.ledger
        caller = identify(ledger.keys, scope["headers"], named, path_key)
        with Body(self._bodies) as incoming:
            body = await incoming.read(receive, named)
            ask = self._router.asked(parse(dialect, body), named)
            body = ask.body
            client.streams = ask.stream
            if dialect is Dialect.COUNT_TOKENS:
                self._counts.take(caller.key_id)
                if (here := self._router.counted_here(ask, caller)) is not None:
                    await self._count(ask, caller, named, here, client, request)
                    return
            self._router.check(ask, caller, named)
            ask, passage = self._gate.governor.enter(ask, caller, named, request)
            way = self._router.way(ask, passage, named)
            if ask.previous_response_id is not None:
                way = way._replace(targets=owner_of(ledger, caller, ask.previous_response_id, way.targets))
            way = degraded(ask, passage, way, self._table, self._gate, self._lives)
            remember(ask, passage)
            first = way.targets[0]
            if self._trimmer is not None:
                ask = await self._trimmer.trim(ask, passage, named, partial(self._price, ask, passage, first))
            settings = self._lives[first.upstream].settings
            wanted = await self._answers.wanted(ask, passage, first, settings, named, scope)
            parts = self._parts
            if self.listeners:
                parts = parts._replace(after=tuple([one.given for one in self.listeners if one.wants(passage, way)]))
            journey = Journey(parts, client, scope, ask, passage, way, wanted)
            await journey.run(self._idempotency(named, caller, body, kept=wanted is not None))

    async def _refuse(self, client: Client, refusal: Refusal, dialect: Dialect, request: int) -> None:
        if client.started:  # the stream is begun: say it in an event, then the server closes without a clean end
            await client.body(error_event(refusal, dialect, request_text(request)), more=True)
        else:
            await refuse(client, refusal, dialect, request, own_headers(request, None, cost=False))

    def _idempotency(self, named: Named, caller: Caller, body: bytes, *, kept: bool) -> tuple[bytes, bytes]:
        """(digest of the Idempotency-Key, digest of the body), or empty ones. Raises Refusal for a repeat.

        `kept`: its answer may be kept here, which is what a repeat of the same body is for; if it is not, the gate refuses.
        """
        value = named.get(b"idempotency-key")
        if not value:
            return b"", b""
        key, digest = hashlib.sha256(value).digest(), hashlib.sha256(body).digest()
        try:
            check_repeat(self._gate.ledger, caller.key_id, (key, digest))
        except Refusal as repeated:
            if repeated.kind is not Kind.CONFLICT:
                raise
            if not kept:
                repeated.message += " If its answer was kept, the header x-jevons-cache: on gives it." if self._answers.on else ""
                raise
        return key, digest

    def _price(self, ask: Ask, passage: Passage, target: Target) -> Price | None:
        settings = self._lives[target.upstream].settings
        return self._gate.book.dearest(settings.price_provider, target.model, passage.at_ms, price_context(ask, settings))

    async def _count(self, ask: Ask, caller: Caller, named: Named, target: Target, client: Client, request: int) -> None:
        ask, passage = self._gate.governor.enter(ask, caller, named, request)
        count = await self._gate.count_here(ask, passage, target, self._lives[target.upstream].settings, request)
        headers = [*about.JSON, *own_headers(request, None, cost=True)]
        await client.answer(200, headers, msgspec.json.encode({"input_tokens": count}))

    def _check_host(self, named: Named) -> None:
        raw = named.get(b"host", b"")
        if not self._hosts or raw in self._good_hosts:
            return
        host = raw.decode("latin-1")
        name = host.rsplit(":", 1)[0].strip("[]").lower() if not host.endswith("]") else host.strip("[]")
        if name not in self._hosts:
            raise Refusal(
                Kind.PERMISSION,
                403,
                f"Host {name!r} is not served here; list it under `hosts` in jevons.toml.",
                code="unknown_host",
            )
        if len(self._good_hosts) < ROUTE_MEMO_ENTRIES_MAX:
            self._good_hosts.add(raw)

    async def _other(
        self, path_key: str, path: str, scope: Scope, named: Named, receive: Receive, client: Client, request: int
    ) -> None:
        """Everything but model calls: health, metrics, models, stored responses, the cost of a request, the operator's own doors; else 404."""
        ledger, method = self._gate.ledger, scope["method"]
        if path in ("/health/live", "/health/ready") and method in ("GET", "HEAD"):
            return await about.health(client, "" if path.endswith("live") else self._ready())
        if path == "/metrics" and method == "GET":
            return await about.metrics(client, self._metrics)
        if path == "/" and method in ("GET", "HEAD"):
            return await about.hello(client)
        if path == "/v1/responses" and b"upgrade" in named:
            raise Refusal(Kind.INVALID, 426, "WebSocket is not spoken here; POST /v1/responses.", code="upgrade_required")
        caller = identify(ledger.keys, scope["headers"], named, path_key)
        own = own_headers(request, None, cost=False)
        if path == "/v1/models" and method == "GET":
            anthropic = b"anthropic-version" in named
            may_use = partial(self._gate.governor.may_use, caller)
            names = about.models_of(self._table, self._gate.book, self._lives, self._router.names(caller), may_use)
            return await about.models(client, names, own, anthropic=anthropic)
        if path.startswith("/jevons/v1/requests/") and method == "GET":
            return await about.request_cost(client, ledger, caller, own, path.removeprefix("/jevons/v1/requests/"))
        if self._trimmer is not None and path.startswith(PATH) and method == "GET":
            return await about.trimmed(client, self._trimmer.original(caller, path.removeprefix(PATH)), own)
        if path.startswith("/v1/responses/") and method in ("GET", "DELETE"):
            return await forward_stored(client, ledger, self._lives, caller, own, scope, path)
        if self._feedback is not None and path == FEEDBACK and method == "POST":
            with Body(self._bodies) as incoming:
                said = await self._feedback.take(caller, await incoming.read(receive, named))
                return await client.answer(200, [*about.JSON, *own], said)
        if (found := find_pass(self._lives, method, path)) is not None:
            with Body(self._bodies) as incoming:
                body = await incoming.read(receive, named)
                passage = self._gate.governor.enter_plain(caller, request, path)
                return await forward(self._gate, *found, client, passage, scope, path, body)
        raise Refusal(
            Kind.NOT_FOUND, 404, f"{method} {path} is not served here, and nothing unlisted is forwarded.", code="unknown_path"
        )


def _apart(path: str, admin: Asgi, pages: Asgi) -> Asgi | None:
    """The application that this path belongs to, if it is not the gateway's own."""
    if path.startswith(("/jevons/v1/admin", "/jevons/v1/approvals")):
        return admin
    return pages if path == "/ui" or path.startswith("/ui/") else None
