"""Going on with a cheaper model as a budget runs out: finds it, checks that it is cheaper, and says so in the passage.

Comes in: a request, its passage, the targets of the model it asks for. Goes out: those targets, or a cheaper model's.
"""

from jevons.core.ask import Ask, Dialect
from jevons.core.entry import admitted_ms
from jevons.core.limits import OUTPUT_TOKENS_DEFAULT
from jevons.core.price import UnpricedKind, worst_case
from jevons.gateway.gate import Gate, price_context
from jevons.gateway.governor import Passage
from jevons.gateway.upstreams import Live
from jevons.policy.degrade import Turn, due, models
from jevons.policy.route import Table, Target, choose
from jevons.wire.calls import Said, parts

BYTES_PER_TOKEN = 4
"""For comparing two prices at about the size of the request."""


def degraded(
    ask: Ask, passage: Passage, targets: tuple[Target, ...], table: Table, gate: Gate, lives: dict[str, Live]
) -> tuple[Target, ...]:
    """The targets to use."""
    run = passage.run
    rule = due(gate.governor.path(passage, targets[0].model))
    if rule is None and (run is None or not run.degraded_to):
        return targets
    for model in models(rule, turn_of(ask), run.degraded_to if run is not None else ""):
        if model == ask.model:
            break
        found = choose(table, model, ask.dialect)
        if found and gate.governor.may_use(passage.caller, model) and _is_cheaper(ask, passage, found[0], targets[0], gate, lives):
            if run is not None:
                run.degraded_to = model
            passage.degraded = f"{ask.model} -> {model}" + (f" ({rule.name})" if rule is not None else "")
            return found
    if run is not None:
        run.degraded_to = ""
    return targets


def turn_of(ask: Ask) -> Turn:
    """Where the conversation stands."""
    last = parts(ask.dialect, ask.messages[-1]) if ask.messages else ()
    if not last or not all(isinstance(part, Said) and part.role == "user" for part in last):
        return Turn.OPEN
    if ask.dialect is Dialect.RESPONSES and any(b'"encrypted_content"' in message for message in ask.messages):
        return Turn.BOUND
    return Turn.FRESH


def _is_cheaper(ask: Ask, passage: Passage, candidate: Target, asked: Target, gate: Gate, lives: dict[str, Live]) -> bool:
    """By the dearest that each may cost for a request of this size. What has no price is not cheaper."""
    costs = []
    for target in (candidate, asked):
        settings = lives[target.upstream].settings
        price = gate.book.dearest(settings.price_provider, target.model, admitted_ms(passage.request), price_context(ask, settings))
        if price is None:
            return False
        try:
            costs.append(worst_case(price, len(ask.body) // BYTES_PER_TOKEN, ask.output_cap or OUTPUT_TOKENS_DEFAULT))
        except UnpricedKind:
            return False
    return costs[0] < costs[1]
