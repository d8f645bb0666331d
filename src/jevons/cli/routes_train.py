"""`jevons routes train`: a route's predictor from its labels."""

import time
from typing import Any

import click
import msgspec

from jevons.cli.options import as_json, show
from jevons.cli.students import captured_of
from jevons.config import home_path, load
from jevons.ledger.errors import LedgerError
from jevons.ledger.home import Home
from jevons.ledger.routing import labels

UNPREDICTED = {
    "cascade": "a cascade goes by the first model's own confidence in its answer",
    "first": 'choose = "first" judges nothing',
}
"""Why a way to choose has nothing to train."""


@click.command(short_help="Make a route's predictor of its labels.")
@click.argument("name")
@click.option("--org", default="default", show_default=True, help="Whose labels; no predictor knows those of two organisations.")
@click.option("--join", "model", help="Only add this model to the predictor that is there, from the labels that came since.")
@as_json
def train(name: str, org: str, model: str | None, json: bool) -> None:
    """Learn from the labels of route NAME for which requests each model's answer is good enough. A process that serves takes it up in half a minute.

    Example: jevons routes train easy
    """
    from jevons.distil import routers
    from jevons.embed import Embedder, MissingEmbedderError
    from jevons.learn import saved
    from jevons.learn.place import FOLDER

    home = Home(home_path())
    routes = load(home.config if home.config.exists() else None, {}).routes
    route = next((one for one in routes if one.name == name), None)
    if route is None:
        raise click.BadParameter(
            f"there is no route {name!r} in the configuration: {', '.join(r.name for r in routes) or 'none'}"
        )
    if route.choose != "learned":
        raise click.BadParameter(f"route {name!r} asks no predictor: {UNPREDICTED[route.choose]}")
    if model is not None and model not in route.to[:-1]:
        raise click.BadParameter(
            f"--join {model}: of `to` of route {name!r} those before the reference are {', '.join(route.to[:-1])}"
        )
    captured = captured_of(home)
    examples = list(captured.read(org)) if captured is not None else []
    try:
        embed = Embedder().vector if examples else None
    except MissingEmbedderError as error:
        raise LedgerError(str(error)) from None
    folder, found = home.path / FOLDER, labels(home.ledger, org=org, route=name)
    now_ms = time.time_ns() // 1_000_000
    sealer = captured.sealer(org) if captured is not None and examples else None
    try:
        if model is None:
            made = routers.train(found, examples, embed, org, name, now_ms)
        else:
            made = routers.joined(saved.load(folder, org, name, sealer), model, found, examples, embed, now_ms)
    except routers.Untrainable as error:
        raise LedgerError(str(error)) from None
    saved.save(folder, made, sealer if made.predictor.needs_vector else None)
    document: dict[str, Any] = {**msgspec.to_builtins(made.card), "reads_questions": made.predictor.needs_vector}
    del document["examples"]
    show(json, document, lambda: click.echo(_told(made.card, made.predictor.needs_vector)))


def _told(card: Any, reads: bool) -> str:
    by = "features, questions and embeddings" if reads else "features alone: no question of most of them was captured"
    tried = "\n".join(f"  {name:<14} {loss:.4f}" for name, loss in sorted(card.tried.items(), key=lambda one: one[1]))
    return (
        f"{card.route} of {card.org}: {', '.join(card.models)}\n"
        f"{card.labels:,} labelled requests; {by}.\n"
        f"Log-loss tried inside:\n{tried}\n"
        f"Taken: {card.kind}. On requests that had no part in it: {card.log_loss:.4f}; by each model's share alone: {card.log_loss_before:.4f}."
    )
