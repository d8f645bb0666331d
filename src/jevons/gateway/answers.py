"""The one door to answers that are kept here: does a request take part, is there an answer for it, may its own be kept?

Comes in: requests on their way, and answers at their end. Goes out: a `Hit`, or nothing: then the provider is asked, once for all who ask the same
at that time. The very same request is looked for first, then a similar one, if somebody was given who knows. Which requests and answers may take part
is decided by `policy.answers`. Does not know: how a hit is charged, or told to its client.
"""

import asyncio
import secrets
import time
from typing import NamedTuple, Protocol

import msgspec

from jevons.cache.exact import ExactAnswers, Kept
from jevons.cache.flights import End, Flights
from jevons.cache.settings import AnswerCacheSettings
from jevons.core.ask import Ask, Caller
from jevons.core.entry import Estimate
from jevons.core.limits import ANSWER_EVENTS_BYTES_MAX, COUNT_INLINE_BYTES_MAX, FLIGHT_WAIT_MAX_S, KEPT_QUESTION_BYTES_MAX
from jevons.core.saving import SavingKind
from jevons.core.usage import Usage
from jevons.gateway.attempt import Attempt
from jevons.gateway.checking import Checks
from jevons.gateway.client import Scope
from jevons.gateway.clients import Named
from jevons.gateway.outbound import answered_by
from jevons.gateway.passage import Passage
from jevons.gateway.settings import UpstreamSettings
from jevons.meter.answer import answer_facts
from jevons.policy.answers import (
    Given,
    Wish,
    age_s,
    asks_only_kept,
    is_fresh,
    key_of,
    may_keep,
    not_kept,
    takes_part,
    wish_of,
)
from jevons.policy.route import Target


class Found(NamedTuple):
    """The answer to a similar request."""

    answer: Kept
    similarity: float
    """Cosine of the two questions."""
    check: bool
    """The provider is to be asked as well, to see whether it says the same."""


class Hit(NamedTuple):
    """An answer to give instead of asking."""

    answer: Kept
    kind: SavingKind
    age_s: int
    found: Found | None = None
    """If it is the answer to a similar request."""

    @property
    def word(self) -> bytes:
        """As `x-jevons-cache` says it."""
        return b"semantic" if self.kind is SavingKind.ANSWER_SEMANTIC else b"hit"


class Wanted:
    """A request that takes part."""

    __slots__ = ("ask", "began", "key", "leads", "passage", "query", "sent", "similar", "target", "wish")

    def __init__(
        self,
        ask: Ask,
        passage: Passage,
        target: Target,
        wish: Wish,
        key: bytes,
        began: int,
        sent: tuple[tuple[bytes, bytes], ...],
        query: bytes,
    ) -> None:
        self.ask = ask
        self.passage = passage
        self.target = target
        """The first to be tried: only its answer is kept."""
        self.wish = wish
        self.key = key
        self.began = began
        """How often answers had been erased when it came."""
        self.sent = sent
        self.query = query
        """Headers and a query that travel on, and may change the answer."""
        self.leads = False
        """Others who ask the same wait for its answer."""
        self.similar: object | None = None
        """What whoever looked for a similar request wants to find again when its answer comes."""

    @property
    def flight(self) -> tuple[int, bytes]:
        """Who asks the same at the same time; not who asked before the answers were erased."""
        return self.began, self.key

    @property
    def org(self) -> str:
        return self.passage.caller.org

    def again(self, passage: Passage) -> "Wanted":
        """The same, asked once more by ourselves, to check what was found."""
        wish = msgspec.structs.replace(self.wish, looks=False)
        made = Wanted(self.ask, passage, self.target, wish, self.key, self.began, self.sent, self.query)
        made.similar = self.similar
        return made


class Similar(Protocol):
    """Answers to similar requests."""

    def lists(self, caller: Caller) -> bool:
        """Do all requests of this caller take part?"""

    def look(self, wanted: Wanted, exact: ExactAnswers) -> Found | None:
        """An answer that will do, or None: the provider is asked."""

    def explore(self, wanted: Wanted) -> None:
        """What was found is not given after all: the provider is asked."""

    def keep(self, wanted: Wanted, answer: Kept, exact: ExactAnswers) -> None:
        """What the provider answered, if it may be given again."""

    def erase(self, org: str | None) -> int:
        """Forget an organisation's answers, or all. Returns how many."""

    def status(self) -> dict[str, object]:
        """What an operator is told."""


class Told:
    """The events of a stream, as long as they are few enough to be put together."""

    def __init__(self) -> None:
        self._events: list[bytes] | None = []
        self._bytes = 0

    def hear(self, whole: bytes) -> None:
        if self._events is not None:
            self._events.append(whole)
            self._bytes += len(whole)
            if self._bytes > ANSWER_EVENTS_BYTES_MAX:
                self._events = None

    @property
    def events(self) -> bytes:
        """All of them; b"" if there were too many."""
        return b"".join(self._events or ())


def ending_of(wanted: Wanted, target: Target, attempt: Attempt, body: bytes) -> Given:
    """How an answer came to its end. `body`: whole, as the upstream told it."""
    settled = attempt.settled
    return Given(
        target.dialect,
        answer_facts(target.dialect, body).finish,
        len(body),
        metered=attempt.usage is not None and settled is not None and settled.estimate is Estimate.NONE,
        first=target == wanted.target,
        capped=wanted.ask.output_cap is None or attempt.output_cap is not None,
        noted=bool(wanted.passage.note),
    )


class Answers:
    """All kept answers of an installation."""

    def __init__(self, settings: AnswerCacheSettings, similar: Similar | None = None) -> None:
        self._settings = settings
        self._orgs = frozenset(settings.orgs)
        self._keys = frozenset(settings.keys)
        self._secret = secrets.token_bytes(32)
        """Of this process: as long as its answers."""
        self._exact = ExactAnswers(settings.ram_mib * 2**20, settings.ttl_s)
        self._flights: Flights[Kept] = Flights()
        self._similar = similar
        self.checks = Checks()
        self._looked = 0
        """Requests that looked for an answer."""
        self._hits = 0
        """Of these: it was there."""
        self._shared = 0
        """Of these: another had just asked for it."""

    @property
    def on(self) -> bool:
        """Is any answer kept?"""
        return bool(self._settings.ram_mib)

    async def wanted(
        self, ask: Ask, passage: Passage, target: Target, settings: UpstreamSettings, named: Named, scope: Scope
    ) -> Wanted | None:
        """None for a request that takes no part: most, and they pay for a look into their headers. Raises Refusal (400, 504).

        `target`: the first to be tried; `settings`: of its upstream.
        """
        word, control = named.get(b"x-jevons-cache"), named.get(b"cache-control")
        if control is not None:  # it may be said in several lines, which are one list (RFC 9110, 5.3)
            control = b",".join([value for name, value in scope["headers"] if name == b"cache-control"])
        listed = passage.caller.org in self._orgs or passage.caller.key_name in self._keys
        similar = word is None and self._similar is not None and self._similar.lists(passage.caller)
        if word is not None or listed or similar:
            wish = wish_of(word, control, listed=listed or similar)
            if wish is not None and similar:
                wish = msgspec.structs.replace(wish, chosen=True, similar=True)
            found = await self._takes(ask, passage, target, settings, wish, scope)
            if found is not None:
                return found
        if asks_only_kept(control):
            raise not_kept("this request takes no part in the answer cache (docs/answer-cache.md says which do)")
        return None

    async def _takes(
        self, ask: Ask, passage: Passage, target: Target, settings: UpstreamSettings, wish: Wish | None, scope: Scope
    ) -> Wanted | None:
        if wish is None or not self.on or not takes_part(ask, wish) or len(ask.body) > KEPT_QUESTION_BYTES_MAX:
            return None
        sent = tuple(answered_by(scope["headers"], settings, same_dialect=target.dialect is ask.dialect))
        asked = (self._secret, passage.caller.org, target, ask, sent, scope["query_string"])
        key = key_of(*asked) if len(ask.body) <= COUNT_INLINE_BYTES_MAX else await asyncio.to_thread(key_of, *asked)
        if key is None:
            return None
        return Wanted(ask, passage, target, wish, key, self._exact.erased, sent, scope["query_string"])

    async def look(self, wanted: Wanted) -> Hit | None:
        """The answer to give. None: `join`, for somebody may just be asking the same. Raises Refusal (504)."""
        hit = self._found(wanted) if wanted.wish.looks else None
        if hit is None and wanted.wish.only_kept:
            raise not_kept("no answer to this request is kept")
        return hit

    def _found(self, wanted: Wanted) -> Hit | None:
        self._looked += 1
        kept = self._exact.find(wanted.org, wanted.key, _now_ms())
        if kept is not None and is_fresh(wanted.wish, kept.kept_ms, _now_ms(), self._settings.ttl_s):
            self._hits += 1
            return _hit(kept, SavingKind.ANSWER_EXACT)
        if self._similar is not None and wanted.wish.similar:
            found = self._similar.look(wanted, self._exact)
            if found is not None:
                return _hit(found.answer, SavingKind.ANSWER_SEMANTIC, found)
        return None

    def not_given(self, wanted: Wanted, hit: Hit) -> None:
        """A hit is not given after all: it is refused, cannot be told or not be checked, or its client has left."""
        if hit.found is not None and self._similar is not None:
            self._similar.explore(wanted)

    async def join(self, wanted: Wanted) -> Hit | None:
        """The answer that somebody else is just being given. None: ask the provider, `keep` its answer, and `release` in any case.

        Raises Refusal (504).
        """
        if wanted.wish.only_kept:
            raise not_kept("the answer that is kept cannot be told as it was asked for")
        if not wanted.wish.looks:
            return None
        future = self._flights.join(wanted.flight)
        if future is None:
            wanted.leads = True
            return None
        end = await self._flights.wait(wanted.flight, future, FLIGHT_WAIT_MAX_S)
        if isinstance(end, End):
            wanted.leads = end is End.LEADS
            return None
        self._shared += 1
        return _hit(end, SavingKind.ANSWER_EXACT)

    def keep(self, wanted: Wanted, given: Given, body: bytes, usage: Usage) -> None:
        """What the provider answered, whole, in the client's dialect: kept, if it may be given again."""
        if not may_keep(given):
            return
        answer = Kept(body, usage, _now_ms())
        if wanted.began == self._exact.erased:  # else its organisation may have wished to be forgotten meanwhile
            self._exact.keep(wanted.org, wanted.key, answer)
            if self._similar is not None:
                self._similar.keep(wanted, answer, self._exact)
        if wanted.leads:
            wanted.leads = False
            self._flights.land(wanted.flight, answer)

    def release(self, wanted: Wanted, *, alone: bool) -> None:
        """It is over. Who waits for it without an answer goes on: the next one asks for all, or all ask for themselves (`alone`)."""
        if not wanted.leads:
            return
        wanted.leads = False
        if alone:
            self._flights.fail(wanted.flight)
        else:
            self._flights.leave(wanted.flight)

    def erase(self, org: str | None) -> tuple[int, int]:
        """Forget what is kept of an organisation, or all. Returns how many answers there were, and how many questions by their meaning."""
        return self._exact.erase(org), self._similar.erase(org) if self._similar is not None else 0

    def status(self) -> dict[str, object]:
        """What an operator is told: counts since the start."""
        exact = self._exact
        said: dict[str, object] = {
            "entries": len(exact),
            "orgs": exact.orgs,
            "bytes": exact.bytes,
            "bytes_max": self._settings.ram_mib * 2**20,
            "ttl_s": self._settings.ttl_s,
            "looked": self._looked,
            "hits": self._hits,
            "shared": self._shared,
            "kept": exact.kept,
            "displaced": exact.displaced,
            "under_way": len(self._flights),
            "waiting": self._flights.waiting,
        }
        status: dict[str, object] = {"answers": said}
        if self._similar is not None:
            status["similar"] = self._similar.status() | {"checks_begun": self.checks.begun, "checks_under_way": len(self.checks)}
        return status


def _hit(kept: Kept, kind: SavingKind, found: Found | None = None) -> Hit:
    return Hit(kept, kind, age_s(kept.kept_ms, _now_ms()), found)


def _now_ms() -> int:
    return int(time.time() * 1000)
