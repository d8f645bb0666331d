"""Which turn of a conversation a request belongs to, and the model that this turn goes on with.

A turn keeps the model it was begun with, whoever chose that: a route, or a budget that runs out. A run may have several conversations at once, so a turn
is known by the words that began it, and where these are not sent again (Responses that the provider stores) by the response it goes on
from. Kept in memory, with the run (`Run.degraded`). Does not know: why a model was chosen.
"""

from collections.abc import Iterator

from jevons.core.ask import Ask, Dialect
from jevons.gateway.passage import Passage
from jevons.policy.degrade import Turn, keep
from jevons.policy.runs import Run
from jevons.wire.calls import Said, parts

GLANCE_BYTES = 256
"""Where a message says its role and the type of its first part."""


def current(run: Run | None, ask: Ask, turn: Turn) -> str:
    """The model that this turn was begun with, as it is asked for; "" = the one that the request names, or nobody knows."""
    if run is None or not run.degraded or turn is Turn.FRESH:
        return ""
    if ask.previous_response_id is not None and (model := of_response(run, ask.previous_response_id)):
        return model
    begun = _begun(ask)
    if turn is Turn.OPEN:
        return run.degraded.get(next(begun, 0), "")
    return next(
        (run.degraded[words] for words in begun if words in run.degraded), ""
    )  # of the turn before, whose reasoning it carries


def of_response(run: Run | None, response_id: str) -> str:
    """The model that made a stored response, if it was chosen; "" = nobody knows."""
    return run.degraded.get(response_id, "") if run is not None else ""


def remember(ask: Ask, passage: Passage) -> None:
    """A turn that begins here goes on with the model that was chosen for it."""
    run, model = passage.run, passage.goes_on_with
    if run is None or passage.turn is Turn.OPEN:
        return
    if model:
        keep(run.degraded, next(_begun(ask), 0), model)
    elif run.degraded and passage.turn is Turn.FRESH:
        run.degraded.pop(next(_begun(ask), 0), None)  # the same words as an earlier turn


def stored(passage: Passage, response_id: str) -> None:
    """The answer is stored by the provider: a turn that goes on from it goes on with its model."""
    if passage.goes_on_with and response_id and passage.run is not None:
        keep(passage.run.degraded, response_id, passage.goes_on_with)


def seems(ask: Ask) -> Turn | None:
    """Where the conversation stands, as far as a glance shows: for the record, where nothing depends on it now. None = not told."""
    if not ask.messages:
        return None
    last = ask.messages[-1]
    if ask.dialect is Dialect.RESPONSES and last.startswith(b'"'):
        return Turn.FRESH
    head = last[:GLANCE_BYTES]
    if b'"user"' not in head and b'"user"' not in last[-GLANCE_BYTES:]:
        return Turn.OPEN
    return Turn.OPEN if b'"tool_result"' in head else Turn.FRESH


def turn_of(ask: Ask) -> Turn:
    """Where the conversation stands."""
    if not ask.messages or not _is_said(ask, ask.messages[-1]):
        return Turn.OPEN
    if ask.dialect is Dialect.RESPONSES and any(b'"encrypted_content"' in message for message in ask.messages):
        return Turn.BOUND
    return Turn.FRESH


def _is_said(ask: Ask, message: bytes) -> bool:
    """Does a person (or a program in their place) speak here, and nothing else?"""
    if ask.dialect is Dialect.RESPONSES and message.startswith(b'"'):
        return True  # all of the input as one text
    found = parts(ask.dialect, message)
    return bool(found) and all(isinstance(part, Said) and part.role == "user" for part in found)


def _begun(ask: Ask) -> Iterator[int]:
    """The words that began each turn, the latest first, as numbers; cache marks do not count. Reads no further back than it is asked."""
    for message in reversed(ask.messages):
        if _is_said(ask, message):
            yield hash(parts(ask.dialect, message) or message)
