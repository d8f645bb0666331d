"""Follows what each run does, request by request, for the loop detector.

Comes in: a run's `Trail`, a request with the digests of its messages, its input tokens. Goes out: `Loops`, and the trail brought up to date.
Agents send their whole history again, so most of a request was read before: the conversation it continues is found by the digests of
its latest messages, and only what came since is decoded. A request that continues none begins another conversation of the run.
Does not know: what follows from a loop, which run a request belongs to.
"""

from collections.abc import Sequence
from itertools import chain
from sys import intern
from typing import TypeVar

import msgspec
from msgspec.structs import replace

from jevons.core.ask import Ask, Dialect
from jevons.core.chain import loop_key
from jevons.core.limits import (
    TRAIL_CONVERSATIONS_MAX,
    TRAIL_MESSAGE_BYTES_MAX,
    TRAIL_MESSAGES_KEPT,
    TRAIL_MESSAGES_READ_MAX,
    TRAIL_OPEN_CALL_BYTES_MAX,
    TRAIL_REQUESTS_MAX,
    TRAIL_SILENT_MAX,
    TRAIL_STEPS_MAX,
    TRAIL_STEPS_SEEN_MAX,
)
from jevons.policy.loops import Conversation, History, Loops, Mark, State, Step, Trail, Turn, carried, close, judge
from jevons.policy.prints import Prints
from jevons.wire.calls import Call, Part, Result, Said, parts

_T = TypeVar("_T")


class _Place(msgspec.Struct, frozen=True):
    """Where a request goes on from."""

    state: State
    marks: tuple[Mark, ...] = ()
    """Messages of the request that were read before."""
    unread: tuple[int, ...] = ()
    """Input tokens of the requests that brought the first of the messages to be read again."""
    start: int = 0
    """The first message to be read."""


class Trails:
    """Reads requests into trails, under one secret."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        self._prints = Prints(secret)
        self._silent: dict[Dialect, set[bytes]] = {}
        """Digests of messages of which no part is looked at."""

    def follow(self, trail: Trail, ask: Ask, digests: Sequence[bytes], input_tokens: int) -> Loops:
        """Bring the trail up to date with a request, and judge it. `digests`: of `ask.messages`, one each (core.chain)."""
        digests = tuple(digests)
        head = hash((ask.model, ask.previous_response_id, digests))
        place = _lowered(_place(trail, ask, digests, head, input_tokens), input_tokens)
        marks, state = self._read(ask, digests, place, input_tokens)
        history = close(state)
        marks = marks[-TRAIL_MESSAGES_KEPT:]
        recent = tuple([mark.digest for mark in marks])
        state = replace(_kept(state), closed=history)
        trail.conversations.append(Conversation(digests[:1], len(digests), marks, recent, state))
        del trail.conversations[:-TRAIL_CONVERSATIONS_MAX]
        made = history.own - place.state.history.own
        return judge(history, _sent(trail, head, history.steps[-made:] if made else ()), input_tokens)

    def _read(self, ask: Ask, digests: tuple[bytes, ...], place: _Place, input_tokens: int) -> tuple[tuple[Mark, ...], State]:
        """The marks and the state after all messages."""
        state, start = place.state, max(place.start, len(digests) - TRAIL_MESSAGES_READ_MAX)
        marks = list(place.marks) if start == place.start else []
        messages = ask.messages[start:]
        found = self._parts(ask, digests, start)
        flat = list(chain.from_iterable(found))
        done = 0
        for offset, message in enumerate(messages):
            tokens = place.unread[offset] if offset < len(place.unread) else input_tokens
            for part in found[offset]:
                done += 1
                calls_next = done < len(flat) and type(flat[done]) is Call
                state = self._part(state, part, calls_next, len(message), tokens)
            if marks or found[offset]:
                marks.append(Mark(digests[start + offset], _kept(state), tokens))
        return tuple(marks), state

    def _parts(self, ask: Ask, digests: tuple[bytes, ...], start: int) -> list[Sequence[Part]]:
        """What each message from `start` on says. System prompts and tools say nothing here, and begin every conversation: they are read once."""
        silent = self._silent.setdefault(ask.dialect, set())
        found: list[Sequence[Part]] = []
        for message, digest in zip(ask.messages[start:], digests[start:], strict=True):
            if len(message) > TRAIL_MESSAGE_BYTES_MAX or digest in silent:
                found.append(())
                continue
            found.append(said := parts(ask.dialect, message))
            if not said:
                if len(silent) >= TRAIL_SILENT_MAX:
                    silent.clear()
                silent.add(digest)
        return found

    def _part(self, state: State, part: Part, calls_next: bool, size: int, tokens: int) -> State:
        """The state after one more part. `calls_next`: the model says this beside a call; `size`: bytes of the message."""
        turn = state.turn
        if turn.heard and (type(part) is Call or (type(part) is Said and part.role == "assistant")):
            turn = Turn(chatty=turn.tools and turn.user != ())
            state = State(close(state), turn)
        if isinstance(part, Call):
            call = (part.id, part.name, part.arguments)
            turn = replace(turn, calls=_latest(turn.calls, call), call_bytes=turn.call_bytes + size, tools=True)
        elif isinstance(part, Result):
            turn = replace(self._returned(turn, part), heard=True, tokens=tokens)
        elif part.role == "assistant":
            if not calls_next and not turn.tools:
                printed = self._prints.of(part.text)
                turn = replace(turn, assistant=_latest(turn.assistant, printed.bits), worded=turn.worded and printed.worded)
        else:
            turn = replace(turn, heard=True, tokens=tokens)
            if turn.tools:
                turn = replace(turn, user=_latest(turn.user, self._prints.exact(part.text).bits))
            elif turn.assistant:
                printed = self._prints.of(part.text) if turn.worded else self._prints.exact(part.text)
                turn = replace(turn, user=_latest(turn.user, printed.bits))
        return State(state.history, turn)

    def _returned(self, turn: Turn, result: Result) -> Turn:
        for call in turn.calls:
            name, tool, arguments = call
            if name == result.id:
                key = loop_key(self._secret, tool, arguments, result.content)
                calls = tuple([other for other in turn.calls if other is not call])
                return replace(turn, calls=calls, done=_latest(turn.done, Step(intern(tool), key)))
        return replace(turn, done=_latest(turn.done, Step("", loop_key(self._secret, "", None, result.content))))


def _place(trail: Trail, ask: Ask, digests: tuple[bytes, ...], head: int, input_tokens: int) -> _Place:
    """Find the conversation that a request continues, and take it out of the trail; else begin one."""
    conversations = trail.conversations
    if ask.previous_response_id is not None and conversations:
        latest = conversations.pop()  # what came before is at the provider
        if head in trail.sends:
            return _Place(latest.state, latest.marks, start=len(digests))
        return _Place(State(close(latest.state)), latest.marks)
    for index in reversed(range(len(conversations))):
        known = conversations[index]
        if known.recent and digests[known.length - len(known.recent) : known.length] == known.recent:
            del conversations[index]
            return _Place(known.state, known.marks, start=known.length)
    if (overlap := _overlap(conversations, digests)) is not None:
        index, kept, start = overlap
        known = conversations.pop(index)
        state = known.marks[kept - 1].state if kept < len(known.marks) else known.state
        return _Place(state, known.marks[:kept], tuple([mark.tokens for mark in known.marks[kept:]]), start)
    history = History(fresh_tokens=input_tokens)
    if conversations and conversations[-1].first == digests[:1]:
        latest = conversations[-1]
        if len(digests) < latest.length or not latest.state.history.own:
            history = carried(close(latest.state), input_tokens)
    return _Place(State(history))


def _lowered(place: _Place, input_tokens: int) -> _Place:
    """A context that has shrunk grows from where it is now."""
    state = place.state
    if close(state).fresh_tokens <= input_tokens:
        return place
    history = replace(state.history, fresh_tokens=input_tokens)
    closed = state.closed and replace(state.closed, fresh_tokens=input_tokens)
    return replace(place, state=State(history, state.turn, closed))


def _overlap(conversations: Sequence[Conversation], digests: tuple[bytes, ...]) -> tuple[int, int, int] | None:
    """(conversation, marks that still hold, first message to be read): where most of the request was read before.

    Cache marks moved in its last messages, or it was taken up again further back, or its history was cut at the head, so that messages
    are at other places. Two in a row tell so; one alone may be a customary "continue".
    """
    if not any(len(known.recent) > 1 for known in conversations):
        return None
    for places in (None, {digest: place for place, digest in enumerate(digests)}):
        best = None
        for index in reversed(range(len(conversations))):
            kept, start = _agreement(conversations[index], digests, places)
            if start and (best is None or start > best[2]):
                best = index, kept, start
        if best is not None:
            return best
    return None


def _agreement(known: Conversation, digests: tuple[bytes, ...], places: dict[bytes, int] | None) -> tuple[int, int]:
    """(marks that still hold, first message to be read): at the places where the messages were, or at any; zeros if nowhere."""
    recent = known.recent
    for mark in range(len(recent) - 1, 0, -1):
        place = known.length - len(recent) + mark if places is None else places.get(recent[mark], 0)
        if digests[max(0, place - 1) : place + 1] == recent[mark - 1 : mark + 1]:
            return mark + 1, place + 1
    return 0, 0


def _latest(values: tuple[_T, ...], value: _T) -> tuple[_T, ...]:
    return (*values, value)[-TRAIL_STEPS_MAX:]


def _kept(state: State) -> State:
    """What is kept of a state until the next request: arguments of open calls are, if they are small."""
    if state.turn.calls and state.turn.call_bytes > TRAIL_OPEN_CALL_BYTES_MAX:
        return replace(state, turn=replace(state.turn, calls=()))
    return state


def _sent(trail: Trail, head: int, steps: Sequence[Step]) -> int:
    """How often the request was sent, now included, since the run last made a step that none of its conversations had seen."""
    for step in steps:
        if step.mark not in trail.seen:
            trail.seen[step.mark] = None
            trail.sends.clear()
    while len(trail.seen) > TRAIL_STEPS_SEEN_MAX:
        del trail.seen[next(iter(trail.seen))]
    sends = trail.sends[head] = trail.sends.pop(head, 0) + 1
    if len(trail.sends) > TRAIL_REQUESTS_MAX:
        del trail.sends[next(iter(trail.sends))]
    return sends
