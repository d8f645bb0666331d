"""The attempts of one request, in order until one answers: each held before it is sent and resolved once.

Comes in: a way. Goes out: an answer that somebody took, or Failed. Does not know: what is done with an answer (`sending.Take`).
"""

import asyncio
import math
import random
from collections.abc import Callable, Mapping
from typing import NamedTuple

from jevons.core.ask import Ask
from jevons.core.limits import ATTEMPTS_MAX, RETRY_BACKOFF_FIRST_S, RETRY_BACKOFF_MAX_S
from jevons.core.refusal import Refusal
from jevons.core.routed import Role, Routed
from jevons.gateway.attempt import Attempt
from jevons.gateway.gate import Gate
from jevons.gateway.outbound import NOTHING, Outgoing
from jevons.gateway.sending import Asked, Sender, Take
from jevons.gateway.unanswered import Failed
from jevons.gateway.upstreams import Live
from jevons.policy.govern import Admit
from jevons.policy.route import Target


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
        lives: dict[str, Live],
        sender: Sender,
        routed: Routed | None,
        idempotency: tuple[bytes, bytes],
        *,
        role: Role = Role.ANSWER,
        admitted: Callable[[], None] | None = None,
    ) -> None:
        """`role` of the first; what follows it is told apart only for a client's answer. `admitted` is told that a hold is taken."""
        self._gate = gate
        self._lives = lives
        self._sender = sender
        self._routed = routed
        self._idempotency = idempotency
        self._role = role
        self._admitted = admitted
        self._number = 0

    async def run(self, ask: Ask, targets: tuple[Target, ...], take: Take) -> None:
        """Raises Failed (the last), Refusal, LedgerUnavailable, Aborted."""
        failed: Failed | None = None
        role = self._role
        for target in targets:
            live = self._lives[target.upstream]
            asked = Asked(ask, target, live, Outgoing(ask, target, live.settings))
            for retry in range(live.settings.retries + 1):
                if self._number >= ATTEMPTS_MAX:
                    break
                try:
                    held = await self._hold(asked, role)
                except Refusal:
                    if failed is None:
                        raise
                    break  # no money for another try, or nobody there: the last error stands
                try:
                    await self._send(asked, held, take)
                    return
                except Failed as error:
                    failed = error
                if not failed.again:
                    raise failed
                role = self._next(Role.RETRY)
                if retry < live.settings.retries:
                    await asyncio.sleep(failed.after_s or _backoff(retry))
            role = self._next(Role.FAILOVER)
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
        live = self._lives[target.upstream]
        asked = Asked(ask, target, live, Outgoing(ask, target, live.settings, members), most_s)
        await self._send(asked, await self._hold(asked, role), take)

    async def _hold(self, asked: Asked, role: Role) -> Held:
        """Raises Refusal, LedgerUnavailable."""
        passage = self._sender.passage
        address = await asked.live.address()
        attempt, verdict = await self._gate.admit(
            asked.ask, passage, asked.target, asked.live.settings, passage.request + self._number, self._idempotency
        )
        self._number += 1
        attempt.role, attempt.routed = role, self._routed
        return Held(address, attempt, verdict)

    async def _send(self, asked: Asked, held: Held, take: Take) -> None:
        """Raises Failed, Aborted, and what `take` raises."""
        if self._admitted is not None:
            self._admitted()
        try:
            await self._sender.send(asked, *held, take)
        finally:
            if held.attempt.sent:
                self._idempotency = (b"", b"")  # it stands with the first attempt that an upstream may have seen

    def _next(self, role: Role) -> Role:
        return role if self._role is Role.ANSWER else self._role


def _backoff(retry: int) -> float:
    """Exponential with full jitter, seconds."""
    return random.uniform(0.5, 1.0) * min(RETRY_BACKOFF_MAX_S, RETRY_BACKOFF_FIRST_S * float(2**retry))
