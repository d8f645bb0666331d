"""Going on with a cheaper model as a budget runs out: finds it, checks that it is cheaper, and says so in the passage.

Comes in: a request, its passage, the targets of the model it asks for. Goes out: those targets, or a cheaper model's. A turn keeps the
model it was begun with. A run may have several conversations at once, so a turn is known by the words that began it, and
where these are not sent again (Responses that the provider stores) by the response it goes on from.
"""

from jevons.core.ask import Ask, Dialect
from jevons.core.entry import admitted_ms
from jevons.core.limits import DEGRADED_TURNS_MAX, OUTPUT_TOKENS_DEFAULT
from jevons.core.price import UnpricedKind, worst_case
from jevons.gateway.gate import Gate, price_context
from jevons.gateway.governor import Passage
from jevons.gateway.upstreams import Live
from jevons.policy.degrade import Turn, due, models
from jevons.policy.route import Table, Target, choose
from jevons.policy.runs import Run
from jevons.wire.calls import Said, parts

BYTES_PER_TOKEN = 4
"""For comparing two prices at about the size of the request."""


def degraded(
    ask: Ask, passage: Passage, targets: tuple[Target, ...], table: Table, gate: Gate, lives: dict[str, Live]
) -> tuple[Target, ...]:
    """The targets to use."""
    run = passage.run
    rule = due(gate.governor.path(passage, targets[0].model))
    if rule is None and (run is None or not run.degraded):
        return targets
    turn = turn_of(ask)
    for model in models(rule, turn, _current(run, ask) if turn is Turn.OPEN else ""):
        if model == ask.model:
            break
        found = choose(table, model, ask.dialect)
        if ask.previous_response_id is not None:  # only where that lies
            found = tuple([target for target in found if target.upstream == targets[0].upstream])
        may_use = found and gate.governor.may_use(passage.caller, model)
        if may_use and _is_cheaper(ask, passage, found[0], targets[0], gate, lives):
            passage.degraded_to = model
            passage.degraded = f"{ask.model} -> {model}" + (f" ({rule.name})" if rule is not None else "")
            if turn is Turn.FRESH:
                _keep(run, _begun(ask), model)
            return found
    if run is not None and turn is Turn.FRESH:
        run.degraded.pop(_begun(ask), None)  # the same words as an earlier turn
    return targets


def stored(passage: Passage, response_id: str) -> None:
    """The answer is stored by the provider: a turn that goes on from it goes on with its model."""
    if passage.degraded_to and response_id:
        _keep(passage.run, response_id, passage.degraded_to)


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


def _current(run: Run | None, ask: Ask) -> str:
    """The cheaper model that this turn was begun with, or ""."""
    if run is None or not run.degraded:
        return ""
    if ask.previous_response_id is not None:
        return run.degraded.get(ask.previous_response_id, "")
    return run.degraded.get(_begun(ask), "")


def _begun(ask: Ask) -> int:
    """The words that began the turn, as a number; cache marks do not count. Reads messages from the end until it meets them."""
    for message in reversed(ask.messages):
        if _is_said(ask, message):
            return hash(parts(ask.dialect, message) or message)
    return 0


def _keep(run: Run | None, turn: int | str, model: str) -> None:
    if run is not None:
        run.degraded.pop(turn, None)
        run.degraded[turn] = model
        while len(run.degraded) > DEGRADED_TURNS_MAX:
            del run.degraded[next(iter(run.degraded))]


def _is_cheaper(ask: Ask, passage: Passage, candidate: Target, asked: Target, gate: Gate, lives: dict[str, Live]) -> bool:
    """By the dearest that each may cost for a request of this size. What has no price is not cheaper."""
    costs = []
    for target in (candidate, asked):
        settings = lives[target.upstream].settings
        at_ms, context = admitted_ms(passage.request), price_context(ask, settings)
        price = gate.book.dearest(settings.price_provider, target.model, at_ms, context)
        if price is None:
            return False
        try:
            costs.append(worst_case(price, len(ask.body) // BYTES_PER_TOKEN, ask.output_cap or OUTPUT_TOKENS_DEFAULT))
        except UnpricedKind:
            return False
    return costs[0] < costs[1]
