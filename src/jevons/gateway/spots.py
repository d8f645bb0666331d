"""Who is tried, in order: targets with their credentials, by weight and health, with whom a run's prompt is warm, at a cheaper tier where that will do.

Comes in: a way's targets, the request. Goes out: spots. The order itself is `policy.order`'s. Does not know: how a spot is tried.
"""

import time
from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from jevons.core.ask import Ask, Dialect
from jevons.core.cache_rules import CacheRates
from jevons.core.limits import OUTPUT_TOKENS_DEFAULT, RUNS_ANSWERED_MAX
from jevons.core.price import Price, UnpricedKind, charge
from jevons.core.refusal import Kind, Refusal
from jevons.core.usage import CACHE_READ, INPUT, Usage
from jevons.gateway.gate import Gate
from jevons.gateway.health import Circuit, Health
from jevons.gateway.outbound import NOTHING
from jevons.gateway.passage import Passage
from jevons.gateway.pricing import price_context, size_tokens
from jevons.gateway.upstreams import Live
from jevons.policy.breaker import Standing
from jevons.policy.degrade import DEGRADED_OUTPUT_TOKENS
from jevons.policy.order import Candidate, ordered, stays
from jevons.policy.promptcache import forfeited_nusd
from jevons.policy.route import Target

TIERED = frozenset({Dialect.CHAT, Dialect.RESPONSES})
"""Dialects whose requests name a tier that may be cheaper."""


class Spot(NamedTuple):
    """One way to make an attempt."""

    target: Target
    live: Live
    credential: int
    """Place among its upstream's."""
    circuit: Circuit
    tier: str = ""
    """A service tier that is asked for because its key can wait."""

    def standing(self, now_ms: int) -> Standing:
        return self.circuit.breaker.standing(now_ms)


class Spots:
    """Orders them. Remembers who answered a run last."""

    def __init__(self, gate: Gate, lives: dict[str, Live], health: Health) -> None:
        self._gate = gate
        self._lives = lives
        self.health = health
        self._kept: dict[tuple[int, str, str], str] = {}
        """(key, run, name that was asked for) -> name of the circuit that answered last."""

    def of(self, ask: Ask, passage: Passage, targets: tuple[Target, ...]) -> list[Spot]:
        """Who is to be tried, the first first. Who answers a run last goes on while its prompt cache is worth more than moving.

        Raises Refusal (403) where all would be called with a credential that the client has for another.
        """
        every = [
            spot
            for target in targets
            if self._lives[target.upstream].carries(passage.credential_for)
            for spot in self._each(ask, target)
        ]
        if not every:
            raise Refusal(
                Kind.PERMISSION,
                403,
                f"{', '.join(dict.fromkeys(target.upstream for target in targets))}: called with the client's own credential, and the one"
                " that came with this request is taken to be another provider's. Ask for UPSTREAM/MODEL to say whose it is.",
                code="credential_of_another",
            )
        if len(every) > 1:
            every = self._ordered(ask, passage, every)
        if not passage.caller.tiers:
            return every
        return [one for spot in every for one in self._tiered(ask, passage, spot)]

    def answered(self, passage: Passage, spot: Spot) -> None:
        """It answered: the run's prompt is warm there now."""
        if passage.run is not None:
            key = (passage.caller.key_id, passage.run.label, spot.target.group)
            self._kept.pop(key, None)
            self._kept[key] = spot.circuit.name
            if len(self._kept) > RUNS_ANSWERED_MAX:
                del self._kept[next(iter(self._kept))]

    def _each(self, ask: Ask, target: Target) -> list[Spot]:
        """A target under each of its credentials. What a provider stores lies under the one that it was sent with: the first."""
        live = self._lives[target.upstream]
        number = 1 if ask.stored or ask.remote_context or ask.previous_response_id else len(live.credentials)
        return [Spot(target, live, n, self.health.circuit(target.upstream, n, target.model)) for n in range(number)]

    def _ordered(self, ask: Ask, passage: Passage, spots: list[Spot]) -> list[Spot]:
        now_ms = int(time.time() * 1000)
        run = passage.run
        seed = f"{passage.caller.key_id}/{run.label}".encode() if run is not None else passage.request.to_bytes(8)
        candidates = [self._candidate(spots, place, now_ms) for place in range(len(spots))]
        order = ordered(candidates, seed)
        kept = "" if run is None else self._kept.get((passage.caller.key_id, run.label, spots[order[0]].target.group), "")
        if kept and candidates[order[0]].name != kept:
            found = next((spot for spot in spots if spot.circuit.name == kept), None)
            if found is not None and self._stays(ask, passage, found, spots[order[0]]):
                order = ordered(candidates, seed, kept)
        return [spots[place] for place in order]

    def _candidate(self, spots: list[Spot], place: int, now_ms: int) -> Candidate:
        target, breaker = spots[place].target, spots[place].circuit.breaker
        keys = len([spot for spot in spots if spot.target is target])
        weight = (target.weight or (1.0 if keys > 1 else 0.0)) / keys
        spread = target.group if target.weight else f"{target.group} {target.upstream}/{target.model}"
        return Candidate(
            spots[place].circuit.name, spread, target.group, weight, breaker.standing(now_ms), breaker.until_ms(now_ms)
        )

    def _stays(self, ask: Ask, passage: Passage, kept: Spot, first: Spot) -> bool:
        prices = self.price(ask, passage, kept), self.price(ask, passage, first)
        if prices[0] is None or prices[1] is None:
            return False
        prefixes = self._gate.prefixes
        warm = [prefixes.warm_tokens(ask, passage, spot.target, spot.live.provider) for spot in (kept, first)]
        if kept.target == first.target:
            warm[1] = 0  # another credential of the same: what is believed warm is warm where it answered last
        size = size_tokens(ask)
        usage = Usage(input=size, output=min(ask.output_cap or OUTPUT_TOKENS_DEFAULT, DEGRADED_OUTPUT_TOKENS))
        nums = prices[0].tier(size).nums
        if CACHE_READ not in nums:
            return False
        rates = CacheRates(prices[0].den, nums[INPUT], nums[CACHE_READ], ())
        try:
            dearer = charge(usage, prices[0]).nusd - charge(usage, prices[1]).nusd
        except UnpricedKind:
            return False
        return stays(forfeited_nusd(rates, min(size, warm[0]) - min(size, warm[1])), dearer)

    def _tiered(self, ask: Ask, passage: Passage, spot: Spot) -> list[Spot]:
        """A spot, and before it the same at the tier that its key can wait for, where it is listed as cheaper."""
        settings = spot.live.settings
        if ask.service_tier is not None or ask.dialect not in TIERED or spot.target.dialect is not ask.dialect:
            return [spot]
        for tier in passage.caller.tiers:
            if tier in settings.tiers and self._is_cheaper(ask, passage, spot, tier):
                circuit = self.health.circuit(spot.target.upstream, spot.credential, f"{spot.target.model}?{tier}")
                if circuit.breaker.standing(int(time.time() * 1000)) <= Standing.TRYING:
                    return [Spot(spot.target, spot.live, spot.credential, circuit, tier), spot]
        return [spot]

    def _is_cheaper(self, ask: Ask, passage: Passage, spot: Spot, tier: str) -> bool:
        """By the price book, for a request of about this size."""
        usage = Usage(input=size_tokens(ask), output=min(ask.output_cap or OUTPUT_TOKENS_DEFAULT, DEGRADED_OUTPUT_TOKENS))
        prices = self.price(ask, passage, spot, tier), self.price(ask, passage, spot)
        try:
            return (
                prices[0] is not None and prices[1] is not None and charge(usage, prices[0]).nusd < charge(usage, prices[1]).nusd
            )
        except UnpricedKind:
            return False

    def price(self, ask: Ask, passage: Passage, spot: Spot, tier: str = "") -> Price | None:
        """What a spot takes now for a request, as it is asked or at a service tier."""
        settings = spot.live.settings
        return self._gate.book.price(
            settings.price_provider, spot.target.model, passage.at_ms, price_context(ask, settings, tier)
        )


def tier_member(tier: str) -> Mapping[str, bytes]:
    """What is set in a request that asks for a service tier."""
    return {"service_tier": msgspec.json.encode(tier)} if tier else NOTHING
