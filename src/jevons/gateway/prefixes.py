"""The provider's prompt cache, live: what is warm, how soon beginnings are sent again, and what is marked on a call.

Comes in: a request as it is sent, its attempt, the usage that comes back. Goes out: the members of the body to change, or none; what of a
prompt a model has warm. `policy.promptcache` decides, `wire.markers` writes. One organisation never finds another's beginnings: each
link carries its organisation. How often things are sent again is learnt of all together. Does not know: holds, addresses, accounts.
"""

import asyncio
import logging
from collections import Counter, OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from hashlib import blake2b
from traceback import format_tb
from typing import NamedTuple

import msgspec
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from jevons.cache.settings import PromptCacheSettings, PromptMode
from jevons.core.ask import Ask, Dialect
from jevons.core.cache_rules import CacheRates, CacheRules, Style, rates
from jevons.core.chain import Chain
from jevons.core.chain import chain as chain_of
from jevons.core.entry import Entry, Estimate, Outcome, admitted_ms, attempt_of
from jevons.core.limits import (
    COUNT_INLINE_BYTES_MAX,
    PREFIX_MESSAGES_MAX,
    PREFIX_MODELS_MAX,
    PREFIX_PARTS_MAX,
    PREFIX_STOPS_MAX,
)
from jevons.gateway.attempt import Attempt
from jevons.gateway.beginnings import Beginnings, Known
from jevons.gateway.outbound import Outgoing
from jevons.gateway.passage import WITHOUT_STEPS, Passage
from jevons.meter.models import ModelFacts, model_facts
from jevons.meter.prompt_rules import PromptCache, prompt_cache
from jevons.policy.arrivals import Arrivals, By
from jevons.policy.degrade import Turn
from jevons.policy.promptcache import Plan, plan
from jevons.policy.provider_cache import Counted, Mark, Path, ProviderCache, Warm
from jevons.policy.route import Target
from jevons.wire import markers

log = logging.getLogger("jevons.gateway")

KEY_BYTES = 16
NO_CHANGES: Mapping[str, bytes] = {}


class _Model:
    """What is believed of one model's cache at one upstream."""

    def __init__(self, rules: CacheRules) -> None:
        self.cache = ProviderCache(rules, PREFIX_PARTS_MAX)
        self.imagined = ProviderCache(rules, PREFIX_PARTS_MAX)
        """What it would hold by our marks, where they are not sent."""


class _Sent(msgspec.Struct, frozen=True):
    """A call under way."""

    model: _Model
    path: Path
    rates: CacheRates | None
    marks: tuple[Mark, ...]
    """All that it carries."""
    only_marks: bool
    imagined: tuple[Mark, ...] | None
    """All that it would carry; None = it is sent as planned."""
    imagined_only_marks: bool


class _Written(NamedTuple):
    """What is said of the cache beside what the client says."""

    changes: Mapping[str, bytes]
    """Members of the body."""
    marks: tuple[Mark, ...]
    """Ours."""
    only_marks: bool
    """Nothing else is to be cached."""
    key: str
    """What our key stands for: "opening", "conversation"; "" = there is none."""


NOTHING_WRITTEN = _Written(NO_CHANGES, (), False, "")


class Prefixes(Collector):
    """Of one gateway. Bounded; what was touched longest ago is forgotten."""

    def __init__(self, settings: PromptCacheSettings, secret: bytes) -> None:
        self._settings = settings
        self._secret = secret
        self._beginnings = Beginnings(secret)
        self.counter = self._beginnings.counter
        """Tokens of messages; the gate counts by it too."""
        self._arrivals = Arrivals(PREFIX_STOPS_MAX)
        self._models: OrderedDict[tuple[str, str], _Model] = OrderedDict()
        self._open: dict[int, _Sent] = {}
        """Calls under way, by the ids of their holds."""
        self.marks: Counter[tuple[str, str]] = Counter()
        """(upstream, mode): marks of ours that were planned."""
        self.tokens: Counter[tuple[str, str]] = Counter()
        """(upstream, what): believed, read, missed (believed, and nothing was read)."""
        self.would_save_nusd: Counter[str] = Counter()
        """By upstream: what was observed would have saved, less the write premiums. What is saved stands in the entries."""

    def plan(self, attempt: Attempt, ask: Ask, outgoing: Outgoing) -> Mapping[str, bytes]:
        """The members to change so that what is worth keeping is marked; {} unless the mode is on. Where nothing is to be written, what there is
        to learn of a request is learnt while its upstream is waited for."""
        mode = self._settings.of(attempt.hold.upstream)
        cache = prompt_cache(attempt.provider, attempt.hold.target)
        if cache.rules.style is Style.NONE or ask.dialect in WITHOUT_STEPS or attempt.passage is None:
            return NO_CHANGES
        if not 0 < len(ask.messages) <= PREFIX_MESSAGES_MAX:
            return NO_CHANGES
        if mode == "on":
            return self._watched(attempt, attempt.passage, mode, cache, ask, outgoing)
        asyncio.get_running_loop().call_soon(self._observed, attempt, attempt.passage, mode, cache, ask, outgoing)
        return NO_CHANGES

    def _observed(
        self, attempt: Attempt, passage: Passage, mode: PromptMode, cache: PromptCache, ask: Ask, outgoing: Outgoing
    ) -> None:
        if attempt.settled is None:
            self._watched(attempt, passage, mode, cache, ask, outgoing)

    def _watched(
        self, attempt: Attempt, passage: Passage, mode: PromptMode, cache: PromptCache, ask: Ask, outgoing: Outgoing
    ) -> Mapping[str, bytes]:
        """`_planned`: no bug of ours there shall fail a call."""
        try:
            return self._planned(attempt, passage, mode, cache, ask, outgoing)
        except Exception as error:  # noqa: BLE001 - reported
            _report(error)
            self._open.pop(attempt.hold.id, None)
            attempt.markers = None
            return NO_CHANGES

    def _planned(
        self, attempt: Attempt, passage: Passage, mode: PromptMode, cache: PromptCache, ask: Ask, outgoing: Outgoing
    ) -> Mapping[str, bytes]:
        hold, rules, sent = attempt.hold, cache.rules, outgoing.sent
        chain = passage.sent if sent is ask else chain_of(self._secret, sent.messages)
        about = model_facts(attempt.provider, hold.target)
        if self._is_long(sent, about, chain):
            return NO_CHANGES
        marked = _marked(sent)
        known = self._beginnings.of(passage.caller.org, sent, chain, about, marked)
        own_marks = [markers.Mark(place, ttl) for place in marked for ttl in markers.lifetimes(sent.messages[place])]
        path, said = known.path, markers.said(sent, tuple(own_marks))
        attempt.markers = "client" if said.plans else "automatic"
        if mode == "off" or sent.previous_response_id is not None:
            return NO_CHANGES
        model = self._model(hold.upstream, hold.target, rules)
        now_s = admitted_ms(hold.id) / 1000
        if attempt_of(hold.id) == 0:  # a retry asks for nothing new
            by = By.TOOL if passage.turn is Turn.OPEN else By.PERSON
            passage.places = self._arrivals.seen(path, now_s, passage.caller.key_id, by, known.opening)
        places = passage.places if passage.places and passage.places[-1].position == len(path.links) - 1 else ()
        own = _own(rules, said, len(path.links))
        observed = mode == "observe" and rules.style is Style.EXPLICIT
        warm = (model.imagined if observed else model.cache).warm(path, now_s)
        if passage.warm_tokens is None and passage.turn is Turn.FRESH:
            attempt.warm_tokens = _tokens(path, model.cache.warm(path, now_s) if observed else warm)
        priced = rates(rules, attempt.price, path.tokens)
        planned = plan(rules, priced, path, warm, places, own)
        wanted, marked_only = _wanted(rules, planned, said, own, known, warm)
        written = NOTHING_WRITTEN
        if mode == "on" and (sent.dialect is Dialect.MESSAGES or outgoing.keyed or hold.upstream in self._settings.upstreams):
            written = self._written(cache, sent, known, said, wanted, marked_only, planned.keyed)
            if not said.plans and (written.marks or written.only_marks):
                attempt.markers = "planned"
        imagined = (*own, *wanted) if observed else None
        self._open[hold.id] = _Sent(model, path, priced, (*own, *written.marks), written.only_marks, imagined, marked_only)
        marks = written.marks if mode == "on" else wanted
        self.marks[hold.upstream, mode] += len(marks)
        attempt.cache_plan = _in_words(mode, rules, planned, marks, written.key)
        return written.changes

    def settled(self, entry: Entry) -> None:
        """An attempt is over: what it wrote is warm now, if it was answered; what was believed is set right by its usage."""
        sent = self._open.pop(entry.hold.id, None)
        if sent is None or entry.outcome is not Outcome.OK or entry.estimate is not Estimate.NONE:
            return
        try:
            self._learn(sent, entry)
        except Exception as error:  # noqa: BLE001 - nor shall one keep a charge from the disk
            _report(error)

    def _learn(self, sent: _Sent, entry: Entry) -> None:
        usage, upstream = entry.usage, entry.hold.upstream
        model, path, now_s = sent.model, sent.path, admitted_ms(entry.hold.id) / 1000
        counted = model.cache.apply(path, sent.marks, now_s, only_marks=sent.only_marks)
        if counted.read:
            self.tokens[upstream, "believed"] += counted.read
            if not usage.cache_read:
                self.tokens[upstream, "missed"] += counted.read
                model.cache.forget(path)
                model.cache.apply(path, sent.marks, now_s, only_marks=sent.only_marks)
        self.tokens[upstream, "read"] += usage.cache_read
        if sent.imagined is not None:
            counted = model.imagined.apply(path, sent.imagined, now_s, only_marks=sent.imagined_only_marks)
            if sent.rates is not None:
                self.would_save_nusd[upstream] += _saved_nusd(counted, sent.rates)

    def warm_tokens(self, ask: Ask, passage: Passage, target: Target, provider: str) -> int:
        """How many tokens of a request a model has warm, as far as is believed; 0 also where it would take long to tell."""
        model, about = self._models.get((target.upstream, target.model)), model_facts(provider, target.model)
        if model is None or target.dialect is not ask.dialect or not 0 < len(ask.messages) <= PREFIX_MESSAGES_MAX:
            return 0
        if self._is_long(ask, about, passage.sent):
            return 0
        path = self._beginnings.of(passage.caller.org, ask, passage.sent, about, _marked(ask)).path
        return _tokens(path, model.cache.warm(path, passage.at_ms / 1000))

    def collect(self) -> Iterator[Metric]:
        """For /metrics."""
        marks = CounterMetricFamily(
            "jevons_prompt_cache_marks", "Marks for the provider's prompt cache", labels=["upstream", "mode"]
        )
        tokens = CounterMetricFamily(
            "jevons_prompt_cache_tokens", "Tokens believed cached, and read", labels=["upstream", "what"]
        )
        would = GaugeMetricFamily(
            "jevons_prompt_cache_would_save_usd", "What observed plans would have saved", labels=["upstream"]
        )
        for labels, n in self.marks.items():
            marks.add_metric(list(labels), n)
        for labels, n in self.tokens.items():
            tokens.add_metric(list(labels), n)
        for upstream, nusd in self.would_save_nusd.items():
            would.add_metric([upstream], nusd / 1e9)
        yield from (marks, tokens, would)

    def _written(
        self,
        cache: PromptCache,
        sent: Ask,
        known: Known,
        said: markers.Said,
        wanted: tuple[Mark, ...],
        marked_only: bool,
        keyed: bool,
    ) -> _Written:
        rules, changes = cache.rules, dict(NO_CHANGES)
        speaks = (cache.marker == markers.CACHE_CONTROL) == (sent.dialect is Dialect.MESSAGES)
        ours: tuple[Mark, ...] = ()
        if wanted and speaks:
            named = {mark.position: rules.ttls[mark.ttl].name if mark.ttl else "" for mark in wanted}
            marks = [markers.Mark(place, ttl) for place, ttl in named.items()]
            changes, placed = markers.mark_edit(sent.fields, sent.dialect, cache.marker, marks)
            places = {mark.place for mark in placed}
            ours = tuple([mark for mark in wanted if mark.position in places])
        only_marks = marked_only and speaks and not said.plans and len(ours) == len(wanted)
        if only_marks:
            changes[markers.CACHE_OPTIONS] = markers.ONLY_MARKS
        key = ""
        if keyed and not said.key and sent.dialect in (Dialect.CHAT, Dialect.RESPONSES):
            key, changes[markers.CACHE_KEY] = self._key(known, rules)
        return _Written(changes, ours, only_marks, key)

    def _is_long(self, sent: Ask, about: ModelFacts, chain: Chain) -> bool:
        """Would weighing it hold up others? What the gate counted already is known."""
        return self.counter.uncached_bytes(sent.messages, about.tokenizer, chain.digests) > COUNT_INLINE_BYTES_MAX

    def _key(self, known: Known, rules: CacheRules) -> tuple[str, bytes]:
        """What it stands for, and the key: of tools and system, where these can be cached alone; else of the conversation, which is they and the
        message after them. It says nothing to whoever lacks the secret."""
        path, opening = known.path, known.opening
        common = opening > 0 and path.ends[opening - 1] >= rules.min_tokens
        link = path.links[opening - 1 if common else min(opening, len(path.links) - 1)]
        key = blake2b(link, digest_size=KEY_BYTES, key=self._secret, person=b"promptkey").hexdigest()
        return "opening" if common else "conversation", b'"' + key.encode() + b'"'

    def _model(self, upstream: str, target: str, rules: CacheRules) -> _Model:
        key = (upstream, target)
        model = self._models.get(key)
        if model is None:
            model = self._models[key] = _Model(rules)
            if len(self._models) > PREFIX_MODELS_MAX:
                self._models.popitem(last=False)
        self._models.move_to_end(key)
        return model


def _report(error: Exception) -> None:
    """Of a bug: where it is. What the error says may be content."""
    log.error("a bug, in planning for the prompt cache: %s\n%s", type(error).__name__, "".join(format_tb(error.__traceback__)))


def _marked(ask: Ask) -> tuple[int, ...]:
    """The messages in which something is called as a mark is."""
    if not markers.names_a_mark(ask.body):
        return ()
    return tuple([place for place, message in enumerate(ask.messages) if markers.names_a_mark(message)])


def _tokens(path: Path, warm: Sequence[Warm]) -> int:
    return path.ends[warm[-1].position] if warm else 0


def _own(rules: CacheRules, said: markers.Said, messages: int) -> tuple[Mark, ...]:
    """The client's marks in the planner's terms: by position, and which lifetime."""
    if not said.plans:
        return ()
    names = {ttl.name: number for number, ttl in enumerate(rules.ttls)}
    own = [Mark(mark.place, names.get(mark.ttl, 0)) for mark in said.marks]
    if said.whole is not None:
        own.append(Mark(messages - 1, names.get(said.whole, 0)))
    return tuple(own)


def _wanted(
    rules: CacheRules, planned: Plan, said: markers.Said, own: Sequence[Mark], known: Known, warm: Sequence[Warm]
) -> tuple[tuple[Mark, ...], bool]:
    """Of what is planned: the marks that may be set beside the client's, and whether nothing else shall be cached."""
    if said.options:
        return (), False
    marks = _in_order(planned.marks, own)
    if rules.style is not Style.EXPLICIT or not rules.by_itself:
        return marks, planned.only_marks
    return beside_its_own(marks, () if said.plans else warm, known.opening), planned.only_marks and not warm


def beside_its_own(wanted: Sequence[Mark], warm: Sequence[Warm], opening: int) -> tuple[Mark, ...]:
    """Ours where the provider marks the end of each request by itself (OpenAI from 5.6 on).

    Those on tools and system remain, also where they are warm, since a prefix is found at a mark only, and its bytes shall stay as they were.
    What follows is not touched: what is warm of it ends at a mark of the provider's own.
    """
    kept = {part.position: Mark(part.position, part.ttl) for part in warm} | {mark.position: mark for mark in wanted}
    return tuple([kept[position] for position in sorted(kept) if position < opening])


def _in_order(marks: Sequence[Mark], own: Sequence[Mark]) -> tuple[Mark, ...]:
    """Ours beside the client's as providers take them: no longer lifetime behind a shorter one. What does not fit in is left out."""
    fitting = [
        mark
        for mark in marks
        if all(mark.ttl <= each.ttl for each in own if each.position <= mark.position)
        and all(mark.ttl >= each.ttl for each in own if each.position >= mark.position)
    ]
    return tuple(fitting)


def _saved_nusd(counted: Counted, priced: CacheRates) -> int:
    """Against nothing cached."""
    premiums = sum(n * (write - priced.plain) for n, write in zip(counted.written, priced.writes, strict=True))
    return (counted.read * (priced.plain - priced.read) - premiums) // priced.den


def _in_words(mode: str, rules: CacheRules, planned: Plan, marks: Sequence[Mark], key: str) -> str:
    """For people: what was marked, or would have been, and why. Messages are counted from 0, tools and system first."""
    where = ",".join(f"{rules.ttls[mark.ttl].name}@{mark.position}" for mark in marks) or "none"
    keyed = f";key={key}" if key else ""
    return f"mode={mode};marks={where}{keyed};reason={planned.reason.name.lower()};expected_nusd={planned.expected_nusd}"
