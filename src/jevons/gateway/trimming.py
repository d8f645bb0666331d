"""Long tool output on its way to a provider, made shorter where that breaks no prompt cache; the whole of it stays to be fetched.

Comes in: a request under way, as it came. Goes out: the same with shorter texts in it, and in the passage what was done. An output is made
shorter when it is first sent, and stays as it was sent for as long as that is remembered. Runs, loops and the record of a conversation go by
what came; counts, holds and prompt caches by what is sent. `policy.trim` decides, `wire.trimming` makes. Does not know: upstreams, holds.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from hashlib import blake2b

import msgspec

from jevons.cache.originals import Originals
from jevons.cache.settings import TrimSettings
from jevons.core.ask import Ask, Caller
from jevons.core.chain import DIGEST_BYTES, Chain, chain, identity, links_after
from jevons.core.limits import (
    COUNT_INLINE_BYTES_MAX,
    IDENTITY_BYTES_MAX,
    TRIM_DECISIONS_MAX,
    TRIM_REF_DIGITS,
    TRIM_TEXT_BYTES_MAX,
)
from jevons.core.price import Price
from jevons.core.refusal import Kind, Refusal, invalid
from jevons.core.usage import CACHE_READ, CACHE_WRITE_5M, INPUT
from jevons.gateway.clients import Named
from jevons.gateway.passage import Passage, Trim
from jevons.meter.tokens import count_text
from jevons.policy.trim import READS_FILE, Fate, Rates, Sent, fate, is_kept, is_worth, pays
from jevons.wire.body import BAD_JSON
from jevons.wire.calls import Call
from jevons.wire.markers import without_marks
from jevons.wire.trimming.crush import ALL, Form, crush
from jevons.wire.trimming.crushed import marked
from jevons.wire.trimming.outputs import Output, answered, calls_of, opening, outputs, replaced, turns

ENCODING = "o200k_base"
"""Texts are weighed in one vocabulary, so that what is worth it does not depend on the model."""
BYTES_PER_TOKEN_MIN = 2
"""What is shorter than this per token is not looked at."""
BYTES_PER_TOKEN = 4
"""For what stands behind an output, which need not be counted exactly."""
HEADER = b"x-jevons-trim"
_Called = Mapping[tuple[int, str], Call]
"""Calls, by message and id of their outputs."""


class _Known(msgspec.Struct, frozen=True):
    """What is remembered of one output in its conversation."""

    sent: Sent
    forms: frozenset[Form] = frozenset()
    """What it may be read as."""
    ref: str = ""
    """Of what it is, or could be, made shorter to; "" = it cannot."""
    removed: int = 0
    """Tokens."""


class Trimmer:
    """All trimming of one gateway."""

    def __init__(self, settings: TrimSettings, secret: bytes) -> None:
        self._settings = settings
        self._secret = secret
        self._bytes_min = settings.min_tokens * BYTES_PER_TOKEN_MIN
        self._known: OrderedDict[bytes, _Known] = OrderedDict()
        self._originals = Originals(settings.ram_mib * 2**20, settings.ttl_h * 3600.0)

    async def trim(self, ask: Ask, passage: Passage, named: Named, price: Callable[[], Price | None]) -> Ask:
        """The request to send. `price`: of the model that it goes to. Raises Refusal (400) for a header of ours with another word."""
        word = named.get(HEADER)
        if word is not None and word not in (b"on", b"off"):
            raise invalid("x-jevons-trim is `off`, `on`, or left out.", code="invalid_trim")
        found = [output for output in outputs(ask, self._bytes_min) if len(output.raw) <= TRIM_TEXT_BYTES_MAX]
        if not found:
            return ask
        org, new = passage.caller.org, answered(ask)
        begun = self._begun(ask)
        keys = [self._key(org, begun, output) for output in found]
        if word == b"off":
            for key in keys:
                self._remember(key, _Known(Sent.WHOLE))
            return ask
        swaps: list[tuple[Output, str, bytes]] = []
        old: list[tuple[Output, bytes]] = []
        fresh: list[tuple[Output, bytes]] = []
        for output, key in zip(found, keys, strict=True):
            known = self._known.get(key, _Known(Sent.UNKNOWN))
            match fate(known.sent, fresh=output.message >= new, failed=output.failed):
                case Fate.SAME:
                    self._remember(key, known)
                    swaps += await self._again(org, output, known)
                case Fate.TRIM:
                    fresh.append((output, key))
                case Fate.KEEP if known.sent is Sent.UNKNOWN and self._settings.history and not output.failed:
                    old.append((output, key))
        new_to_us = [*[output for output, _ in fresh], *[output for output, key in old if key not in self._known]]
        called = calls_of(ask, new_to_us)
        apart = sum([len(output.raw) for output, _ in (*fresh, *old)]) > COUNT_INLINE_BYTES_MAX
        for output, key in fresh:
            made = await self._make(org, output, called, apart=apart)
            if made.ref:
                self._remember(key, msgspec.structs.replace(made, sent=Sent.TRIMMED))
                swaps += await self._again(org, output, made)
        if old and (paying := await self._paying(ask, org, old, called, new, price, apart=apart)):
            for output, key, known in paying:
                self._remember(key, msgspec.structs.replace(known, sent=Sent.TRIMMED))
                swaps += await self._again(org, output, known)
        if not swaps:
            return ask
        changes: dict[int, list[tuple[Output, bytes]]] = {}
        for output, _, small in swaps:
            changes.setdefault(output.message, []).append((output, small))
        sent = replaced(ask, changes)
        refs = len({ref for _, ref, _ in swaps})
        passage.trim = Trim(ask, self._links(passage.links, sent, changes), tuple(sorted(changes)), new, refs)
        return sent

    def original(self, caller: Caller, ref: str) -> str:
        """The text behind a reference of the caller's organisation. Raises Refusal (404)."""
        found = self._originals.get(caller.org, ref, time.monotonic())
        if found is None:
            raise Refusal(
                Kind.NOT_FOUND,
                404,
                f"There is no such tool output of this organisation, or no longer: each is kept in memory for {self._settings.ttl_h} hours after"
                " it was last sent, and not over a restart. The client has it.",
                code="unknown_original",
            )
        return msgspec.json.decode(found.raw, type=str)

    async def _make(self, org: str, output: Output, called: _Called, *, apart: bool) -> _Known:
        """What an output could be made shorter to: kept with the original, not yet remembered as sent. `apart`: in a thread."""
        forms = self._forms(called.get((output.message, output.call_id)))
        if not forms or not self._originals.fits(output.raw):
            return _Known(Sent.UNKNOWN)
        ref = self._ref(org, output, forms)
        work = (output, ref, forms, self._settings)
        made = await asyncio.to_thread(_small, *work) if apart else _small(*work)
        if made is None:
            return _Known(Sent.UNKNOWN)
        small, removed = made
        self._originals.put(org, ref, output.raw, small, time.monotonic())
        return _Known(Sent.UNKNOWN, forms, ref, removed)

    async def _again(self, org: str, output: Output, known: _Known) -> list[tuple[Output, str, bytes]]:
        """The very bytes that stand for an output; made once more if they are no longer in memory."""
        now_s = time.monotonic()
        kept = self._originals.get(org, known.ref, now_s)
        if kept is not None:
            small = kept.small
        else:
            made = await asyncio.to_thread(_small, output, known.ref, known.forms, self._settings)
            assert made is not None  # it was, and depends on nothing else
            small, _ = made
        self._originals.put(org, known.ref, output.raw, small, now_s)
        return [(output, known.ref, small)]

    async def _paying(
        self,
        ask: Ask,
        org: str,
        old: list[tuple[Output, bytes]],
        called: _Called,
        new: int,
        price: Callable[[], Price | None],
        *,
        apart: bool,
    ) -> list[tuple[Output, bytes, _Known]]:
        """Those sent before that are worth the prefix they break, all at once; [] = they are not. A conversation is taken to be half over."""
        made: list[tuple[Output, bytes, _Known]] = []
        for output, key in old:
            if (known := self._known.get(key)) is None:
                known = await self._make(org, output, called, apart=apart)
            self._remember(key, known)
            if known.ref:
                made.append((output, key, known))
        rates = _rates(price()) if made else None
        if rates is None:
            return []
        removed = sum([known.removed for *_, known in made])
        behind = sum(map(len, ask.messages[made[0][0].message : new])) // BYTES_PER_TOKEN - removed
        return made if pays(removed, behind, turns(ask), rates) else []

    def _forms(self, call: Call | None) -> frozenset[Form]:
        """What the output of a call may be read as. Where that is not known, or printed a file, only a log: nobody edits one by its words."""
        if call is None:
            return frozenset({Form.LOG})
        if is_kept(call.name, self._settings.keep_tools):
            return frozenset()
        if READS_FILE.search(_words(call.arguments)):
            return frozenset({Form.LOG})
        return ALL | {Form.PLAIN} if self._settings.plain_tokens else ALL

    def _links(self, links: Chain, sent: Ask, changed: Iterable[int]) -> Chain:
        """The chain of what is sent: only what was changed is digested anew."""
        digests = list(links.digests)
        for place in changed:
            digests[place] = chain(self._secret, (sent.messages[place],)).digests[0]
        return Chain(tuple(digests), links_after(self._secret, digests))

    def _begun(self, ask: Ask) -> bytes:
        """What a conversation is known by: its first words, wherever its client puts `cache_control`."""
        first = opening(ask)
        if len(first) <= IDENTITY_BYTES_MAX:
            return identity(self._secret, first)
        return chain(self._secret, (without_marks(first),)).head

    def _key(self, org: str, begun: bytes, output: Output) -> bytes:
        """Of one output in its conversation. Some clients number their calls anew in each: an id alone does not tell."""
        return self._digest(b"output", org, begun + output.call_id.encode(), output.raw)

    def _ref(self, org: str, output: Output, forms: frozenset[Form]) -> str:
        digest = self._digest(b"original", org, ",".join(sorted(forms)).encode(), output.raw)
        return f"{int.from_bytes(digest) % 10**TRIM_REF_DIGITS:0{TRIM_REF_DIGITS}}"

    def _digest(self, purpose: bytes, org: str, apart: bytes, raw: bytes) -> bytes:
        whole = blake2b(digest_size=DIGEST_BYTES, key=self._secret, person=purpose)
        for part in (org.encode(), apart):
            whole.update(len(part).to_bytes(8) + part)
        whole.update(raw)
        return whole.digest()

    def _remember(self, key: bytes, known: _Known) -> None:
        self._known[key] = known
        self._known.move_to_end(key)
        if len(self._known) > TRIM_DECISIONS_MAX:
            self._known.popitem(last=False)


def _words(arguments: object) -> str:
    """The texts in a call's arguments, a line for each: what a shell reads. JSON in a text counts as its texts, once."""
    texts: list[str] = []
    rest = [arguments]
    if isinstance(arguments, str):
        try:
            rest = [msgspec.json.decode(arguments)]
        except BAD_JSON:
            return arguments
    while rest:
        match rest.pop():
            case str(text):
                texts.append(text)
            case dict(members):
                rest += reversed(members.values())
            case list(items):
                rest += reversed(items)
    return "\n".join(texts)


def _small(output: Output, ref: str, forms: frozenset[Form], settings: TrimSettings) -> tuple[bytes, int] | None:
    """The JSON string in place of an output, and by how many tokens it is shorter; None: not worth it."""
    try:
        text = output.text
    except BAD_JSON:  # half of a surrogate pair, which no provider reads either
        return None
    crushed = crush(text, forms, settings.plain_tokens * BYTES_PER_TOKEN)
    if crushed is None:
        return None
    small = marked(crushed, ref)
    before, after = count_text(text, ENCODING), count_text(small, ENCODING)
    if before < settings.min_tokens or not is_worth(before, after, settings.min_share):
        return None
    return msgspec.json.encode(small), before - after


def _rates(price: Price | None) -> Rates | None:
    """Of the row's first tier; where a write has no rate of its own it costs what input costs."""
    nums = price.tier(0).nums if price is not None else {}
    if INPUT not in nums or CACHE_READ not in nums:
        return None
    return Rates(nums[CACHE_READ], nums.get(CACHE_WRITE_5M, nums[INPUT]))
