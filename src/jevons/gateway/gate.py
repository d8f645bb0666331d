"""Admission of one attempt: its terms, the verdict, and the hold, in one synchronous step over the ledger's memory.

Comes in: the ask, the caller, a target. Goes out: an Attempt whose hold is being written, or a Refusal that says what to do.
"""

import asyncio
import time
from collections.abc import Callable

import msgspec

from jevons.core.ask import Ask, Dialect
from jevons.core.entry import Entry, Estimate, Hold, Outcome, admitted_ms, attempt_of, request_text
from jevons.core.limits import HOLD_WAIT_MAX_S
from jevons.core.price import Price, PriceTier, UnpricedKind
from jevons.core.refusal import invalid
from jevons.core.saving import SavingKind
from jevons.core.usage import Usage
from jevons.gateway import wording
from jevons.gateway.answers import Hit
from jevons.gateway.attempt import Attempt
from jevons.gateway.breaking import Breaks
from jevons.gateway.counting import Counting
from jevons.gateway.governor import Governor
from jevons.gateway.growing import Growing
from jevons.gateway.guard import Guard
from jevons.gateway.idempotency import check_repeat
from jevons.gateway.passage import NO_LOOPS, Passage
from jevons.gateway.prefixes import Prefixes
from jevons.gateway.pricing import price_context, size_tokens, unpriced
from jevons.gateway.settings import UpstreamSettings
from jevons.ledger.ledger import Ledger
from jevons.meter.lineages import lineage_of
from jevons.meter.models import ModelFacts, model_facts
from jevons.meter.pricebook import PriceBook, billing
from jevons.meter.tokens import InputCount
from jevons.policy.accounts import Account
from jevons.policy.amounts import Amounts
from jevons.policy.govern import Admit, AskPerson, Deny, Terms, decide, is_cut
from jevons.policy.packed import Outputs
from jevons.policy.route import Target
from jevons.policy.routes import STUDENTS
from jevons.policy.rules import COUNTED, Measure
from jevons.policy.savings import hit_saving
from jevons.policy.terms import LITTLE_KNOWN, NOT_PACKED, Asked, Sort, encode, terms_of, turn_number
from jevons.wire.cut import Ending

OUTPUT = COUNTED.index(Measure.OUTPUT)
NOTHING: Amounts = (0,) * 10
FREE = Price("free", "", 1, (PriceTier(-1, {}),))
"""What a call costs that no provider bills (count_tokens)."""


class Gate:
    """Decides with the ledger's accounts and the price book."""

    def __init__(
        self, ledger: Ledger, book: PriceBook, governor: Governor, prefixes: Prefixes, on_entry: Callable[[Entry], None]
    ) -> None:
        """`on_entry` is told of every entry as it is posted."""
        self._on_entry = on_entry
        self.on_routed: Callable[[Entry], None] = lambda entry: None
        """Is told of every answer to a request that was routed."""
        self.ledger = ledger
        self.book = book
        self.governor = governor
        self.outputs = Outputs()
        self.prefixes = prefixes
        self.counting = Counting(prefixes.counter)
        self._breaks = Breaks()

    async def admit(
        self,
        ask: Ask,
        passage: Passage,
        target: Target,
        settings: UpstreamSettings,
        entry_id: int,
        idempotency: tuple[bytes, bytes],
    ) -> tuple[Attempt, Admit]:
        """A reserved attempt, its hold durable. Raises Refusal (402, 429, 400) or LedgerUnavailable."""
        provider = settings.price_provider
        about = model_facts(provider, target.model)
        count = await self.counting.count(ask, about, passage.sent)
        trimmed = await self.counting.trimmed(ask, about, passage)
        cap_max = self.governor.judge(passage, ask, target.model, count.tokens)
        noted = self.governor.tell(passage, target.model)
        if noted:
            count = InputCount(count.tokens + noted, count.bound)
        asked = self._asked(ask, passage, target, settings, about, count.tokens, noted)
        terms = self._terms(asked, passage, target, ask.server_tools, entry_id, cap_max)
        path, verdict = await self._verdict(passage, target.model, terms)
        told_cap = ask.output_cap if verdict.output_cap is None else verdict.output_cap
        hold = hold_of(passage, ask.dialect, ask.model, target, entry_id)
        hold = msgspec.structs.replace(
            hold,
            stream=ask.stream,
            held_nusd=verdict.held_nusd,
            list_held_nusd=verdict.list_held_nusd,
            input_tokens=terms.input_tokens,
            input_bound=count.bound,
            output_tokens=verdict.amounts[OUTPUT],
            price_book=self.book.hash,
            price_row=terms.price.row,
            idempotency_key=idempotency[0],
            body_digest=idempotency[1],
            terms=encode(asked if told_cap is None else msgspec.structs.replace(asked, told_cap=told_cap)),
        )
        self.governor.remember(passage, ask, count.tokens)
        # There is no await between the verdict and `take`'s first step: what was decided is what is reserved.
        unseen = ask.reasons or bool(ask.server_tools)  # what a provider's own tool reads and writes is not seen either
        attempt = await self.take(
            hold, terms.price, target.dialect, settings, about, reasons=unseen, reserved=(path, verdict.amounts)
        )
        attempt.passage = passage
        attempt.watch = self._breaks.watch(ask, passage, target, provider, count.tokens)
        attempt.trimmed_tokens, attempt.trimmed_new_tokens = trimmed
        attempt.before = self._before(passage, target, asked)
        if terms.expected_output is not None:
            attempt.growing = Growing(self.ledger, attempt, terms, verdict.output_cap or terms.output_max, about)
        if verdict.output_cap != ask.output_cap:
            attempt.output_cap = verdict.output_cap
        return attempt, verdict

    def _before(self, passage: Passage, target: Target, asked: Asked) -> tuple[tuple[SavingKind, Price], ...]:
        """Which models stood before this one: the reference of its route, and what a budget made it give up."""
        if passage.reference is None and passage.instead_of is None:
            return ()
        steps: list[tuple[SavingKind, tuple[str, str, str]]] = []
        itself = (target.upstream, target.model)
        if passage.reference is not None and (passage.instead_of is not None or passage.reference[:2] != itself):
            steps.append((SavingKind.STUDENT if target.upstream == STUDENTS else SavingKind.ROUTE, passage.reference))
        if passage.instead_of is not None:
            steps.append((SavingKind.MODEL, passage.instead_of))
        context = billing(dict(asked.context), billed=True)  # what stood before has a price of its own, or none that can be told
        priced = [(kind, self.book.price(maker, model, passage.at_ms, context)) for kind, (_, model, maker) in steps]
        return tuple([(kind, price) for kind, price in priced if price is not None])

    async def admit_plain(self, passage: Passage, target: Target, settings: UpstreamSettings, terms: Terms) -> Attempt:
        """A reserved attempt at an operator's own door, which has no messages. Raises as `admit`."""
        path, verdict = await self._verdict(passage, target.model, terms)
        hold = msgspec.structs.replace(
            hold_of(passage, "pass", target.model, target, passage.request),
            held_nusd=verdict.held_nusd,
            list_held_nusd=verdict.list_held_nusd,
            price_book=terms.price.book,
            price_row=terms.price.row,
            terms=encode(Asked(sort=Sort.DOOR, billed=terms.billed, fixed_nusd=verdict.list_held_nusd)),
        )
        about = model_facts(settings.price_provider, target.model)
        attempt = await self.take(hold, terms.price, target.dialect, settings, about, reserved=(path, verdict.amounts))
        attempt.passage = passage
        return attempt

    async def take(
        self,
        hold: Hold,
        price: Price,
        dialect: Dialect,
        settings: UpstreamSettings,
        about: ModelFacts,
        *,
        reasons: bool = False,
        reserved: tuple[tuple[Account, ...], Amounts],
    ) -> Attempt:
        """An attempt whose hold is reserved at once and durable on return. Raises LedgerUnavailable.

        `reserved`: its path, and what is held on it.
        """
        attempt = Attempt(
            self.ledger,
            hold,
            price,
            provider=settings.price_provider,
            dialect=dialect,
            billed=settings.billed,
            visible=about.shows_all(reasons=reasons),
            encoding=about.count_encoding,
            on_entry=self._entered,
        )
        check_repeat(self.ledger, hold.key_id, (hold.idempotency_key, hold.body_digest))
        durable = self.ledger.take(hold, *reserved)
        try:
            await durable
        except asyncio.CancelledError:
            attempt.abandon()
            raise
        return attempt

    def guard(self, attempt: Attempt, ask: Ask, dialect: Dialect) -> Guard | None:
        """What its stream is to be passed through; None for most. `dialect`: the upstream's."""
        judge = self.governor.call_judge(attempt.passage) if attempt.passage is not None else None
        if judge is None and attempt.growing is None:
            return None
        hold = attempt.hold
        ending = Ending(
            dialect,
            model=hold.target,
            answer_id=request_text(hold.id),
            created_s=admitted_ms(hold.id) // 1000,
            include_usage=ask.include_usage,
        )
        return Guard(dialect, judge, attempt.growing, ending)

    async def count_here(self, ask: Ask, passage: Passage, target: Target, settings: UpstreamSettings, entry_id: int) -> int:
        """Our own count for the count_tokens door, where the upstream has none: an upper bound or estimate, and an entry of cost 0."""
        about = model_facts(settings.price_provider, target.model)
        count = await self.counting.count(ask, about, passage.links)
        hold = hold_of(passage, ask.dialect, ask.model, target, entry_id)
        hold = msgspec.structs.replace(
            hold,
            input_tokens=count.tokens,
            input_bound=count.bound,
            price_book=self.book.hash,
            price_row=FREE.row,
            terms=encode(Asked(sort=Sort.HERE)),
        )
        attempt = await self.take(hold, FREE, ask.dialect, settings, about, reserved=((), NOTHING))
        await attempt.resolve(Outcome.FREE)
        return count.tokens

    async def judge_hit(self, ask: Ask, passage: Passage, target: Target, settings: UpstreamSettings, found: Hit) -> InputCount:
        """A kept answer in place of an attempt is judged as any call. Returns what `hit` is to be told; raises Refusal."""
        about = model_facts(settings.price_provider, target.model)
        count = await self.counting.count(ask, about, passage.sent)
        self.governor.judge(passage, ask, target.model, count.tokens)
        if (refusal := self.governor.judge_answer(passage, ask.dialect, found.answer.body)) is not None:
            raise refusal
        return count

    async def hit(
        self, ask: Ask, passage: Passage, target: Target, settings: UpstreamSettings, found: Hit, count: InputCount
    ) -> Entry:
        """A kept answer that was judged: an entry of cost 0 with what it saves, durable on return.

        It lies on no account, holds nothing, is no step, and leaves an Idempotency-Key free. Raises LedgerUnavailable.
        """
        self.governor.path(passage, target.model)  # for the headers: what is left
        self.governor.remember(passage, ask, count.tokens)
        price = self.book.price(settings.price_provider, target.model, passage.at_ms, price_context(ask, settings))
        hold = msgspec.structs.replace(
            hold_of(passage, ask.dialect, ask.model, target, passage.request),
            stream=ask.stream,
            input_tokens=count.tokens,
            input_bound=count.bound,
            price_book=self.book.hash,
            price_row=price.row if price is not None else "",
            terms=encode(Asked(sort=Sort.HERE)),
        )
        entry = Entry(
            hold=hold,
            outcome=Outcome.CACHED,
            status=0,
            usage=Usage(),
            lines=(),
            list_nusd=0,
            billed_nusd=0,
            estimate=Estimate.NONE,
            settled_ms=int(time.time() * 1000),
            savings=() if price is None else (hit_saving(found.answer.usage, price, found.kind),),
            routed=passage.routed,
        )
        self.ledger.take(hold, (), NOTHING)  # for its place in the order; both rows go to the disk in one transaction
        self._entered(entry)
        await self.ledger.post(entry)
        return entry

    def _entered(self, entry: Entry) -> None:
        self.prefixes.settled(entry)
        key_id = entry.hold.key_id
        if entry.routed is not None and entry.outcome is Outcome.OK:
            self.on_routed(entry)
        if entry.usage.output and self.governor.packs(self.ledger.by_id[key_id].settings.holds):
            self.outputs.saw(key_id, entry.hold.target, entry.usage.output)
        self._on_entry(entry)

    def _asked(
        self,
        ask: Ask,
        passage: Passage,
        target: Target,
        settings: UpstreamSettings,
        about: ModelFacts,
        input_tokens: int,
        noted: int,
    ) -> Asked:
        """What the attempt is decided by: from this alone it can be decided again."""
        if ask.dialect is Dialect.COUNT_TOKENS:
            return Asked(sort=Sort.COUNT, billed=False)
        unseen = ask.reasons or bool(ask.server_tools)
        followable = ask.stream and ask.choices == 1 and not unseen and about.shows_all(reasons=False)
        found, loops = passage.facts, passage.loops
        of_run = found is not None and passage.run is not None
        return Asked(
            provider=settings.price_provider,
            context=tuple(price_context(ask, settings).items()),
            input_tokens=input_tokens,
            noted=noted,
            output_max=0 if ask.dialect is Dialect.EMBEDDINGS else about.max_output,
            output_cap=ask.output_cap,
            choices=ask.choices,
            thinking_budget=ask.thinking_budget,
            default_output_tokens=passage.caller.default_output_tokens,
            units=tuple([(unit, bound) for unit, bound in ask.server_tools if bound is not None]) if ask.server_tools else (),
            unbounded=bool(ask.server_tools) and any(bound is None for _, bound in ask.server_tools),
            billed=settings.billed,
            packing=self._packing(passage, target, followable=followable),
            followable=followable,
            size_tokens=size_tokens(ask),
            turn=turn_number(passage.turn),
            conversation=int.from_bytes(passage.links.links[0][:4]) if passage.links.links else 0,
            instead_of=passage.instead_of,
            facts=(found.seconds, found.own_seconds, found.depth, found.ordinal, found.growth_pct) if found and of_run else None,
            loops=None if loops is None or loops is NO_LOOPS else (loops.repeats, loops.identical, loops.stalled_tokens),
            warm_tokens=max(0, passage.warm_tokens or 0),
        )

    def _terms(
        self,
        asked: Asked,
        passage: Passage,
        target: Target,
        tools: tuple[tuple[str, int | None], ...],
        entry_id: int,
        cap_max: int | None,
    ) -> Terms:
        if asked.sort == Sort.COUNT:
            return terms_of(asked, FREE, step=False)
        price = self.book.dearest(asked.provider, target.model, admitted_ms(entry_id), dict(asked.context))
        if price is None:
            raise unpriced(asked.provider, target.model, ["input", "output"], self.book.suggest(target.model))
        if asked.unbounded and is_cut(self.governor.path(passage, target.model)):
            unit = next(unit for unit, bound in tools if bound is None)
            raise invalid(
                f"The provider bills each use of this tool ({unit}), the caller has a limit, and the request does not bound the uses."
                " Set max_uses on the tool (Messages) or max_tool_calls (Responses).",
                param="tools",
                code="unbounded_tool",
            )
        expected = asked.packing if asked.packing > LITTLE_KNOWN else None
        return terms_of(asked, price, step=attempt_of(entry_id) == 0, cap_max=cap_max, expected_output=expected)

    def _packing(self, passage: Passage, target: Target, *, followable: bool) -> int:
        """What a packed hold begins with. Only a stream whose whole output is seen can be followed; everything else is strict."""
        if not followable or not self.governor.packs(passage.caller.holds):
            return NOT_PACKED
        if not is_cut(self.governor.path(passage, target.model)):
            return NOT_PACKED
        return self.outputs.expected(passage.caller.key_id, target.model) or LITTLE_KNOWN

    async def _verdict(self, passage: Passage, model: str, terms: Terms) -> tuple[tuple[Account, ...], Admit]:
        """Admit, or wait a little for open holds, or refuse. Its last step and the reservation are not separated by an await."""
        deadline = 0.0
        while True:
            path = self.governor.path(passage, model)
            try:
                verdict = decide(path, terms)
            except UnpricedKind as error:
                provider, _, name = terms.price.row.partition("/")
                raise unpriced(provider, name.partition("@")[0], error.kinds, []) from None
            if isinstance(verdict, Admit):
                if verdict.observed:
                    self.governor.observed(passage, verdict.observed)
                return path, verdict
            if isinstance(verdict, Deny):
                raise self.governor.denied(passage, wording.short(verdict.account, verdict.needed, passage.at_ms))
            if isinstance(verdict, AskPerson):
                raise self.governor.ask(passage, verdict.account)
            now = time.monotonic()
            deadline = deadline or now + HOLD_WAIT_MAX_S
            if now >= deadline:
                raise self.governor.denied(passage, wording.holds_open(verdict.account, verdict.needed))
            await asyncio.wait((self.ledger.on_resolved(),), timeout=deadline - now)


def hold_of(passage: Passage, dialect: str, model: str, target: Target, entry_id: int) -> Hold:
    """The hold of an attempt as far as its passage and target say: nothing is held yet."""
    run = passage.run
    return Hold(
        id=entry_id,
        key_id=passage.caller.key_id,
        run_id=run.label if run is not None else None,
        dialect=dialect,
        model=model,
        target=target.model,
        upstream=target.upstream,
        stream=False,
        held_nusd=0,
        list_held_nusd=0,
        input_tokens=0,
        input_bound="exact",
        output_tokens=0,
        price_book="",
        price_row="",
        chain=passage.links.head,
        messages=len(passage.links.links),
        agent=passage.caller.agent,
        parent_run_id=run.parent.label if run is not None and run.parent is not None else None,
        run_source=passage.source if run is not None else "",
        tier=lineage_of(target.upstream, target.model).tier,
    )
