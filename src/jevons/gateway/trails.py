"""Follows what each run does, request by request, for the loop detector.

Comes in: a run's `Trail`, a request with the digests of its messages, its input tokens. Goes out: `Loops`, and the trail brought up to date.
Agents send their whole history again, so most of a request was read before: the conversation it continues is found by the digests of
its latest messages, and only what came since is decoded. A request that continues none begins another conversation of the run.
Does not know: what follows from a loop, which run a request belongs to.
"""

from collections.abc import Sequence
from itertools import chain
from typing import NamedTuple

from jevons.core.ask import Ask
from jevons.core.chain import loop_key
from jevons.core.limits import (
    TRAIL_CONVERSATIONS_MAX,
    TRAIL_MESSAGE_BYTES_MAX,
    TRAIL_MESSAGES_KEPT,
    TRAIL_MESSAGES_READ_MAX,
    TRAIL_OPEN_CALL_BYTES_MAX,
    TRAIL_REQUESTS_MAX,
    TRAIL_STEPS_SEEN_MAX,
)
from jevons.policy.loops import NO_TURN, Conversation, History, Loops, Mark, State, Step, Trail, Turn, carried, close, judge
from jevons.policy.prints import Prints
from jevons.wire.calls import Call, Part, Result, Said, parts


class _Place(NamedTuple):
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

    def follow(self, trail: Trail, ask: Ask, digests: Sequence[bytes], input_tokens: int) -> Loops:
        """Bring the trail up to date with a request, and judge it. `digests`: of `ask.messages`, one each (core.chain)."""
        digests = tuple(digests)
        head = hash((ask.model, ask.previous_response_id, digests))
        place = _place(trail, ask, digests, head, input_tokens)
        marks, state = self._read(ask, digests, place, input_tokens)
        history = close(state)
        marks = marks[-TRAIL_MESSAGES_KEPT:]
        recent = tuple([mark.digest for mark in marks])
        state = state._replace(closed=history)
        trail.conversations.append(Conversation(digests[:1], len(digests), marks, recent, state))
        del trail.conversations[:-TRAIL_CONVERSATIONS_MAX]
        made = history.own - place.state.history.own
        return judge(history, _sent(trail, head, history.steps[-made:] if made else ()), input_tokens)

    def _read(self, ask: Ask, digests: tuple[bytes, ...], place: _Place, input_tokens: int) -> tuple[tuple[Mark, ...], State]:
        """The marks and the state after all messages."""
        marks, state = list(place.marks), place.state
        messages = ask.messages[place.start :]
        found = [parts(ask.dialect, message) if len(message) <= TRAIL_MESSAGE_BYTES_MAX else () for message in messages]
        flat = list(chain.from_iterable(found))
        done = 0
        for offset, message in enumerate(messages):
            tokens = place.unread[offset] if offset < len(place.unread) else input_tokens
            for part in found[offset]:
                done += 1
                calls_next = done < len(flat) and type(flat[done]) is Call
                state = self._part(state, part, calls_next, len(message), tokens)
            if marks or found[offset]:
                marks.append(Mark(digests[place.start + offset], _kept(state), tokens))
        return tuple(marks), state

    def _part(self, state: State, part: Part, calls_next: bool, size: int, tokens: int) -> State:
        """The state after one more part. `calls_next`: the model says this beside a call; `size`: bytes of the message."""
        turn = state.turn
        if turn.heard and (type(part) is Call or (type(part) is Said and part.role == "assistant")):
            state, turn = State(close(state), NO_TURN), NO_TURN
        if isinstance(part, Call):
            call = (part.id, part.name, part.arguments)
            turn = turn._replace(calls=(*turn.calls, call), call_bytes=turn.call_bytes + size, tools=True)
        elif isinstance(part, Result):
            turn = self._returned(turn, part)._replace(heard=True, tokens=tokens)
        elif part.role == "assistant":
            if not calls_next and not turn.tools:
                printed = self._prints.of(part.text)
                turn = turn._replace(assistant=(*turn.assistant, printed.bits), worded=turn.worded and printed.worded)
        else:
            turn = turn._replace(heard=True, tokens=tokens)
            if turn.assistant and not turn.tools:
                printed = self._prints.of(part.text) if turn.worded else self._prints.exact(part.text)
                turn = turn._replace(user=(*turn.user, printed.bits))
        return State(state.history, turn)

    def _returned(self, turn: Turn, result: Result) -> Turn:
        for call in turn.calls:
            name, tool, arguments = call
            if name == result.id:
                key = loop_key(self._secret, tool, arguments, result.content)
                calls = tuple([other for other in turn.calls if other is not call])
                return turn._replace(calls=calls, done=(*turn.done, Step(tool, key)))
        return turn._replace(done=(*turn.done, Step("", loop_key(self._secret, "", None, result.content))))


def _place(trail: Trail, ask: Ask, digests: tuple[bytes, ...], head: int, input_tokens: int) -> _Place:
    """Find the conversation that a request continues, and take it out of the trail; else begin one."""
    conversations = trail.conversations
    if ask.previous_response_id is not None and conversations:
        latest = conversations.pop()  # what came before is at the provider
        return _Place(latest.state, latest.marks, (), len(digests) if head in trail.sends else 0)
    for conversation in reversed(conversations):
        recent, length = conversation.recent, conversation.length
        if recent and digests[length - len(recent) : length] == recent:
            conversations.remove(conversation)
            return _Place(conversation.state, conversation.marks, (), length)
    if (overlap := _overlap(conversations, digests)) is not None:
        conversation, kept, start = overlap
        conversations.remove(conversation)
        marks = conversation.marks
        state = marks[kept - 1].state if kept < len(marks) else conversation.state
        return _Place(state, marks[:kept], tuple([mark.tokens for mark in marks[kept:]]), start)
    history = History(fresh_tokens=input_tokens)
    if conversations and conversations[-1].first == digests[:1]:
        latest = conversations[-1]
        if len(digests) < latest.length or not latest.state.history.own:
            history = carried(close(latest.state), input_tokens)
    return _Place(State(history), start=max(0, len(digests) - TRAIL_MESSAGES_READ_MAX))


def _overlap(conversations: Sequence[Conversation], digests: tuple[bytes, ...]) -> tuple[Conversation, int, int] | None:
    """(conversation, marks that still hold, first message to be read): where most of the request was read before.

    Its history was cut at the head, or cache marks moved in its last messages, or it was taken up again further back. Two messages in
    a row tell so; one alone may be a customary "continue".
    """
    places = {digest: place for place, digest in enumerate(digests)}
    best = None
    for conversation in reversed(conversations):
        recent = conversation.recent
        for mark in range(len(recent) - 1, 0, -1):
            place = conversation.length - len(recent) + mark
            if digests[place : place + 1] != recent[mark : mark + 1]:
                place = places.get(recent[mark], 0)
            if digests[max(0, place - 1) : place + 1] == recent[mark - 1 : mark + 1]:
                if best is None or place + 1 > best[2]:
                    best = conversation, mark + 1, place + 1
                break
    return best


def _kept(state: State) -> State:
    """What is kept of a state until the next request: arguments of open calls are, if they are small."""
    if state.turn.calls and state.turn.call_bytes > TRAIL_OPEN_CALL_BYTES_MAX:
        return state._replace(turn=state.turn._replace(calls=()))
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
