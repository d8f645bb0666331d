"""Admission of one attempt: its terms, the verdict, and the hold, in one synchronous step over the ledger's memory.

Comes in: the ask, the caller, a target. Goes out: an Attempt whose hold is being written, or a Refusal that says what to do.
"""

import asyncio
import time
from collections.abc import Callable

from jevons.core.ask import Ask, Caller, Dialect
from jevons.core.chain import Chain, chain
from jevons.core.entry import ATTEMPT_BITS, Entry, Hold, Outcome, admitted_ms, attempt_of, request_text
from jevons.core.limits import COUNT_INLINE_BYTES_MAX, HOLD_WAIT_MAX_S
from jevons.core.money import format_usd
from jevons.core.price import Price, PriceTier, UnpricedKind
from jevons.core.refusal import Kind, Refusal, invalid
from jevons.gateway.attempt import Attempt
from jevons.gateway.settings import UpstreamSettings
from jevons.ledger.bill import request_entries
from jevons.ledger.ledger import Ledger
from jevons.meter.models import ModelFacts, model_facts
from jevons.meter.overrides import override_line
from jevons.meter.pricebook import PriceBook, request_units
from jevons.meter.tokens import InputCount, MessageCounter, remote_input
from jevons.policy.govern import Admit, Deny, Terms, decide
from jevons.policy.route import Target

FREE = Price("free", "", 1, (PriceTier(-1, {}),))
"""What a call costs that no provider bills (count_tokens)."""


class Gate:
    """Decides with the ledger's accounts and the price book; keeps the token counts of messages seen before."""

    def __init__(self, ledger: Ledger, book: PriceBook, secret: bytes, on_entry: Callable[[Entry], None]) -> None:
        """`on_entry` is told of every entry as it is posted."""
        self._on_entry = on_entry
        self.ledger = ledger
        self.book = book
        self._secret = secret
        self._counter = MessageCounter()

    async def admit(
        self,
        ask: Ask,
        caller: Caller,
        target: Target,
        settings: UpstreamSettings,
        entry_id: int,
        idempotency: tuple[bytes, bytes],
    ) -> tuple[Attempt, Admit]:
        """A reserved attempt, its hold durable. Raises Refusal (402, 429, 400) or LedgerUnavailable."""
        provider = settings.price_provider
        about = model_facts(provider, target.model)
        links = chain(self._secret, ask.messages)
        count = await self._count(ask, about, links)
        terms = self._terms(ask, caller, target, settings, provider, about, count, entry_id)
        verdict = await self._verdict(caller, terms)
        hold = Hold(
            id=entry_id,
            key_id=caller.key_id,
            run_id=caller.run_id,
            dialect=ask.dialect,
            model=ask.model,
            target=target.model,
            upstream=target.upstream,
            stream=ask.stream,
            held_nusd=verdict.held_nusd,
            list_held_nusd=verdict.list_held_nusd,
            input_tokens=terms.input_tokens,
            input_bound=count.bound,
            output_tokens=ask.choices * (verdict.output_cap or ask.output_cap or terms.output_max),
            price_book=self.book.hash,
            price_row=terms.price.row,
            chain=links.head,
            messages=len(ask.messages),
            idempotency_key=idempotency[0],
            body_digest=idempotency[1],
        )
        # There is no await between the verdict and `take`'s first step: what was decided is what is reserved.
        unseen = ask.reasons or bool(ask.server_tools)  # what a provider's own tool reads and writes is not seen either
        attempt = await self.take(hold, terms.price, target.dialect, settings, about, reasons=unseen)
        if verdict.output_cap != ask.output_cap:
            attempt.output_cap = verdict.output_cap
        return attempt, verdict

    async def take(
        self, hold: Hold, price: Price, dialect: Dialect, settings: UpstreamSettings, about: ModelFacts, *, reasons: bool = False
    ) -> Attempt:
        """An attempt whose hold is reserved at once and durable on return. Raises LedgerUnavailable."""
        attempt = Attempt(
            self.ledger,
            hold,
            price,
            provider=settings.price_provider,
            dialect=dialect,
            billed=settings.billed,
            visible=about.shows_all(reasons=reasons),
            encoding=about.count_encoding,
            on_entry=self._on_entry,
        )
        check_repeat(self.ledger, hold.key_id, (hold.idempotency_key, hold.body_digest))
        durable = self.ledger.take(hold)
        try:
            await durable
        except asyncio.CancelledError:
            attempt.abandon()
            raise
        return attempt

    async def count_here(self, ask: Ask, caller: Caller, target: Target, settings: UpstreamSettings, entry_id: int) -> int:
        """Our own count for the count_tokens door, where the upstream has none: an upper bound or estimate, and an entry of cost 0."""
        about = model_facts(settings.price_provider, target.model)
        links = chain(self._secret, ask.messages)
        count = await self._count(ask, about, links)
        hold = Hold(
            id=entry_id,
            key_id=caller.key_id,
            run_id=caller.run_id,
            dialect=ask.dialect,
            model=ask.model,
            target=target.model,
            upstream=target.upstream,
            stream=False,
            held_nusd=0,
            list_held_nusd=0,
            input_tokens=count.tokens,
            input_bound=count.bound,
            output_tokens=0,
            price_book=self.book.hash,
            price_row=FREE.row,
            chain=links.head,
            messages=len(ask.messages),
        )
        attempt = await self.take(hold, FREE, ask.dialect, settings, about)
        await attempt.resolve(Outcome.FREE)
        return count.tokens

    async def _count(self, ask: Ask, about: ModelFacts, links: Chain) -> InputCount:
        if ask.remote_context:
            return remote_input(about, ask.output_cap or 0)
        counter = self._counter
        if counter.uncached_bytes(ask.messages, about.tokenizer, links.digests) > COUNT_INLINE_BYTES_MAX:
            return await asyncio.to_thread(
                counter.count, ask.messages, about, ask.dialect, digests=links.digests, extras=ask.extras
            )
        return counter.count(ask.messages, about, ask.dialect, digests=links.digests, extras=ask.extras)

    def _terms(
        self,
        ask: Ask,
        caller: Caller,
        target: Target,
        settings: UpstreamSettings,
        provider: str,
        about: ModelFacts,
        count: InputCount,
        entry_id: int,
    ) -> Terms:
        if ask.dialect is Dialect.COUNT_TOKENS:
            return Terms(FREE, 0, 0, billed=False)
        context = price_context(ask, settings)
        price = self.book.dearest(provider, target.model, admitted_ms(entry_id), context)
        if price is None:
            raise unpriced(provider, target.model, ["input", "output"], self.book.suggest(target.model))
        units = list(request_units(price))
        limited = self.ledger.accounts[caller.key_id].limit_nusd is not None
        for unit, bound in ask.server_tools:
            if bound is not None:
                units.append((unit, bound))
            elif limited:
                raise invalid(
                    f"The provider bills each use of this tool ({unit}), the key has a limit, and the request does not bound the uses."
                    " Set max_uses on the tool (Messages) or max_tool_calls (Responses).",
                    param="tools",
                    code="unbounded_tool",
                )
        output_max = 0 if ask.dialect is Dialect.EMBEDDINGS else about.max_output
        return Terms(
            price=price,
            input_tokens=count.tokens,
            output_max=output_max,
            output_cap=ask.output_cap,
            choices=ask.choices,
            thinking_budget=ask.thinking_budget,
            default_output_tokens=caller.default_output_tokens,
            units=tuple(units),
            billed=settings.billed,
        )

    async def _verdict(self, caller: Caller, terms: Terms) -> Admit:
        """Admit, or wait a little for open holds, or refuse. Its last step and the reservation are not separated by an await."""
        deadline = 0.0
        while True:
            try:
                verdict = decide(self.ledger.accounts[caller.key_id], terms)
            except UnpricedKind as error:
                provider, _, model = terms.price.row.partition("/")
                raise unpriced(provider, model.partition("@")[0], error.kinds, []) from None
            if isinstance(verdict, Admit):
                return verdict
            if isinstance(verdict, Deny):
                raise self._denied(caller, verdict.needed_nusd)
            now = time.monotonic()
            deadline = deadline or now + HOLD_WAIT_MAX_S
            if now >= deadline:
                raise Refusal(
                    Kind.RATE_LIMIT,
                    429,
                    f"Key {caller.key_name!r} has the money, but open calls hold it; one of them will be settled soon.",
                    code="holds_open",
                    retry_after_s=1,
                    detail=self._standing(caller, verdict.needed_nusd),
                )
            await asyncio.wait((self.ledger.on_resolved(),), timeout=deadline - now)

    def _denied(self, caller: Caller, needed_nusd: int) -> Refusal:
        standing = self._standing(caller, needed_nusd)
        account = self.ledger.accounts[caller.key_id]
        return Refusal(
            Kind.BUDGET,
            402,
            f"Key {caller.key_name!r} has spent {format_usd(account.posted_nusd)} of its limit of"
            f" {format_usd(account.limit_nusd or 0)}; this call may cost up to {format_usd(needed_nusd)}. Raise the limit"
            f" with `jevons keys limit {caller.key_name} AMOUNT`, or ask for less output.",
            code="insufficient_quota",
            detail=standing,
        )

    def _standing(self, caller: Caller, needed_nusd: int) -> dict[str, object]:
        account = self.ledger.accounts[caller.key_id]
        return {
            "scope": f"key:{caller.key_name}",
            "limit_nusd": account.limit_nusd,
            "spent_nusd": account.posted_nusd,
            "held_nusd": account.held_nusd,
            "needed_nusd": needed_nusd,
            "window": "total",
        }


def price_context(ask: Ask, settings: UpstreamSettings, answered_tier: str = "") -> dict[str, str]:
    """What besides the date decides the rates: the tier that answered, else the one asked for, else the upstream's own; and the speed."""
    tier = answered_tier or ask.service_tier or settings.service_tier
    context = {"service_tier": tier} if tier != "default" else {}
    if ask.speed is not None:
        context["speed"] = ask.speed
    return context


def check_repeat(ledger: Ledger, key_id: int, idempotency: tuple[bytes, bytes]) -> None:
    """Raises Refusal (409, 422) if this key used the Idempotency-Key before; asked at the door, and again in the step that takes the hold."""
    earlier = ledger.repeated(key_id, idempotency[0]) if idempotency[0] else None
    if earlier is None:
        return
    body_digest, entry_id = earlier
    first = entry_id - attempt_of(entry_id)
    request = request_text(first)
    if body_digest != idempotency[1]:
        raise invalid(
            f"This Idempotency-Key was used with another body ({request}); use a new one.",
            code="idempotency_key_reused",
            status=422,
        )
    billed = sum(entry["billed_nusd"] for entry in request_entries(ledger.path, first, 1 << ATTEMPT_BITS, key_id))
    raise Refusal(
        Kind.CONFLICT,
        409,
        f"This request was made before, as {request}; answers are not kept, so it is not made again. Its cost: GET /jevons/v1/requests/{request}.",
        code="idempotent_repeat",
        detail={"request": request, "billed_nusd": billed},
    )


def unpriced(provider: str, model: str, kinds: list[str], similar: list[str]) -> Refusal:
    """A model whose price is not known is refused: unknown is not free."""
    hint = f" Did you mean {', '.join(similar)}?" if similar else ""
    return Refusal(
        Kind.INVALID,
        400,
        f"The price of {provider}/{model} ({', '.join(kinds)}) is unknown, and unmetered calls are refused.{hint} If {provider!r} only"
        ' resells, name whose prices apply: `provider = "openai"` in its [[upstreams]] table. Or state the price in prices.toml:\n'
        + override_line(provider, model, tuple(kinds)),
        code="unknown_price",
        param="model",
    )
