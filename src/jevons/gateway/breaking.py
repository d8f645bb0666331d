"""Watches requests pass, and says of each whether it went on from the prefix that its conversation had: `Entry.broke`.

Comes in: a request as it is sent, under a scope that it shares with nobody else; later what the provider read of it. Goes out: a `Break`, or
None. What is kept is marks (core/marks.py) of the latest requests, in memory and bounded by bytes: no text, nothing on the disk. A conversation
is found by its links, else by the messages that it repeats: a run that nobody named is another one to the governor as soon as its first message
has changed, and that is just what is looked for. All work is done when an answer is whole, so that no first byte waits for it.

Does not know: what is decided by it (nothing is).
"""

from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from functools import partial
from secrets import token_bytes
from typing import TYPE_CHECKING, NamedTuple

from jevons.core.ask import Ask, Dialect
from jevons.core.cache_rules import CacheRules, Style
from jevons.core.chain import Chain, identity
from jevons.core.limits import BREAKS_MEMORY_BYTES, MARK_BYTES_MAX, MARK_NEW_BYTES_MAX
from jevons.core.marks import OPENING, SYSTEM, TOOLS, Mark, mark, role_of
from jevons.core.price import Price
from jevons.core.saving import Break
from jevons.core.usage import Usage
from jevons.meter.prompt_rules import prompt_rules
from jevons.policy.breaks import VOLATILE, Circumstances, Difference, Request, assumed, broke, compare
from jevons.policy.route import Target

if TYPE_CHECKING:
    from jevons.gateway.governor import Passage

Watch = Callable[[int, Usage, Price], Break | None]
"""(Unix ms of the answer's end, what was used, its price) -> what was lost."""
Scope = tuple[int, str, str]
"""(key id, run that was named or "", agent): within one, requests may belong together."""

_FOUND_BY = 6
"""Latest messages by which a conversation is found again, as those that change are mostly the last or the first."""
_MARK_BYTES = 400
"""What a mark takes in memory beyond its pieces."""
_PARAMETERS = (
    "tool_choice",
    "parallel_tool_calls",
    "thinking",
    "reasoning",
    "reasoning_effort",
    "response_format",
    "text",
    "output_config",
    "output_format",
    "prompt_cache_key",
    "speed",
)
"""Members by which a provider's cache is keyed, or which come before the messages in the prompt."""
_OPENING_FIELDS = {
    Dialect.CHAT: (("tools", TOOLS), ("functions", TOOLS)),
    Dialect.RESPONSES: (("tools", TOOLS), ("instructions", SYSTEM)),
    Dialect.MESSAGES: (("tools", TOOLS), ("system", SYSTEM)),
}
"""What `wire.parse` puts before the messages of each dialect."""


class Sent(NamedTuple):
    """A request on its way, as the upstream gets it."""

    ask: Ask
    chain: Chain
    """Of its messages."""
    scope: Scope
    at_ms: int
    """Unix ms of its admission."""
    target: tuple[str, str]
    """Upstream and model."""
    rules: CacheRules
    ours: tuple[str, ...] = ()
    """What we changed in it."""
    noted: bool = False


class _Kept:
    """The latest request of a conversation, and the keys under which it is found."""

    __slots__ = ("bytes", "names", "request")

    def __init__(self, request: Request, names: list[tuple[Scope, bytes]]) -> None:
        self.request = request
        self.names = names
        self.bytes = sum([len(one.pieces) + _MARK_BYTES for one in request.marks])


class Breaks:
    """All conversations of an installation. The ones used longest ago are let go when memory is full."""

    def __init__(self, bytes_max: int = BREAKS_MEMORY_BYTES) -> None:
        self._secret = token_bytes(32)
        self._bytes_max = bytes_max
        self._bytes = 0
        self._kept: OrderedDict[int, _Kept] = OrderedDict()
        self._by_name: dict[tuple[Scope, bytes], _Kept] = {}

    @property
    def held_bytes(self) -> int:
        """About what the marks take."""
        return self._bytes

    def watch(self, ask: Ask, passage: "Passage", target: Target, provider: str, input_tokens: int) -> Watch | None:
        """What is to be called when the answer is whole: `ended` with the request filled in. None where no prompt cache can be concerned.

        `provider`: whose prices and rules apply; `input_tokens`: our count.
        """
        rules = prompt_rules(provider, target.model)
        if rules.style is Style.NONE or input_tokens * 2 < rules.min_tokens:
            return None
        if ask.dialect not in _OPENING_FIELDS or ask.previous_response_id is not None:
            return None
        caller, run = passage.caller, passage.run
        label = run.label if run is not None and passage.source != "inferred" else ""
        ours = (*passage.removed_tools, passage.degraded_to) if passage.removed_tools or passage.degraded_to else ()
        where = (target.upstream, target.model)
        scope = (caller.key_id, label, caller.agent)
        sent = Sent(ask, passage.sent, scope, passage.at_ms, where, rules, ours, bool(passage.note))
        return partial(self.ended, sent)

    def ended(self, sent: Sent, done_ms: int, usage: Usage | int, price: Price) -> Break | None:
        """A request was answered at `done_ms`: what it lost, if it lost something. Remembers it. About 10 us, and 5 us for each new message.

        `usage`: as the provider told it; of a recorded request, the number of its input tokens.
        """
        links = sent.chain.links
        exact = next((kept for link in reversed(links) if (kept := self._by_name.get((sent.scope, link))) is not None), None)
        near = exact or self._nearest(sent.scope, sent.chain.digests)
        new = self._request(sent, done_ms, near)
        if near is None:
            near = self._nearest(sent.scope, [one.identity for one in new.marks])
        found = self._judge(near, new, sent, usage, price)
        if near is not None and _begins_with(new, near.request):
            self._forget(near)
        self._keep(new, sent)
        return found

    def _judge(self, near: _Kept | None, new: Request, sent: Sent, usage: Usage | int, price: Price) -> Break | None:
        messages = sent.ask.messages
        if near is not None:
            old = near.request
            if new.at_ms < old.done_ms:
                return None  # both were under way at once: nothing was there to be read
            difference = compare(old, new, messages)
            goes_on = difference is None and _begins_with(new, old)
            if difference is not None or goes_on:
                return _broke(difference, old, new, sent, usage, price)
        begin = _begin(new)
        if not begin.marks:
            return None
        beside = self._by_name.get((sent.scope, _beside(begin)))
        return self._volatile(beside, new, new, sent, usage, price) or self._opening(begin, new, sent, usage, price)

    def _volatile(
        self, near: _Kept | None, part: Request, new: Request, sent: Sent, usage: Usage | int, price: Price
    ) -> Break | None:
        """What looks like another conversation only because of a clock, an id or an order. `part` of `new` is compared."""
        if near is None or near.request.target != new.target or new.at_ms < near.request.done_ms:
            return None
        difference = compare(near.request, part, sent.ask.messages)
        if difference is None or difference.cause not in VOLATILE:
            return None
        return _broke(difference, near.request, new, sent, usage, price)

    def _opening(self, begin: Request, new: Request, sent: Sent, usage: Usage | int, price: Price) -> Break | None:
        """A conversation that begins: do its tools and system prompt differ from the last one's by a clock, an id, their order?"""
        scope = (sent.scope[0], "\0opening", sent.scope[2])
        name = (scope, begin.marks[-1].digest)
        known, near = self._by_name.get(name), self._by_name.get((scope, b""))
        kept = _Kept(begin, [name, (scope, b"")])
        if known is not None:
            self._forget(known)
        self._put(kept)
        return self._volatile(near, begin, new, sent, usage, price) if known is None else None

    def _request(self, sent: Sent, done_ms: int, near: _Kept | None) -> Request:
        known = {one.digest: one for one in near.request.marks} if near is not None else {}
        ask = sent.ask
        roles = _opening_roles(ask)
        left = MARK_NEW_BYTES_MAX
        marks: list[Mark] = []
        for place, (raw, digest) in enumerate(zip(ask.messages, sent.chain.digests, strict=True)):
            one = known.get(digest)
            if one is None:
                role = roles[place] if place < len(roles) else role_of(raw)
                if len(raw) <= min(left, MARK_BYTES_MAX):
                    one = mark(raw, digest, identity(self._secret, raw), role)
                    left -= len(raw)
                else:
                    one = Mark(digest, role, len(raw), digest)
            marks.append(one)
        parameters = tuple([(name, hash(bytes(ask.fields[name]))) for name in _PARAMETERS if name in ask.fields])
        return Request(tuple(marks), sent.at_ms, done_ms, sent.target, parameters, sent.ours, sent.noted)

    def _nearest(self, scope: Scope, names: Sequence[bytes]) -> _Kept | None:
        """The request that shares most of the messages by which it is found; the latest of several."""
        hits: Counter[int] = Counter()
        found: dict[int, _Kept] = {}
        for name in names:
            kept = self._by_name.get((scope, name))
            if kept is not None:
                hits[id(kept)] += 1
                found[id(kept)] = kept
        if not found:
            return None
        return max(found.values(), key=lambda kept: (hits[id(kept)], kept.request.at_ms))

    def _keep(self, request: Request, sent: Sent) -> None:
        said = [one for one in request.marks if one.role not in OPENING]
        latest = [*said[:2], *said[-_FOUND_BY:]]
        names = {sent.chain.head, _beside(_begin(request)), *(one.digest for one in latest), *(one.identity for one in latest)}
        self._put(_Kept(request, [(sent.scope, name) for name in names]))

    def _put(self, kept: _Kept) -> None:
        self._kept[id(kept)] = kept
        self._bytes += kept.bytes
        for name in kept.names:
            self._by_name[name] = kept
        while self._bytes > self._bytes_max and len(self._kept) > 1:
            self._forget(next(iter(self._kept.values())))

    def _forget(self, kept: _Kept) -> None:
        del self._kept[id(kept)]
        self._bytes -= kept.bytes
        for name in kept.names:
            if self._by_name.get(name) is kept:
                del self._by_name[name]


def _broke(found: Difference | None, old: Request, new: Request, sent: Sent, usage: Usage | int, price: Price) -> Break | None:
    told = _circumstances(sent, old)
    if isinstance(usage, int):
        usage = assumed(found, old, new, usage, told)
    return broke(found, old, new, usage, price, told)


def _begins_with(new: Request, old: Request) -> bool:
    return len(new.marks) >= len(old.marks) and all(
        one.identity == other.identity for one, other in zip(old.marks, new.marks, strict=False)
    )


def _begin(request: Request) -> Request:
    """Its tools and system prompt alone."""
    place = next((place for place, one in enumerate(request.marks) if one.role not in OPENING), len(request.marks))
    return Request(request.marks[:place], request.at_ms, request.done_ms, request.target, ours=request.ours)


def _beside(begin: Request) -> bytes:
    """The name of all that begin so."""
    return b"beside" + (begin.marks[-1].digest if begin.marks else b"")


def _opening_roles(ask: Ask) -> tuple[str, ...]:
    return tuple(
        [role for name, role in _OPENING_FIELDS.get(ask.dialect, ()) if name in ask.fields and bytes(ask.fields[name]) != b"null"]
    )


def _circumstances(sent: Sent, old: Request) -> Circumstances:
    body, ttls = sent.ask.body, sent.rules.ttls
    asked = [ttl.seconds for ttl in ttls if f'"{ttl.name}"'.encode() in body]
    ttl_s = max(asked, default=ttls[0].seconds if ttls else 0)
    marked = b'"cache_control"' in body or b'"prompt_cache_breakpoint"' in body
    return Circumstances(sent.rules, sent.at_ms - old.at_ms, ttl_s * 1000, marked)
