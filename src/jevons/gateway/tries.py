"""The attempts of one request, in order until one answers: each held before it is sent and resolved once.

Comes in: targets. Goes out: an answer that somebody took, or Failed. Who is tried is said by `gateway.spots`; how each ended is told to `gateway.health`.
Does not know: what is done with an answer (`sending.Take`).
"""

import asyncio
import math
import random
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

from jevons.core.ask import Ask, Dialect
from jevons.core.entry import Outcome
from jevons.core.limits import ATTEMPTS_MAX, COOL_DOWN_WAIT_MAX_S, RETRY_BACKOFF_FIRST_S, RETRY_BACKOFF_MAX_S
from jevons.core.refusal import Kind, Refusal
from jevons.core.routed import Role, Routed
from jevons.core.saving import SavingKind
from jevons.gateway.attempt import Attempt
from jevons.gateway.gate import Gate
from jevons.gateway.hedging import Race, is_interactive
from jevons.gateway.outbound import NOTHING, Outgoing
from jevons.gateway.sending import Asked, Sender, Take
from jevons.gateway.spots import Spot, Spots, tier_member
from jevons.gateway.unanswered import Failed
from jevons.ledger.errors import LedgerUnavailable
from jevons.policy.breaker import Sign, Standing
from jevons.policy.govern import Admit
from jevons.policy.order import runs_short
from jevons.policy.route import Target

_SHOWN = frozenset({Role.ANSWER, Role.RETRY, Role.FAILOVER, Role.HEDGE})
_ITS_OWN = frozenset({Kind.UNAVAILABLE, Kind.INVALID})
"""Refusals before anything is sent that may hold for one target alone: it is not there, its price is not known, its limits are too narrow."""


class Held(NamedTuple):
    """An attempt whose hold is on disk."""

    address: str
    attempt: Attempt
    verdict: Admit


class Tries:
    """Of one request. Counts its attempts: the number is part of each entry's id."""

    def __init__(
        self,
        gate: Gate,
        spots: Spots,
        sender: Sender,
        routed: Routed | None,
        idempotency: tuple[bytes, bytes],
        *,
        role: Role = Role.ANSWER,
        admitted: Callable[[], None] | None = None,
    ) -> None:
        """`role` of the first; what follows it is told apart only for a client's answer. `admitted` is told that a hold is taken."""
        self._gate = gate
        self._spots = spots
        self._health = spots.health
        self._sender = sender
        self._routed = routed
        self._idempotency = idempotency
        self._role = role
        self._admitted = admitted
        self._number = 0
        self._chosen: Target | None = None
        self._several = False
        """There is more than one who may answer: whoever is not to be called is passed over."""

    async def run(self, ask: Ask, targets: tuple[Target, ...], take: Take) -> None:
        """Raises Failed (the last), Refusal, LedgerUnavailable, Aborted."""
        self._chosen = targets[0]
        spots = self._spots.of(ask, self._sender.passage, targets)
        self._several = len(spots) > 1 and len({spot.circuit.name for spot in spots if not spot.tier}) > 1
        if self._several:
            await self._cool(spots)
        failed: Failed | Refusal | None = None
        role = self._role
        for place, spot in enumerate(spots):
            if self._several and place and spot.standing(_now_ms()) is Standing.COOLING:
                continue
            try:
                asked = _asked(ask, spot)
            except Refusal as refusal:  # it cannot be said in this dialect, or to this server; another may be told
                failed, role = failed or refusal, self._next(Role.FAILOVER)
                continue
            if self._several:
                spot.circuit.breaker.claim(_now_ms())
            failed = await self._at(asked, spots, place, take, role, failed)
            if failed is None:
                return
            role = self._follows(spots, place)
        assert failed is not None
        raise failed

    async def once(
        self,
        ask: Ask,
        target: Target,
        take: Take,
        role: Role,
        *,
        members: Mapping[str, bytes] = NOTHING,
        most_s: float = math.inf,
    ) -> None:
        """One attempt alone, with members set besides (`Outgoing`), broken off after `most_s`. Raises Failed, Refusal, LedgerUnavailable, Aborted."""
        spot = next(spot for spot in self._spots.of(ask, self._sender.passage, (target,)) if not spot.tier)
        if spot.standing(_now_ms()) >= Standing.OPEN:
            raise Refusal(Kind.UNAVAILABLE, 503, f"{target.upstream}/{target.model} is not called now.", code="upstream_open")
        outgoing = Outgoing(ask, target, spot.live.settings, members)
        asked = Asked(ask, target, spot.live, outgoing, most_s, spot.credential)
        await self._send(self._sender, spot, asked, await self._hold(asked, role), take)

    async def _at(
        self, asked: Asked, spots: Sequence[Spot], place: int, take: Take, role: Role, failed: Failed | Refusal | None
    ) -> Failed | Refusal | None:
        """Try one spot, again if that may help. Returns why it gave no answer, and another may; raises what is final."""
        spot = spots[place]
        doubtful = self._several and spot.standing(_now_ms()) > Standing.READY
        tries = 1 if spot.tier or doubtful else spot.live.settings.retries + 1
        for retry in range(tries):
            if self._number >= ATTEMPTS_MAX:
                break
            try:
                held = await self._hold(asked, role)
            except Refusal as refusal:
                spot.circuit.breaker.hear(Sign.NOTHING, _now_ms())  # somebody else may try it
                if failed is None and (refusal.kind not in _ITS_OWN or place == len(spots) - 1):
                    raise
                return failed or refusal  # no money for another try, or nobody there: the last error stands
            if spot.tier and (price := self._spots.price(asked.ask, self._sender.passage, spot)) is not None:
                held.attempt.before = (*held.attempt.before, (SavingKind.ROUTE, price))
            try:
                await self._shown(asked, held, spots, place, take)
                return None
            except Failed as error:
                failed = error
            if not failed.elsewhere and not self._may_do_without(spot, failed):
                raise failed
            if not failed.again or self._moves_on(spots, place, failed):
                break
            role = self._next(Role.RETRY)
            if retry < tries - 1:
                await asyncio.sleep(failed.after_s or _backoff(retry))
        return failed

    async def _shown(self, asked: Asked, held: Held, spots: Sequence[Spot], place: int, take: Take) -> None:
        """An attempt, and beside it another if it is slow and that is wished. Raises as `_send`."""
        spot = spots[place]
        other = self._beside_of(asked.ask, spots, place) if spot.live.settings.hedge_ms else None
        if other is None:
            await self._send(self._sender, spot, asked, held, take)
            return
        race = Race(partial(self._beside, asked.ask, other, take))
        held.attempt.on_show, held.attempt.is_beaten = race.first_shows, race.first_is_beaten
        race.start(spot.circuit.slow_s(stream=asked.ask.stream) or spot.live.settings.hedge_ms / 1000)
        try:
            await self._send(self._sender, spot, asked, held, take)
        except asyncio.CancelledError:
            if not race.lost():
                raise
            self._health.slow(spot.circuit)
            await race.second()
        except Failed as failed:
            if not (failed.elsewhere and race.under_way):
                raise
            try:
                await race.second()
            except Failed:
                raise failed from None
            if not race.won:
                raise
        finally:
            if race.begun:
                self._health.hedges[spot.target.upstream, "won" if race.won else "lost"] += 1
            await race.end()

    def _beside_of(self, ask: Ask, spots: Sequence[Spot], place: int) -> Spot | None:
        """Whom to ask beside a spot, if it may be."""
        passage = self._sender.passage
        if self._role is not Role.ANSWER or spots[place].tier or not is_interactive(ask) or runs_short(passage.path):
            return None
        now_ms = _now_ms()
        return next((one for one in spots[place + 1 :] if not one.tier and one.standing(now_ms) is Standing.READY), None)

    async def _beside(self, ask: Ask, spot: Spot, take: Take, race: Race) -> None:
        """The second attempt of a race. What does not fit is not sent."""
        try:
            asked = _asked(ask, spot)
            held = await self._hold(asked, Role.HEDGE)
        except (Refusal, LedgerUnavailable):
            return
        held.attempt.on_show, held.attempt.is_beaten = race.second_shows, race.second_is_beaten
        await self._send(self._sender.beside(), spot, asked, held, take)

    async def _hold(self, asked: Asked, role: Role) -> Held:
        """Raises Refusal, LedgerUnavailable."""
        passage = self._sender.passage
        address = await asked.live.address()
        idempotency = (b"", b"") if role is Role.HEDGE else self._idempotency
        number = self._number
        self._number += role is Role.HEDGE  # the first may end, and be tried again, while this waits for the disk
        attempt, verdict = await self._gate.admit(
            asked.ask, passage, asked.target, asked.live.settings, passage.request + number, idempotency
        )
        self._number = max(self._number, number + 1)
        attempt.role, attempt.routed = role, self._routed
        attempt.stands_in = self._chosen is not None and _is_another(asked.target, self._chosen, self._routed)
        return Held(address, attempt, verdict)

    async def _send(self, sender: Sender, spot: Spot, asked: Asked, held: Held, take: Take) -> None:
        """Raises Failed, Aborted, and what `take` raises."""
        if self._admitted is not None:
            self._admitted()
        attempt, after_s = held.attempt, 0.0
        try:
            await sender.send(asked, *held, take)
        except Failed as failed:
            after_s = failed.after_s
            raise
        finally:
            if attempt.sent:
                self._idempotency = (b"", b"")  # it stands with the first attempt that an upstream may have seen
            if (
                asked.target.dialect is not Dialect.COUNT_TOKENS
            ):  # a door that answers says nothing of the model behind the others
                self._health.hear(spot.circuit, attempt, after_s, own_credential=not spot.live.settings.is_clients)
            if self._several and attempt.outcome is Outcome.OK and attempt.role in _SHOWN:
                self._spots.answered(sender.passage, spot)

    async def _cool(self, spots: Sequence[Spot]) -> None:
        """Wait a little for the first, where all that may answer were asked by their providers not to be called. Raises Refusal (429)."""
        now_ms = _now_ms()
        if spots[0].standing(now_ms) is not Standing.COOLING:
            return
        wait_s = (spots[0].circuit.breaker.until_ms(now_ms) - now_ms) / 1000
        if wait_s <= COOL_DOWN_WAIT_MAX_S:
            await asyncio.sleep(wait_s)
            return
        self._health.refused += 1
        raise Refusal(
            Kind.RATE_LIMIT,
            429,
            f"All {len(spots)} that answer to this model asked not to be called for now (Retry-After).",
            code="upstreams_cooling",
            retry_after_s=math.ceil(wait_s),
        )

    def _may_do_without(self, spot: Spot, failed: Failed) -> bool:
        """Is what it found fault with perhaps the tier, which the client did not ask for?"""
        attempt = failed.attempt
        return bool(spot.tier) and attempt.outcome is Outcome.ERROR and attempt.status >= 400 and not self._sender.client_gone

    def _moves_on(self, spots: Sequence[Spot], place: int, failed: Failed) -> bool:
        """Is it not to be called now, and another may be?"""
        now_ms = _now_ms()
        if not failed.after_s and spots[place].standing(now_ms) < Standing.OPEN:
            return False
        return any(spot.standing(now_ms) <= Standing.TRYING for spot in spots[place + 1 :])

    def _follows(self, spots: Sequence[Spot], place: int) -> Role:
        """What the attempt after a spot's is made for."""
        upstream = spots[place].target.upstream
        if place + 1 < len(spots) and spots[place + 1].target.upstream == upstream:
            return self._next(Role.RETRY)
        if place + 1 < len(spots):
            self._health.failovers[upstream] += 1
        return self._next(Role.FAILOVER)

    def _next(self, role: Role) -> Role:
        return role if self._role is Role.ANSWER else self._role


def _asked(ask: Ask, spot: Spot) -> Asked:
    """Raises Refusal for what cannot be said to it."""
    outgoing = Outgoing(ask, spot.target, spot.live.settings, tier_member(spot.tier))
    return Asked(ask, spot.target, spot.live, outgoing, credential=spot.credential)


def _is_another(target: Target, chosen: Target, routed: Routed | None) -> bool:
    """Is it another of a route's models than the chosen one? Targets of one name are one model, unless the route names them apart."""
    others = () if routed is None else (*routed.options[: routed.chosen], *routed.options[routed.chosen + 1 :])
    apart = target != chosen and any((one.upstream, one.target) == (target.upstream, target.model) for one in others)
    return target.group != chosen.group or apart


def _backoff(retry: int) -> float:
    """Exponential with full jitter, seconds."""
    return random.uniform(0.5, 1.0) * min(RETRY_BACKOFF_MAX_S, RETRY_BACKOFF_FIRST_S * float(2**retry))


def _now_ms() -> int:
    return int(time.time() * 1000)
