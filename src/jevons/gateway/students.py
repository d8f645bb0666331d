"""Students behind the door: what they would say to a request, and the upstream inside this process by which they say it.

Comes in: the registry and its files, then requests. Goes out: the student that serves an organisation, its score for a request, and `live`, an upstream
like any other: its answers are held, posted and priced, and told in the client's dialect. A student is asked only for requests of its own
organisation, of its template, that stand by themselves. Loaded only where a route names a student: it needs numpy.
Does not know: how students are made (`distil`), which score is enough (`gateway.promises`), what a route does (`gateway.routing`).
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from contextvars import ContextVar
from hashlib import blake2b
from secrets import token_hex
from typing import NamedTuple

import msgspec

from jevons.core.ask import Ask, Caller, Dialect
from jevons.core.features import Features
from jevons.core.limits import COUNT_INLINE_BYTES_MAX, EMBEDDED_CHARS_MAX, STUDENT_ANSWERS_MAX
from jevons.gateway.auth_upstream import Nothing
from jevons.gateway.http1 import Header
from jevons.gateway.patience import Patience
from jevons.gateway.settings import UpstreamSettings
from jevons.gateway.upstream import Answer, NotSent, Upstream
from jevons.gateway.upstreams import Live
from jevons.learn.student import Answered, Student, Tried, Vector
from jevons.learn.student_card import Card, read_card
from jevons.ledger.errors import LedgerError
from jevons.ledger.ops import StudentPut
from jevons.meter.models import model_facts
from jevons.meter.tokens import MessageCounter, count_text
from jevons.wire.body import BAD_JSON
from jevons.wire.parse import parse
from jevons.wire.question import Question, question_of
from jevons.wire.replayed import stream_of

log = logging.getLogger("jevons.gateway")

UPSTREAM = "student"
PREFIX = f"{UPSTREAM}/"
TRAINED, SERVING, SHADOW, DEMOTED = "trained", "serving", "shadow", "demoted"
_ASKED: ContextVar[tuple[str, bytes]] = ContextVar("asked")
"""Whose request is on its way to a student, and its body as it came: by these what the student said of it is found again."""
_FREE = frozenset({b'"auto"', b'"none"', b"null"})
"""Choices of tools that allow an answer without one."""
_INSTRUCTS = frozenset({"system", "developer"})


class Ready(NamedTuple):
    """A version of a student that can be asked."""

    put: StudentPut
    card: Card
    student: Student
    trial: Sequence[Tried]
    """How it did on examples that it was not trained on."""

    @property
    def model(self) -> str:
        """As labels, promises and answers name it."""
        return f"{PREFIX}{self.put.name}@{self.put.version}"


class Students:
    """All of the registry that serve or are tried. Lives on one event loop."""

    def __init__(
        self,
        registry: Callable[[], Iterable[StudentPut]],
        opened: Callable[[StudentPut], tuple[Student, Sequence[Tried]]],
        embed: Callable[[str], Vector],
        submit: Callable[[StudentPut], object],
        begun: Callable[[Ready], None],
    ) -> None:
        """`registry` reads every version, `opened` its file (raises LedgerError), `submit` writes a changed state, `begun` is told of each version that can
        be asked from now on."""
        self._registry = registry
        self._opened = opened
        self._embed = embed
        self._submit = submit
        self._begun = begun
        self._ready: dict[tuple[str, str], tuple[Ready, ...]] = {}
        """(organisation, name) -> versions, the newest first."""
        self._said: dict[tuple[str, str, bytes], str] = {}
        """(organisation, model, digest of a request) -> the answer that was scored: it is the one that is told."""
        self.live = Live(
            _Settings(name=UPSTREAM, kind="local", provider=UPSTREAM, auth="none", retries=0), Nothing(), _here, _remembered
        )
        self.live.upstream = _Inside(self)

    async def reload(self) -> None:
        """Read the registry anew: at the start, and after it changed."""
        known = {one.model: one for ready in self._ready.values() for one in ready}
        self._ready = await asyncio.to_thread(self._loaded, known)
        for ready in self._ready.values():
            for one in ready:
                if one.model not in known:
                    self._begun(one)

    def _loaded(self, known: dict[str, Ready]) -> dict[tuple[str, str], tuple[Ready, ...]]:
        """In a thread: the registry, and each file that is new. One that cannot be opened is left out, and the log says why."""
        found: dict[tuple[str, str], list[Ready]] = {}
        for put in self._registry():
            if put.state not in (SERVING, SHADOW):
                continue
            before = known.get(f"{PREFIX}{put.name}@{put.version}")
            try:
                student, trial = (before.student, before.trial) if before is not None else self._opened(put)
                found.setdefault((put.org, put.name), []).append(Ready(put, read_card(put.card), student, trial))
            except (LedgerError, msgspec.DecodeError) as error:
                log.warning("student %s@%d does not serve: %s", put.name, put.version, error)
        return {place: tuple(sorted(ready, key=lambda one: -one.put.version)) for place, ready in found.items()}

    def current(self, org: str, name: str) -> str | None:
        """student/NAME@VERSION of the version that serves this organisation; None = it has none. `name` as in a route, without student/."""
        ready = self._serving(org, name)
        return None if ready is None else ready.model

    def tried(self, org: str, name: str) -> tuple[Ready, ...]:
        """Every version whose answers are compared with the teacher's."""
        return self._ready.get((org, name.partition("@")[0]), ())

    def score(self, name: str, ask: Ask, features: Features, vector: Vector | None, org: str) -> float | None:
        """How sure the serving version is of its answer. None: it has none, and must not be asked."""
        ready = self._serving(org, name)
        question = alone(ask) if ready is not None else None
        if ready is None or question is None:
            return None
        said = self.said(ready, question.text, features, vector)
        if said is None or _too_long(said.text, ask.output_cap):
            return None
        if len(self._said) >= STUDENT_ANSWERS_MAX:
            del self._said[next(iter(self._said))]
        self._said[org, ready.model, _digest(ask.body)] = said.text
        return said.score

    def said(self, ready: Ready, question: str, features: Features, vector: Vector | None) -> Answered | None:
        """What this version answers to the question of a request that is its; None for any other. Safe in a thread."""
        scope = ready.card.scope
        if features.template not in scope.templates or (scope.task and features.task != scope.task):
            return None
        return self._answered(ready.student, question, vector)

    def put(self, ready: Ready, state: str, reason: str) -> None:
        """A new state, on record and in force at once."""
        changed = msgspec.structs.replace(ready.put, state=state, reason=reason, at_ms=int(time.time() * 1000))
        place = ready.put.org, ready.put.name
        kept = [one._replace(put=changed) if one.put.version == changed.version else one for one in self._ready.get(place, ())]
        self._ready[place] = tuple([one for one in kept if one.put.state in (SERVING, SHADOW)])
        self._submit(changed)
        log.warning("student %s@%d of %s is now %s: %s", changed.name, changed.version, changed.org, state, reason)

    def withdrawn(self, org: str, _route: str, model: str, reason: str) -> None:
        """A promise was taken back: a student that drifted serves no longer, and its requests go to the teacher."""
        if not model.startswith(PREFIX):
            return
        name, _, version = model.removeprefix(PREFIX).partition("@")
        for ready in self.tried(org, name):
            if str(ready.put.version) == version:
                self.put(ready, DEMOTED, reason)

    def promised(self, org: str, model: str, coverage: Callable[[str], float]) -> None:
        """A version that was tried may answer now. It takes the place of an older one that covers no more: `coverage` of a model, by its promise."""
        name, _, version = model.removeprefix(PREFIX).partition("@")
        ready = next((one for one in self.tried(org, name) if str(one.put.version) == version), None)
        before = self._serving(org, name)
        if ready is None or ready.put.state == SERVING:
            return
        if before is not None and (before.put.version > ready.put.version or coverage(before.model) > coverage(model)):
            return
        self.put(ready, SERVING, f"its promise holds, for {coverage(model):.0%} of the requests")
        for older in self.tried(org, name):
            if older.put.version < ready.put.version:
                self.put(older, TRAINED, f"version {ready.put.version} serves in its place")

    def answer(self, org: str, name: str, body: bytes, sent: Ask) -> bytes:
        """A whole Chat completion: what was scored for the request that came with this body. Raises NotSent for any other: only a route asks students."""
        model = f"{PREFIX}{name}"
        text = self._said.get((org, model, _digest(body)))
        if text is None or _too_long(text, sent.output_cap):
            raise NotSent(f"{model} has no answer to this request; a student answers where a route chose it")
        return _completion(model, text, sent)

    def _serving(self, org: str, name: str) -> Ready | None:
        bare, _, version = name.partition("@")
        for ready in self._ready.get((org, bare), ()):
            if ready.put.state == SERVING and version in ("", str(ready.put.version)):
                return ready
        return None

    def _answered(self, student: Student, question: str, vector: Vector | None) -> Answered | None:
        if student.embeds and vector is None:
            vector = self._embed(question)
        return student.answer(question, vector)


def alone(ask: Ask) -> Question | None:
    """The question, if the answer depends on it and the instructions before it alone, and may be plain text. None: it is no request for students."""
    if ask.choices > 1 or ask.remote_context or ask.server_tools or len(ask.body) > COUNT_INLINE_BYTES_MAX:
        return None
    if bytes(ask.fields.get("logprobs", b"")) == b"true" or bytes(ask.fields.get("tool_choice", b'"auto"')) not in _FREE:
        return None
    if sum(map(_is_spoken, ask.messages)) > 1:
        return None
    question = question_of(ask)
    if question is None or question.tool_results or question.other_parts or not question.text.strip():
        return None
    return question if len(question.text) <= EMBEDDED_CHARS_MAX else None


class _Role(msgspec.Struct):
    role: str = ""


_role = msgspec.json.Decoder(_Role).decode


def _is_spoken(message: bytes) -> bool:
    """Of a conversation: neither an instruction nor tools, which are a text or a list where they are no message."""
    try:
        return message.startswith(b"{") and _role(message).role not in _INSTRUCTS
    except BAD_JSON:
        return True


def _too_long(text: str, cap: int | None) -> bool:
    """It would have to be cut."""
    return cap is not None and cap < len(text) and count_text(text, "o200k_base") > cap


def _digest(body: bytes) -> bytes:
    return blake2b(body, digest_size=16).digest()


_counter = MessageCounter(entries_max=2)


def _completion(model: str, text: str, sent: Ask) -> bytes:
    """As OpenAI writes it; tokens by our own count."""
    facts = model_facts(UPSTREAM, sent.model)
    read = _counter.count(sent.messages, facts, Dialect.CHAT, extras=sent.extras).tokens
    made = count_text(text, facts.count_encoding)
    return msgspec.json.encode(
        {
            "id": f"chatcmpl-{token_hex(12)}",
            "object": "chat.completion",
            "created": int(time.time()),
            "model": model,
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": text, "refusal": None},
                    "logprobs": None,
                    "finish_reason": "stop",
                }
            ],
            "usage": {"prompt_tokens": read, "completion_tokens": made, "total_tokens": read + made},
        }
    )


class _Settings(UpstreamSettings, frozen=True):
    """Chat is all that is spoken inside, and nothing is reached by an address."""

    def path_of(self, dialect: Dialect) -> str | None:
        return "" if dialect is Dialect.CHAT else None

    def dialects(self) -> frozenset[Dialect]:
        return frozenset({Dialect.CHAT})


async def _here() -> str:
    return f"{UPSTREAM}:"


def _remembered(ask: Ask, caller: Caller) -> list[tuple[str, str]]:
    """No header, but whose request it is: it is sent in the same task, next."""
    _ASKED.set((caller.org, ask.body))
    return []


class _Inside(Upstream):
    """What is sent here is answered here."""

    def __init__(self, students: Students) -> None:
        super().__init__(students.live.settings)
        self._students = students

    async def send(
        self, method: str, url: str, headers: list[Header], body: bytes | None, patience: Patience, *, stream: bool
    ) -> Answer:
        """Raises NotSent where no student answers."""
        org, came = _ASKED.get()
        sent = parse(Dialect.CHAT, body or b"")
        whole = self._students.answer(org, sent.model, came, sent)
        if not stream:
            return Answer(_Whole([("content-type", "application/json")], whole), patience)
        events, end = stream_of(Dialect.CHAT, whole, include_usage=sent.include_usage)
        return Answer(_Whole([("content-type", "text/event-stream")], events + end), patience)


class _Whole:
    """An answer that is there already (`gateway.upstream.Coming`)."""

    status = 200

    def __init__(self, headers: list[Header], body: bytes) -> None:
        self.headers = headers
        self._body: bytes | None = body

    async def next(self) -> bytes | None:
        body, self._body = self._body, None
        return body

    async def close(self) -> None:
        return
