"""How those who answer are doing: a breaker and the latest waits of every upstream x credential x model, for as long as the ledger lasts.

Comes in: how each attempt ended. Goes out: circuits, figures for /metrics and for operators, and what is to be remembered over a restart. Does not know:
who is tried in their place (`gateway.spots`), how attempts are made.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from jevons.core.limits import CIRCUIT_WAITS, CIRCUIT_WAITS_MIN, CIRCUIT_WRITTEN_S, CIRCUITS_MAX, HEDGE_MIN_S
from jevons.gateway.attempt import Attempt
from jevons.ledger.ops import Learnt
from jevons.policy.breaker import Breaker, Sign, Standing, sign_of
from jevons.policy.route import Target
from jevons.policy.routes import STUDENTS

log = logging.getLogger("jevons.gateway")
KIND = "breaker"
"""Under which the ledger keeps them."""
SLOW_PCT = 95
"""A second attempt is sent once a first byte is waited for longer than so many of a hundred."""


class Written(msgspec.Struct, omit_defaults=True):
    """A circuit as the ledger keeps it."""

    breaker: Breaker
    waits_ms: list[int] = []
    whole_ms: list[int] = []


class Circuit:
    """One model of an upstream under one of its credentials."""

    __slots__ = (
        "at_ms",
        "breaker",
        "credential",
        "ended",
        "model",
        "name",
        "upstream",
        "waits_ms",
        "whole_ms",
        "why",
        "written_ms",
    )

    def __init__(self, upstream: str, credential: int, model: str) -> None:
        self.upstream = upstream
        self.credential = credential
        self.model = model
        """With the service tier behind a "?", where calls for it go their own way."""
        self.name = f"{upstream}#{credential}/{model}"
        self.breaker = Breaker()
        self.waits_ms: list[int] = []
        """For the first bytes of the latest streams, in order."""
        self.whole_ms: list[int] = []
        """For whole answers."""
        self.at_ms = 0
        """Of the latest call."""
        self.written_ms = 0
        self.ended = 0
        """Calls that said something of it, since the start."""
        self.why = ""
        """What opened it, for people."""

    def slow_s(self, *, stream: bool) -> float | None:
        """The 95th percentile of the waits; None = too few are known."""
        waits = self.waits_ms if stream else self.whole_ms
        if len(waits) < CIRCUIT_WAITS_MIN:
            return None
        return max(HEDGE_MIN_S, sorted(waits)[len(waits) * SLOW_PCT // 100] / 1000)


class Health(Collector):
    """All circuits of an installation. Lives on one event loop."""

    def __init__(self, keep: Callable[[Learnt], "asyncio.Future[None]"] | None = None) -> None:
        """`keep` writes what is to be remembered; it is not waited for."""
        self._keep = keep
        self.on_open: Callable[[], None] = _nothing
        """Told when a breaker opens."""
        self._circuits: dict[tuple[str, int, str], Circuit] = {}
        self.failovers: Counter[str] = Counter()
        """Upstream that failed -> calls that went on to another."""
        self.hedges: Counter[tuple[str, str]] = Counter()
        """(upstream that was slow, won | lost | failed | unfit)"""
        self.refused = 0
        """Calls that were refused because all who may answer cool down."""

    def recall(self, states: Mapping[str, str]) -> None:
        """After a start: what was remembered. What cannot be read is forgotten."""
        for name, state in states.items():
            upstream, _, rest = name.partition("#")
            credential, _, model = rest.partition("/")
            try:
                written = msgspec.json.decode(state, type=Written)
                circuit = self.circuit(upstream, int(credential), model)
            except (msgspec.MsgspecError, ValueError) as error:
                log.info("what was remembered of %s cannot be read: %s", name, error)
                continue
            circuit.breaker = written.breaker
            circuit.breaker.claimed_ms = 0
            circuit.waits_ms = written.waits_ms[-CIRCUIT_WAITS:]
            circuit.whole_ms = written.whole_ms[-CIRCUIT_WAITS:]

    def circuit(self, upstream: str, credential: int, model: str) -> Circuit:
        key = (upstream, credential, model)
        circuit = self._circuits.get(key)
        if circuit is None:
            if len(self._circuits) >= CIRCUITS_MAX:
                del self._circuits[min(self._circuits, key=lambda one: self._circuits[one].at_ms)]
            circuit = self._circuits[key] = Circuit(upstream, credential, model)
        return circuit

    def hear(self, circuit: Circuit, attempt: Attempt, after_s: float, *, own_credential: bool) -> None:
        """An attempt has ended. `after_s`: its Retry-After; `own_credential`: it was the gateway's."""
        if attempt.outcome is None:
            return
        now_ms = circuit.at_ms = int(time.time() * 1000)
        sign = sign_of(attempt.outcome, attempt.status, after_s, own_credential=own_credential)
        if sign is not Sign.GOOD and circuit.upstream == STUDENTS:
            return  # nobody is there that could be down: what one request was not told says nothing of the next
        if sign is Sign.NOTHING and not circuit.breaker.claimed_ms:
            return
        circuit.ended += sign is not Sign.NOTHING
        if sign is Sign.GOOD and attempt.waited_ms is not None:
            waits = circuit.waits_ms if attempt.streamed else circuit.whole_ms
            waits.append(attempt.waited_ms)
            if len(waits) > CIRCUIT_WAITS:
                del waits[0]
        if circuit.breaker.hear(sign, now_ms, after_s):
            self.changed(circuit, f"{attempt.outcome} {attempt.status or ''}".strip(), now_ms)
        elif (
            now_ms - circuit.written_ms >= CIRCUIT_WRITTEN_S * 1000
            and len(circuit.waits_ms) + len(circuit.whole_ms) >= CIRCUIT_WAITS_MIN
        ):
            self._write(circuit, now_ms)

    def slow(self, circuit: Circuit) -> None:
        """A second attempt began to answer before this one's."""
        now_ms = int(time.time() * 1000)
        if circuit.breaker.hear(Sign.BAD, now_ms):
            self.changed(circuit, "slower than another that was asked later", now_ms)

    def changed(self, circuit: Circuit, why: str, now_ms: int) -> None:
        """Say what its breaker has become, and write it down."""
        standing = circuit.breaker.standing(now_ms)
        circuit.why = why if standing >= Standing.TRYING else ""
        log.info("%s: %s (%s)", circuit.name, standing.name.lower(), why)
        self._write(circuit, now_ms)
        if circuit.breaker.opened:
            self.on_open()

    def _write(self, circuit: Circuit, now_ms: int) -> None:
        circuit.written_ms = now_ms
        written = Written(circuit.breaker, circuit.waits_ms, circuit.whole_ms)
        if self._keep is not None:
            done = self._keep(Learnt(KIND, circuit.name, msgspec.json.encode(written).decode(), now_ms))
            done.add_done_callback(_is_late)

    def wait_ms(self, target: Target) -> int:
        """The median wait for a target's first byte, under its first credential; 0 = not known. Makes no circuit."""
        circuit = self._circuits.get((target.upstream, 0, target.model))
        waits = (circuit.waits_ms or circuit.whole_ms) if circuit is not None else ()
        return sorted(waits)[len(waits) // 2] if waits else 0

    def open(self) -> list[Circuit]:
        """Whose breaker is open."""
        return [circuit for circuit in self._circuits.values() if circuit.breaker.opened]

    def status(self) -> list[dict[str, Any]]:
        """What an operator is told, upstream by upstream."""
        now_ms = int(time.time() * 1000)
        return [self._told(circuit, now_ms) for _, circuit in sorted(self._circuits.items())]

    def collect(self) -> Iterator[Metric]:
        """For /metrics. By upstream: names of models are the client's, and very many."""
        now_ms = int(time.time() * 1000)
        circuits = GaugeMetricFamily(
            "jevons_circuits", "Models of upstreams, under each credential, by how they stand", labels=["upstream", "standing"]
        )
        standings: Counter[tuple[str, str]] = Counter()
        for circuit in self._circuits.values():
            standings[circuit.upstream, "ready"] += 0
            standings[circuit.upstream, circuit.breaker.standing(now_ms).name.lower()] += 1
        for labels, n in standings.items():
            circuits.add_metric(list(labels), n)
        failovers = CounterMetricFamily(
            "jevons_failovers", "Calls that went on to another after this failed", labels=["upstream"]
        )
        for upstream, n in self.failovers.items():
            failovers.add_metric([upstream], n)
        hedges = CounterMetricFamily("jevons_hedges", "Second attempts beside a slow one", labels=["upstream", "end"])
        for labels, n in self.hedges.items():
            hedges.add_metric(list(labels), n)
        yield from (circuits, failovers, hedges)
        yield CounterMetricFamily("jevons_cooling", "Calls refused because all who may answer cool down", value=self.refused)

    def _told(self, circuit: Circuit, now_ms: int) -> dict[str, Any]:
        standing, slow_s = circuit.breaker.standing(now_ms), circuit.slow_s(stream=True)
        return {
            "upstream": circuit.upstream,
            "credential": circuit.credential,
            "model": circuit.model,
            "standing": standing.name.lower(),
            "until_ms": circuit.breaker.until_ms(now_ms) or None,
            "why": circuit.why,
            "calls": circuit.ended,
            "failures_in_a_row": circuit.breaker.row,
            "first_byte_p95_ms": None if slow_s is None else round(slow_s * 1000),
        }


def _nothing() -> None:
    return


def _is_late(done: "asyncio.Future[None]") -> None:
    """It is written when the disk is there again."""
    if not done.cancelled():
        done.exception()
