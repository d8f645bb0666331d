"""From a route's labels to its predictor: who answers well enough, told by what is known of a request before it is asked.

Comes in: labels of one organisation and route, and what was captured of their requests where keys opted in. Goes out: a predictor with its card and
with what it said of labels that it had not seen; or `Untrainable`, which says what is missing. Does not know: where it is kept (`learn.saved`),
what is promised of it.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from jevons.core.label import Label
from jevons.core.limits import EMBEDDED_CHARS_MAX
from jevons.learn.joining import join
from jevons.learn.matrix import Request, columns
from jevons.learn.mixed import Mixed
from jevons.learn.rows import Examples, Floats, Whole
from jevons.learn.saved import Card, Saved, Unseen
from jevons.learn.select import candidates, choose, log_loss, nested, splits
from jevons.ledger.capture import Example

LABELS_LEAST = 200
"""With fewer a predictor hardly knows more than each model's share of good answers."""
MODEL_LEAST = 50
"""A model of fewer labels is left out."""
LABELS_MAX = 20_000
"""The latest: what is older speaks of other traffic, and training takes minutes."""
STUDENT = "student/"
"""Students bring scores of their own."""
JOIN_FOLDS = 5

Embed = Callable[[str], Floats]


class Untrainable(Exception):
    """No predictor can be made of these labels; the message says why, and what would help."""


class Judged(NamedTuple):
    """Labelled requests of one route, in the order in which they came."""

    requests: list[Request]
    harmless: Floats
    """f32[n, m]: 1 no harm, 0 harm, NaN not judged."""
    good: Floats
    """f32[n, m]: the answer itself was good."""
    weights: Floats
    groups: Whole
    models: tuple[str, ...]
    examples: tuple[int, ...]


def train(labels: Iterable[Label], captured: Iterable[Example], embed: Embed | None, org: str, route: str, now_ms: int) -> Saved:
    """Labels of `org` and `route`, by time. Questions are read where most requests were captured and `embed` is there; else features alone."""
    found = _judged(labels, captured, embed, LABELS_LEAST)
    if len(found.requests) < LABELS_LEAST:
        raise Untrainable(
            f"Route {route!r} has {len(found.requests):,} labelled requests of organisation {org!r}; {LABELS_LEAST} are the least. Let more"
            " of them be sampled (`sample` and `sample_usd_day` of the route), or send feedback."
        )
    by, count = columns(found.requests), len(found.models)
    examples = Examples(by.rows(found.requests), np.hstack([found.harmless, found.good]), found.weights)
    tried = candidates(by.vector > 0)
    chances = np.zeros_like(found.harmless)
    before = np.zeros_like(found.harmless)
    for seen, test, chosen in nested(examples, found.groups, count, tried):
        chances[test] = chosen.probabilities(examples.rows.take(test))
        before[test] = (np.nansum(found.harmless[seen], 0) + 0.5) / ((~np.isnan(found.harmless[seen])).sum(0) + 1)
    best = choose(examples, found.groups, count, tried)
    card = Card(
        org=org,
        route=route,
        models=found.models,
        kind=best.kind,
        labels=len(found.requests),
        trained_ms=now_ms,
        log_loss=log_loss(chances, found.harmless, found.weights),
        log_loss_before=log_loss(before, found.harmless, found.weights),
        tried=best.losses,
        examples=found.examples,
    )
    return Saved(card, Mixed(found.models, by, best.heads, best.mix), Unseen(chances, found.harmless, found.weights))


def joined(
    known: Saved, model: str, labels: Iterable[Label], captured: Iterable[Example], embed: Embed | None, now_ms: int
) -> Saved:
    """The predictor with `model` besides, told from the labels that came after it was trained: those it has not seen."""
    late = [one for one in labels if one.model == model and one.at_ms > known.card.trained_ms]
    found = _judged(late, captured, embed if known.predictor.needs_vector else None, MODEL_LEAST)
    if found.models != (model,) or (known.predictor.needs_vector and not found.examples):
        raise Untrainable(
            f"{model} has {len(late):,} labels since the predictor was trained; {MODEL_LEAST} are the least"
            f"{', of captured requests' if known.predictor.needs_vector else ''}."
        )
    rows, good = known.predictor.columns.rows(found.requests), found.harmless[:, 0]
    chances = np.full((len(good), len(known.card.models) + 1), np.nan, np.float32)
    for seen, test in splits(found.groups, JOIN_FOLDS):
        one = join(known.predictor, model, rows.take(seen), good[seen], found.weights[seen])
        chances[test] = one.batch(rows.take(test))
    new = join(known.predictor, model, rows, good, found.weights)
    was, none = known.unseen, np.full((len(good), len(known.card.models)), np.nan, np.float32)
    unseen = Unseen(
        np.vstack([np.column_stack([was.scores, np.zeros(len(was.weights), np.float32)]), chances]),
        np.vstack([np.column_stack([was.good, np.full(len(was.weights), np.nan, np.float32)]), np.column_stack([none, good])]),
        np.append(was.weights, found.weights),
    )
    card = Card(
        org=known.card.org,
        route=known.card.route,
        models=new.models,
        kind=known.card.kind,
        labels=known.card.labels + len(good),
        trained_ms=now_ms,
        log_loss=known.card.log_loss,
        log_loss_before=known.card.log_loss_before,
        tried=known.card.tried,
        examples=(*known.card.examples, *found.examples),
    )
    return Saved(card, new, unseen)


def _judged(labels: Iterable[Label], captured: Iterable[Example], embed: Embed | None, least: int) -> Judged:
    """Each request once, with what was judged of it. Feedback counts only where nothing else is: who complains is no fair sample."""
    usable = [one for one in labels if not one.model.startswith(STUDENT)]
    usable = [one for one in usable if one.grader != "feedback"] or usable
    of_request: dict[int, list[Label]] = {}
    for one in usable:
        of_request.setdefault(one.request, []).append(one)
    asked = sorted(of_request)[-LABELS_MAX:]
    texts = {one.request: one for one in captured if one.request in of_request} if embed is not None else {}
    if len(texts) >= max(least, len(asked) / 2):
        asked = [request for request in asked if request in texts]
    else:
        texts = {}
    counts: dict[str, int] = {}
    for request in asked:
        for one in of_request[request]:
            counts[one.model] = counts.get(one.model, 0) + 1
    models = tuple(sorted(model for model, count in counts.items() if count >= MODEL_LEAST))
    asked = [request for request in asked if any(one.model in models for one in of_request[request])]
    harmless = np.full((len(asked), len(models)), np.nan, np.float32)
    good = harmless.copy()
    for row, request in enumerate(asked):
        for one in of_request[request]:
            if one.model in models:
                place = models.index(one.model)
                harmless[row, place], good[row, place] = not one.harm, one.good
    return Judged(
        [_request(of_request[request][0], texts, embed) for request in asked],
        harmless,
        good,
        np.array([max(one.weight for one in of_request[request]) for request in asked], np.float32),
        _groups(asked, texts),
        models,
        tuple(texts[request].id for request in asked if request in texts),
    )


def _request(label: Label, texts: Mapping[int, Example], embed: Embed | None) -> Request:
    known = texts.get(label.request)
    if known is None or embed is None:
        return Request(label.features)
    return Request(label.features, embed(known.question[:EMBEDDED_CHARS_MAX]), known.question)


def _groups(asked: Sequence[int], texts: Mapping[int, Example]) -> Whole:
    """The same question is never on both sides of a split."""
    numbers: dict[object, int] = {}
    keys: list[object] = [texts[request].question if request in texts else request for request in asked]
    return np.array([numbers.setdefault(key, len(numbers)) for key in keys], np.int64)
