"""Does a run go round in circles? What it did lately, as keys and prints, and how often the latest of it is the same.

Comes in: steps, oldest first, and input tokens. Goes out: `Loops`, in the measures of `policy.rules`. A step is a tool call with its result,
equal to another only as a whole (the same call with another result is polling, another call with the same result is batch work),
or a turn without tools, whose texts may differ by a few words.
Does not know: dialects, messages, how a conversation is found again; it keeps no texts and no arguments, but those of a call that is open.
"""

from collections import Counter
from collections.abc import Hashable, Iterable

import msgspec
from msgspec.structs import replace

from jevons.core.limits import TRAIL_PERIOD_MAX, TRAIL_SENDS_PER_REPEAT, TRAIL_STEPS_MAX
from jevons.policy.prints import near

CARRIED_MIN = 3
"""Repetitions that are remembered over a cut of the history. Less may be how each of many like conversations begins."""

ROW_REACH = 8
"""Earlier turns of a row that the next may be near to. Each differs in its own words and in theirs: no two are as near as both are to
what is common to them."""

HEARD_MAX = 16
"""Reminders of one program that are told from what a person says: it has a few."""

_NO_SPANS = (0,) * TRAIL_PERIOD_MAX
_NAME_CHARS_MAX = 64


class Step(msgspec.Struct, frozen=True, gc=False):
    """One thing the run did."""

    tool: str = ""
    """Name of the tool; empty for a turn without tools, and for a result whose call was not seen."""
    key: bytes = b""
    """Loop key (core.chain); empty for a turn without tools."""
    said: tuple[int, ...] = ()
    """Bits of the prints of a turn without tools: of what the assistant said, of what it was answered."""

    @property
    def mark(self) -> Hashable:
        """Equal for steps that are exactly the same."""
        return self.key or self.said


class History(msgspec.Struct, frozen=True):
    """The latest steps of one conversation."""

    steps: tuple[Step, ...] = ()
    keys: tuple[bytes, ...] = ()
    """Of the same steps."""
    spans: tuple[int, ...] = _NO_SPANS
    """For each period p from 1: how many of the last steps are the same as the one p before."""
    identical: int = 0
    """Count of the most frequent loop key among them."""
    own: int = 0
    """Steps made since the history began, or was cut."""
    fresh_tokens: int = 0
    """Input tokens at the last step that was new."""
    heard: tuple[int, ...] = ()
    """Prints of what users lately said beside results."""

    @property
    def repeats(self) -> int:
        """Over all periods, the most whole repetitions of the last steps at the end."""
        if self.spans == _NO_SPANS:
            return min(1, len(self.steps))
        return max(1 + span // period for period, span in enumerate(self.spans, 1))


class Turn(msgspec.Struct, frozen=True):
    """The turn under way: what the model said and called, and what came back so far."""

    calls: tuple[tuple[str, str, object], ...] = ()
    """(id, tool, arguments) of calls without a result."""
    done: tuple[Step, ...] = ()
    """Calls with their results."""
    tools: bool = False
    heard: bool = False
    """Something came back; what the model does next is another turn."""
    assistant: tuple[int, ...] = ()
    worded: bool = True
    """All that the assistant said can be compared by its wording."""
    user: tuple[int, ...] = ()
    chatty: bool = False
    """The turn before had words of the user beside its results: a program adds them, no person speaks."""
    call_bytes: int = 0
    """Size of the messages with the calls."""
    tokens: int = 0
    """Input tokens of the request that brought the latest of it."""

    def steps(self) -> list[Step]:
        """Calls made at once in one order, whichever came back first; or what was said, if no tool was called."""
        if self.tools or self.done:
            return sorted(self.done, key=_key) if len(self.done) > 1 else list(self.done)
        return [Step(said=(*self.assistant, *self.user))] if self.assistant and self.user else []


class State(msgspec.Struct, frozen=True):
    """Where a conversation stands after one of its messages."""

    history: History = History()
    turn: Turn = Turn()
    closed: History | None = None
    """The history with the turn under way, once it was asked for."""


class Mark(msgspec.Struct, frozen=True):
    """One of the latest messages of a conversation."""

    digest: bytes
    state: State
    tokens: int
    """Input tokens of the request that brought it."""


class Conversation(msgspec.Struct, frozen=True):
    """One growing history of a run, as of its latest request."""

    first: tuple[bytes, ...]
    """Digest of its first message (tools or system, if it has any)."""
    length: int
    """Messages of the latest request."""
    marks: tuple[Mark, ...]
    """Of the latest messages, leaving out tools and system in front."""
    recent: tuple[bytes, ...]
    """Digests of the marks."""
    state: State


class Trail:
    """What one run has done lately. Bounded: see TRAIL_… in core.limits."""

    __slots__ = ("conversations", "seen", "sends")

    def __init__(self) -> None:
        self.conversations: list[Conversation] = []
        """The one used last at the end."""
        self.sends: dict[int, int] = {}
        """Latest requests, by a hash of all they say -> how often each was sent since anything new happened."""
        self.seen: dict[Hashable, None] = {}
        """Latest steps of all conversations."""


class Loops(msgspec.Struct, frozen=True):
    """What a run's latest steps say, in the measures of `policy.rules`."""

    repeats: int = 0
    identical: int = 0
    stalled_tokens: int = 0
    why: str = ""
    """In words for the person who must act: names of tools, no arguments, no text. Empty if nothing repeats."""


def add(history: History, step: Step, tokens: int) -> History:
    """The history with one more step, which came with a request of `tokens` input tokens."""
    steps, keys = history.steps, history.keys
    spans, identical, fresh_tokens = _NO_SPANS, history.identical, tokens
    again = step.key in keys if step.key else any(same(step, other) for other in steps if not other.key)
    if again:
        fresh_tokens = history.fresh_tokens
        spans = tuple([span + 1 if _goes_on(step, steps, period, span) else 0 for period, span in enumerate(history.spans, 1)])
    full = len(steps) == TRAIL_STEPS_MAX
    steps, keys = (*steps[full:], step), (*keys[full:], step.key)
    if again or (full and identical > 1):
        identical = max(_counted(steps).values(), default=0)
    elif step.tool and not identical:
        identical = 1
    return History(steps, keys, spans, identical, history.own + 1, fresh_tokens, history.heard)


def same(one: Step, other: Step) -> bool:
    """Did the run do the same twice? A result whose call was not seen is the same as nothing: it may be of another call."""
    if one.key or other.key:
        return one.key == other.key and one.tool != ""
    return len(one.said) == len(other.said) and all(map(near, one.said, other.said))


def _goes_on(step: Step, steps: tuple[Step, ...], period: int, span: int) -> bool:
    """Is the step the same as the one a period before? A turn may be near to an earlier one of a row that has begun."""
    if period > len(steps):
        return False
    reach = min(ROW_REACH, span // period + 1, len(steps) // period) if step.said else 1
    return any(same(step, steps[-period * back]) for back in range(1, reach + 1))


def close(state: State) -> History:
    """The history with what the turn under way has brought so far.

    If somebody says something new beside the results of calls, the history begins anew: a run that was stopped in a loop can be told
    to do otherwise. Words that come with every result, or the same ones again, are a program's and change nothing.
    """
    if state.closed is not None:
        return state.closed
    history, turn = state.history, state.turn
    for step in turn.steps():
        history = add(history, step, turn.tokens)
    if turn.tools and turn.user and not turn.chatty and (words := hash(turn.user)) not in history.heard:
        heard = (*history.heard, words)[-HEARD_MAX:]
        history = History(own=history.own, fresh_tokens=turn.tokens, heard=heard)
    return history


def carried(history: History, tokens: int) -> History:
    """What is left of a history that was cut away: its steps if they were a loop, which goes on with the next step that continues it."""
    if history.repeats < CARRIED_MIN:
        return History(fresh_tokens=tokens, heard=history.heard)
    return replace(history, own=0, fresh_tokens=tokens)


def judge(history: History, sends: int, tokens: int) -> Loops:
    """`sends`: how often this very request was sent; `tokens`: its input tokens."""
    repeats = history.repeats if history.own else 0
    stuck = -(-sends // TRAIL_SENDS_PER_REPEAT)
    identical = history.identical if history.own else 0
    stalled = max(0, tokens - history.fresh_tokens) if history.own else 0
    why = []
    if repeats > stuck:
        why.append(_cycle(history, repeats))
    elif stuck > 1:
        why.append(f"the same request was sent {sends} times")
    if identical > max(1, repeats):
        why.append(
            f"of the last {len(history.steps)} steps, {identical} are one call with the same result ({_frequent(history)})"
        )
    if stalled:
        why.append(f"the context grew by {stalled:,} tokens since anything new happened")
    return Loops(max(repeats, stuck), identical, stalled, "; ".join(why))


def _cycle(history: History, repeats: int) -> str:
    period = next(period for period, span in enumerate(history.spans, 1) if 1 + span // period == repeats)
    tools = [_name(step) for step in history.steps[-period:]]
    if period > 1:
        return f"the steps {', '.join(tool or 'a turn without tools' for tool in tools)} were made {repeats} times in a row with the same results"
    if tools[0]:
        return f"the call {tools[0]} was made {repeats} times in a row with the same result"
    return f"the last {repeats} turns without tools say nearly the same"


def _frequent(history: History) -> str:
    [(key, _)] = _counted(history.steps).most_common(1)
    return next(_name(step) for step in history.steps if step.key == key)


def _counted(steps: Iterable[Step]) -> Counter[bytes]:
    return Counter([step.key for step in steps if step.tool])


def _name(step: Step) -> str:
    """A tool's name as it may stand in a message: clients choose it."""
    return "".join(sign if sign.isprintable() else "?" for sign in step.tool[:_NAME_CHARS_MAX])


def _key(step: Step) -> bytes:
    return step.key
