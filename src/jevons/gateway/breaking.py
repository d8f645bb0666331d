"""Watches requests pass, and says of each whether it went on from the prefix that its conversation had: `Entry.broke`.

Comes in: a request as it is sent, under a scope that it shares with nobody else; later what the provider read of it. Goes out: a `Break`, or
None. What is kept is marks (core/marks.py) of the latest requests, in memory and bounded by bytes: no text, nothing on the disk. A conversation
is found by its links, else by the messages that it repeats: a run that nobody named is another one to the governor as soon as its first message
has changed, and that is just what is looked for. All work is done when an answer is whole, so that no first byte waits for it.

Does not know: what is decided by it (nothing is).
"""

import logging
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from secrets import token_bytes
from typing import NamedTuple

from jevons.core.ask import Ask, Dialect
from jevons.core.cache_rules import CacheRules, Style
from jevons.core.chain import Chain, identity
from jevons.core.limits import BREAKS_MEMORY_BYTES, MARK_BYTES_MAX, MARK_NEW_BYTES_MAX, PREFIX_MESSAGES_MAX
from jevons.core.marks import OPENING, SYSTEM, TOOLS, Mark, mark, role_of
from jevons.core.price import Price
from jevons.core.saving import Break
from jevons.core.usage import Usage
from jevons.gateway.passage import Passage
from jevons.meter.prompt_rules import prompt_rules
from jevons.policy.breaks import (
    VOLATILE,
    Circumstances,
    Difference,
    Request,
    assumed,
    begins_with,
    broke,
    compare,
    goes_on,
    lost_tokens,
)
from jevons.policy.route import Target

log = logging.getLogger("jevons.gateway")

Watch = Callable[[int, Usage, Price], Break | None]
"""(Unix ms of the answer's end, what was used, its price) -> what was lost."""
Scope = tuple[int, str, str]
"""(key id, run that was named or "", agent): within one, requests may belong together."""

_FOUND_BY = 4
"""First and latest messages, each, by which a conversation is found again."""
_LATEST = b"latest"
"""The name of the opening that was sent last."""
_KEPT_BYTES = 4096
"""What a conversation takes in memory beyond its marks: the names under which it is found."""
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
    """The latest request of a conversation, and the names under which its scope finds it."""

    __slots__ = ("bytes", "names", "request", "scope")

    def __init__(self, request: Request, scope: Scope, names: Iterable[bytes]) -> None:
        self.request = request
        self.scope = scope
        self.names = tuple(names)
        self.bytes = _KEPT_BYTES + len(request.marks) * _MARK_BYTES + sum([len(one.pieces) for one in request.marks])


_NOBODY: Mapping[bytes, _Kept] = {}


class Breaks:
    """All conversations of an installation. The ones used longest ago are let go when memory is full."""

    def __init__(self, bytes_max: int = BREAKS_MEMORY_BYTES) -> None:
        self._secret = token_bytes(32)
        self._bytes_max = bytes_max
        self._bytes = 0
        self._kept: OrderedDict[int, _Kept] = OrderedDict()
        self._scopes: dict[Scope, dict[bytes, _Kept]] = {}

    @property
    def held_bytes(self) -> int:
        """About what the marks take."""
        return self._bytes

    def watch(self, ask: Ask, passage: Passage, target: Target, provider: str, input_tokens: int) -> Watch | None:
        """What is to be called when the answer is whole: `ended` with the request filled in. None where no prompt cache can be concerned.

        `provider`: whose prices and rules apply; `input_tokens`: our count.
        """
        rules = prompt_rules(provider, target.model)
        if rules.style is Style.NONE or input_tokens * 2 < rules.min_tokens:
            return None
        if ask.dialect not in _OPENING_FIELDS or ask.previous_response_id is not None or len(ask.messages) > PREFIX_MESSAGES_MAX:
            return None
        caller, run = passage.caller, passage.run
        label = run.label if run is not None and passage.source != "inferred" else ""
        ours = (*passage.removed_tools, passage.degraded_to) if passage.removed_tools or passage.degraded_to else ()
        where = (target.upstream, target.model)
        scope = (caller.key_id, label, caller.agent)
        sent = Sent(ask, passage.sent, scope, passage.at_ms, where, rules, ours, bool(passage.note))
        return partial(self._looked_at, sent)

    def _looked_at(self, sent: Sent, done_ms: int, usage: Usage, price: Price) -> Break | None:
        """`ended`, between an answer and its post: no bug of ours here shall keep a charge from the disk."""
        try:
            return self.ended(sent, done_ms, usage, price)
        except Exception:
            log.exception("a bug, in looking for what broke a prefix")
            return None

    def ended(self, sent: Sent, done_ms: int, usage: Usage | int, price: Price) -> Break | None:
        """A request was answered at `done_ms`: what it lost, if it lost something. Remembers it. About 10 us, and 5 us for each new message.

        `usage`: as the provider told it; of a recorded request, the number of its input tokens.
        """
        named = self._scopes.get(sent.scope, _NOBODY)
        exact = next((kept for link in reversed(sent.chain.links) if (kept := named.get(link)) is not None), None)
        if exact is not None:
            near: _Kept | None = exact
            new = self._request(sent, done_ms, exact.request.marks)
            found = self._judged(goes_on(exact.request, new), exact.request, new, sent, usage, price)
        else:
            near = _nearest(named, sent.chain.digests)
            new = self._request(sent, done_ms, (), near)
            if near is None:
                near = _nearest(named, [one.identity for one in new.marks])
            found = self._compared(near, new, sent, usage, price)
        if near is not None and (exact is not None or begins_with(new, near.request)):
            self._forget(near)
        self._keep(new, sent)
        return found

    def _compared(self, near: _Kept | None, new: Request, sent: Sent, usage: Usage | int, price: Price) -> Break | None:
        if near is not None:
            difference = compare(near.request, new, sent.ask.messages)
            if difference is not None or begins_with(new, near.request):
                return self._judged(difference, near.request, new, sent, usage, price)
        begin = _begin(new)
        if not begin.marks:
            return None
        beside = self._scopes.get(sent.scope, _NOBODY).get(_beside(begin))
        return self._volatile(beside, new, new, sent, usage, price) or self._opening(begin, new, sent, usage, price)

    def _judged(
        self, found: Difference | None, old: Request, new: Request, sent: Sent, usage: Usage | int, price: Price
    ) -> Break | None:
        if new.at_ms < old.done_ms:
            return None  # both were under way at once: nothing was there to be read
        if not isinstance(usage, int) and not lost_tokens(found, old, new, usage):
            return None  # as mostly; the body need not be searched for what it asks of the cache
        told = _circumstances(sent, old)
        if isinstance(usage, int):
            usage = assumed(found, old, new, usage, told)
        return broke(found, old, new, usage, price, told)

    def _volatile(
        self, near: _Kept | None, part: Request, new: Request, sent: Sent, usage: Usage | int, price: Price
    ) -> Break | None:
        """What looks like another conversation only because of a clock, an id or an order. `part` of `new` is compared."""
        if near is None or near.request.target != new.target:
            return None
        difference = compare(near.request, part, sent.ask.messages)
        if difference is None or difference.cause not in VOLATILE:
            return None
        return self._judged(difference, near.request, new, sent, usage, price)

    def _opening(self, begin: Request, new: Request, sent: Sent, usage: Usage | int, price: Price) -> Break | None:
        """A conversation that begins: do its tools and system prompt differ from the last one's by a clock, an id, their order?"""
        scope = (sent.scope[0], "\0opening", sent.scope[2])
        named, digest = self._scopes.get(scope, _NOBODY), begin.marks[-1].digest
        known, near = named.get(digest), named.get(_LATEST)
        if known is not None:
            self._forget(known)
        self._put(_Kept(begin, scope, (digest, _LATEST)))
        return self._volatile(near, begin, new, sent, usage, price) if known is None else None

    def _request(self, sent: Sent, done_ms: int, begun: tuple[Mark, ...], near: _Kept | None = None) -> Request:
        """As it is remembered. `begun`: the marks of its first messages; others are taken from `near`, where that has them."""
        known = {one.digest: one for one in near.request.marks} if near is not None else {}
        ask, start, left = sent.ask, len(begun), MARK_NEW_BYTES_MAX
        roles = () if start else _opening_roles(ask)
        marks: list[Mark] = []
        for place, (raw, digest) in enumerate(zip(ask.messages[start:], sent.chain.digests[start:], strict=True)):
            one = known.get(digest)
            if one is None:
                role = roles[place] if place < len(roles) else role_of(raw)
                if len(raw) <= min(left, MARK_BYTES_MAX):
                    one = mark(raw, digest, identity(self._secret, raw), role)
                    left -= len(raw)
                else:
                    one = Mark(digest, role, len(raw), digest)
            marks.append(one)
        fields = ask.fields
        parameters = tuple([(name, hash(bytes(fields[name]))) for name in _PARAMETERS if name in fields])
        size = sum(map(len, ask.messages))
        return Request((*begun, *marks), size, sent.at_ms, done_ms, sent.target, parameters, sent.ours, sent.noted)

    def _keep(self, request: Request, sent: Sent) -> None:
        marks = request.marks
        said = [one for one in (*marks[:_FOUND_BY], *marks[-_FOUND_BY:]) if one.role not in OPENING]
        names = {sent.chain.head, _beside(_begin(request)), *[one.digest for one in said], *[one.identity for one in said[-2:]]}
        self._put(_Kept(request, sent.scope, names))

    def _put(self, kept: _Kept) -> None:
        self._kept[id(kept)] = kept
        self._bytes += kept.bytes
        named = self._scopes.setdefault(kept.scope, {})
        for name in kept.names:
            named[name] = kept
        while self._bytes > self._bytes_max and len(self._kept) > 1:
            self._forget(next(iter(self._kept.values())))

    def _forget(self, kept: _Kept) -> None:
        del self._kept[id(kept)]
        self._bytes -= kept.bytes
        named = self._scopes[kept.scope]
        for name in kept.names:
            if named.get(name) is kept:
                del named[name]
        if not named:
            del self._scopes[kept.scope]


def _nearest(named: Mapping[bytes, _Kept], names: Sequence[bytes]) -> _Kept | None:
    """The request that shares most of the messages by which it is found; the latest of several."""
    found = [kept for name in names if (kept := named.get(name)) is not None]
    if not found:
        return None
    hits = Counter(map(id, found))
    return max(found, key=lambda kept: (hits[id(kept)], kept.request.at_ms))


def _begin(request: Request) -> Request:
    """Its tools and system prompt alone."""
    place = next((place for place, one in enumerate(request.marks) if one.role not in OPENING), len(request.marks))
    marks = request.marks[:place]
    size = sum([one.size for one in marks])
    return Request(marks, size, request.at_ms, request.done_ms, request.target, ours=request.ours)


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
