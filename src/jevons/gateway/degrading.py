"""Going on with a cheaper model as a budget runs out: finds it, checks that it is cheaper, and says so in the passage.

Comes in: a request, its passage, the targets of the model it asks for. Goes out: those targets, or a cheaper model's. A turn keeps the
model it was begun with. A run may have several conversations at once, so a turn is known by the words that began it, and
where these are not sent again (Responses that the provider stores) by the response it goes on from.
"""

from jevons.core.ask import Ask, Dialect
from jevons.core.entry import admitted_ms
from jevons.core.price import Price
from jevons.gateway.gate import Gate, price_context, size_tokens
from jevons.gateway.governor import Passage
from jevons.gateway.upstreams import Live
from jevons.policy.degrade import Turn, choice, due, is_cheaper, keep, models
from jevons.policy.route import Table, Target, choose
from jevons.policy.runs import Run
from jevons.wire.calls import Said, parts

GLANCE_BYTES = 256
"""Where a message says its role and the type of its first part."""


def degraded(
    ask: Ask, passage: Passage, targets: tuple[Target, ...], table: Table, gate: Gate, lives: dict[str, Live]
) -> tuple[Target, ...]:
    """The targets to use."""
    run = passage.run
    rule = due(gate.governor.path(passage, targets[0].model))
    if rule is None and (run is None or not run.degraded):
        passage.turn = seems(ask)
        return targets
    turn = passage.turn = turn_of(ask)

    def found(model: str) -> tuple[Target, ...]:
        targets_of = choose(table, model, ask.dialect)
        if ask.previous_response_id is None:
            return targets_of
        return tuple([target for target in targets_of if target.upstream == targets[0].upstream])  # only where that lies

    names = models(rule, turn, _current(run, ask) if turn is Turn.OPEN else "")
    if turn is Turn.FRESH and names:
        heads = [candidates[0] for model in names if (candidates := found(model))]
        warm = [gate.prefixes.warm_tokens(ask, passage, head, lives[head.upstream].provider) for head in (targets[0], *heads)]
        passage.warm_tokens = warm[0] - max(warm[1:], default=0)

    def fits(model: str) -> bool:
        candidates = found(model)
        if not candidates or not gate.governor.may_use(passage.caller, model):
            return False
        price, than = (_price(ask, passage, target, gate, lives) for target in (candidates[0], targets[0]))
        return is_cheaper(price, than, size_tokens(ask), ask.output_cap, passage.warm_tokens or 0)

    model = choice(names, ask.model, fits)
    if model:
        first = targets[0]
        passage.instead_of = (first.upstream, first.model, lives[first.upstream].settings.price_provider)
        passage.degraded_to = model
        passage.degraded = f"{ask.model} -> {model}" + (f" ({rule.name})" if rule is not None else "")
        if run is not None and turn is Turn.FRESH:
            keep(run.degraded, _begun(ask), model)
        return found(model)
    if run is not None and turn is Turn.FRESH:
        run.degraded.pop(_begun(ask), None)  # the same words as an earlier turn
    return targets


def stored(passage: Passage, response_id: str) -> None:
    """The answer is stored by the provider: a turn that goes on from it goes on with its model."""
    if passage.degraded_to and response_id and passage.run is not None:
        keep(passage.run.degraded, response_id, passage.degraded_to)


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


def _price(ask: Ask, passage: Passage, target: Target, gate: Gate, lives: dict[str, Live]) -> Price | None:
    settings = lives[target.upstream].settings
    return gate.book.dearest(settings.price_provider, target.model, admitted_ms(passage.request), price_context(ask, settings))
