"""What a call was decided by, as its entry keeps it: with it the same call can be decided again, under other limits.

Comes in: what the gate knows of an attempt when it decides. Goes out: `Asked` as a few bytes, and from it the `Terms` of `policy.govern`.
No text of a request is in it: counts, names of models and upstreams, numbers. Does not know: who decides, when, or how it ended.
"""

import enum

import msgspec

from jevons.core.price import Price
from jevons.core.usage import REQUESTS
from jevons.policy.bounds import Facts
from jevons.policy.degrade import Turn
from jevons.policy.govern import Terms

VERSION = 1
NOT_PACKED = -1
"""Of `Asked.packing`: the hold was strict."""
LITTLE_KNOWN = 0
"""The hold would have been packed, but too few answers of this caller were known."""
_TURNS = (None, Turn.FRESH, Turn.OPEN, Turn.BOUND)


class Sort(enum.IntEnum):
    """What kind of call it is."""

    CALL = 0
    COUNT = 1
    """Tokens were counted by the upstream: free, and refused where an account is over its limit."""
    HERE = 2
    """Tokens were counted here: it lies on no account."""
    DOOR = 3
    """An operator's own door: a price for each call, no tokens."""


class Asked(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One attempt as it was asked. The order of the members is that on the disk: new ones go to the end, with a default."""

    version: int = VERSION
    sort: int = Sort.CALL
    provider: str = ""
    """Whose prices apply."""
    context: tuple[tuple[str, str], ...] = ()
    """What else decides the rates: service tier, speed."""
    input_tokens: int = 0
    """The bound of the hold, with the note."""
    noted: int = 0
    """Of it: the note to the agent."""
    output_max: int = 0
    output_cap: int | None = None
    choices: int = 1
    thinking_budget: int = 0
    default_output_tokens: int | None = None
    units: tuple[tuple[str, int], ...] = ()
    """(billed unit, at most) of the tools that a provider runs by itself."""
    unbounded: bool = False
    """It offers a tool that is billed by use, without saying how often at most: a limit refuses that."""
    billed: bool = True
    packing: int = NOT_PACKED
    """Output tokens that a packed hold began with; or NOT_PACKED, LITTLE_KNOWN."""
    followable: bool = False
    """All of its output is seen as it comes: its hold could be packed."""
    size_tokens: int = 0
    """About its size, by which models are compared."""
    turn: int = 0
    """Where the conversation stood (place in FRESH, OPEN, BOUND, from 1); 0 = not told."""
    conversation: int = 0
    """Which conversation of its run, as a number."""
    instead_of: tuple[str, str, str] | None = None
    """(upstream, model, provider) that it was for, where a cheaper model took it."""
    facts: tuple[int, int, int, int, int] | None = None
    """Seconds of its root run, of the run itself, depth, which child of its parent, growth in hundredths; None = no run."""
    loops: tuple[int, int, int] | None = None
    """Repeats, identical calls, stalled tokens; None = nobody looked."""
    fixed_nusd: int = 0
    """Of a door: what the call costs."""
    answered: tuple[tuple[str, str], ...] | None = None
    """The context as the answer told it, where it is another than was asked for."""
    told_cap: int | None = None
    """Output cap per answer that the upstream was told; without it a recorded length says nothing about another cap. None = none."""
    grown: tuple[tuple[int, int], ...] = ()
    """(place in the order of events, output tokens more) of each time that a packed hold grew."""
    warm_tokens: int = 0
    """Of its beginning, what the model that it was for had in its prompt cache, and a cheaper one that it might go on with had not."""

    @property
    def stands(self) -> Turn | None:
        """Where the conversation stood."""
        return _TURNS[self.turn]


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Asked).decode


def encode(asked: Asked) -> bytes:
    return _encode(asked)


def decode(terms: bytes) -> Asked | None:
    """None: nothing was recorded, or by a version that is not known."""
    if not terms:
        return None
    try:
        asked = _decode(terms)
    except msgspec.MsgspecError:
        return None
    return asked if asked.version == VERSION else None


def with_growth(terms: bytes, order: int, more: int) -> bytes:
    """The same after the hold grew by so many output tokens."""
    asked = decode(terms)
    return terms if asked is None else encode(msgspec.structs.replace(asked, grown=(*asked.grown, (order, more))))


def with_answered(terms: bytes, answered: dict[str, str]) -> bytes:
    """The same once the answer told under which rates it was made."""
    asked = decode(terms)
    if asked is None or tuple(answered.items()) == asked.context:
        return terms
    return encode(msgspec.structs.replace(asked, answered=tuple(answered.items())))


def with_warm(terms: bytes, warm_tokens: int) -> bytes:
    """The same once it was looked what its model had in its prompt cache."""
    asked = decode(terms)
    return terms if asked is None else encode(msgspec.structs.replace(asked, warm_tokens=warm_tokens))


def turn_number(turn: Turn | None) -> int:
    """As `Asked.turn`."""
    return _TURNS.index(turn)


def facts_of(asked: Asked) -> Facts:
    """What the bounds are held against. Of repetition nothing is told where nobody looked."""
    seconds, own_seconds, depth, ordinal, growth_pct = asked.facts or (0, 0, 1, 0, 0)
    repeats, identical, stalled_tokens = asked.loops or (0, 0, 0)
    own = asked.input_tokens - asked.noted
    return Facts(own, asked.thinking_budget, seconds, own_seconds, depth, ordinal, growth_pct, repeats, identical, stalled_tokens)


def terms_of(asked: Asked, price: Price, *, step: bool, cap_max: int | None = None, expected_output: int | None = None) -> Terms:
    """What fixes its worst case at this price. `step`: it is no retry of our own; `cap_max`: of the rules that hold."""
    if asked.sort == Sort.COUNT:
        return Terms(price, 0, 0, billed=False, step=False, calls=0)
    each = ((REQUESTS, 1),) if REQUESTS in price.tiers[0].nums else ()
    return Terms(
        price=price,
        input_tokens=asked.input_tokens,
        output_max=asked.output_max,
        output_cap=asked.output_cap,
        choices=asked.choices,
        thinking_budget=asked.thinking_budget,
        default_output_tokens=asked.default_output_tokens,
        units=(*each, *asked.units),
        billed=asked.billed,
        step=step,
        cap_max=cap_max,
        expected_output=expected_output,
    )
