"""Going on with a cheaper model as a budget runs out: finds it, checks that it is cheaper, and says so in the passage.

Comes in: a request, its passage, the way that it would go. Goes out: that way, or a cheaper model's: then nothing of it is tried on others.
A turn keeps the model it was begun with (`gateway.turns`).
"""

from jevons.core.ask import Ask
from jevons.core.entry import admitted_ms
from jevons.core.price import Price
from jevons.gateway.gate import Gate
from jevons.gateway.passage import Passage
from jevons.gateway.pricing import price_context, size_tokens
from jevons.gateway.routing import Way
from jevons.gateway.turns import current, seems, turn_of
from jevons.gateway.upstreams import Live
from jevons.policy.degrade import Turn, choice, due, is_cheaper, models
from jevons.policy.route import Table, Target, choose


def degraded(ask: Ask, passage: Passage, way: Way, table: Table, gate: Gate, lives: dict[str, Live]) -> Way:
    """The way to go."""
    run, targets = passage.run, way.targets
    rule = due(gate.governor.path(passage, targets[0].model))
    if rule is None and (run is None or not run.degraded):
        passage.turn = passage.turn or seems(ask)
        return way
    turn, owner = turn_of(ask), passage.credential_for
    passage.turn = turn

    def found(model: str) -> tuple[Target, ...]:
        targets_of = tuple([target for target in choose(table, model, ask.dialect) if lives[target.upstream].carries(owner)])
        if ask.previous_response_id is None:
            return targets_of
        return tuple([target for target in targets_of if target.upstream == targets[0].upstream])  # only where that lies

    names = models(rule, turn, current(run, ask, turn) if turn is Turn.OPEN else "")
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
    if not model:
        return way
    first = targets[0]
    passage.instead_of = (first.upstream, first.model, lives[first.upstream].settings.price_provider)
    passage.degraded_to = model
    passage.degraded = f"{passage.routed_to or ask.model} -> {model}" + (f" ({rule.name})" if rule is not None else "")
    return way._replace(targets=found(model), cascade=False, shadows=())


def _price(ask: Ask, passage: Passage, target: Target, gate: Gate, lives: dict[str, Live]) -> Price | None:
    settings = lives[target.upstream].settings
    return gate.book.dearest(settings.price_provider, target.model, admitted_ms(passage.request), price_context(ask, settings))
