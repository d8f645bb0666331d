"""`jevons routes`: which routes there are and what is promised of them, what they did, and why a request went where it went."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import click
import msgspec

from jevons.cli import tables
from jevons.cli.doctor import count
from jevons.cli.options import Day, as_json, check_days, show
from jevons.cli.routes_train import train
from jevons.config import home_path, load
from jevons.core.entry import ATTEMPT_BITS, parse_request_text
from jevons.core.money import format_usd
from jevons.core.routed import Option, Routed
from jevons.distil.registry import WITHDRAWN
from jevons.economics.routing import WAYS, By, Routing, Row, labelled, routing
from jevons.gateway.promises import KIND, LOOKS, Model, State, read
from jevons.learn.place import FOLDER, path_of
from jevons.ledger.bill import request_entries
from jevons.ledger.errors import LedgerError
from jevons.ledger.home import Home
from jevons.ledger.routing import learnt, students
from jevons.policy.drift import ODDS
from jevons.policy.objective import Why, good_enough
from jevons.policy.routes import STUDENT, Route

Record = dict[str, Any]

EMPTY = """No routes. A `[[routes]]` table in jevons.toml says which requests go to which models:
  [[routes]]
  name = "easy"
  to = ["a-small-model", "a-large-model"]       # the last is the reference
  choose = "learned"
  stage = "observe"
docs/routing.md has all of it; docs/promise.md says what is promised and when."""
WORDS = {
    Why.FIRST: "the first of the route's models that may be used",
    Why.ONLY: "no other of the route's models may be used",
    Why.CHEAPER: "good enough by the promise, and the least to pay and to wait for",
    Why.REFERENCE_CHEAPEST: "others are good enough, and none costs less than the reference",
    Why.NOT_GOOD_ENOUGH: "what is believed of the others lies below their thresholds",
    Why.UNSCORED: "something is promised of others, and nothing is known of how they would answer this one",
    Why.NO_PROMISE: "for none of the others anything is promised yet",
    Why.OBSERVED: "the route only watches; another would answer in a later stage",
    Why.OUTSIDE_SHARE: "another would answer; the request is not in the share that is routed",
    Why.CASCADE: "the small model is asked first, and its answer judged",
    Why.HEADER: "the request names it in a header",
    Why.TURN: "the turn goes on with the model that it began with",
    Why.NOT_COMPARED: "no other model can be asked the same",
    Why.NO_REFERENCE: "the route's reference may not answer this one",
}
"""Each reason in words."""


@click.group(invoke_without_command=True, short_help="Routes: what is promised of them, what they did, and why.")
@as_json
@click.pass_context
def routes(context: click.Context, json: bool) -> None:
    """Each route with its stage, and what is promised of each of its models.

    Example: jevons routes report --from 2026-11-01
    """
    if context.invoked_subcommand is None:
        home = Home(home_path())
        found = standing(home, configured(home))
        show(json, {"routes": found}, lambda: _list(found))


routes.add_command(train)


@routes.command(short_help="How much went elsewhere, what it saved net, how much worse it was.")
@click.option("--by", type=click.Choice(WAYS), default="route", show_default=True)
@click.option("--from", "since_ms", type=Day(), default=None, help="First UTC day.")
@click.option("--to", "until_ms", type=Day(), default=None, help="UTC day after the last.")
@click.option("--route", help="Only this route.")
@as_json
def report(by: By, since_ms: int | None, until_ms: int | None, route: str | None, json: bool) -> None:
    """Share and coverage, harm with an interval of 95 %, and money net of shadows, of tries not shown, and of forfeited prompt cache.

    All money is at list price. docs/promise.md says what each figure is.
    """
    check_days(since_ms, until_ms)
    home = Home(home_path())
    found = routing(home.ledger, by=by, since_ms=since_ms or 0, until_ms=until_ms, route=route)
    todo = untrained(home, [one for one in configured(home) if route in (None, one.name)])
    show(json, found.document() | {"untrained": todo}, lambda: _report(found, by, todo))


@routes.command(short_help="Why a request went where it went.")
@click.argument("request", metavar="REQUEST")
@as_json
def explain(request: str, json: bool) -> None:
    """The options of one request as they were weighed. REQUEST: as in x-jevons-request-id, such as req_0065a1b2c3d4e5f."""
    first = parse_request_text(request)
    if first is None:
        raise click.BadParameter(f"{request!r} is not a request id; it looks like req_0065a1b2c3d4e5f", param_hint="REQUEST")
    entries = request_entries(Home(home_path()).ledger, first, 1 << ATTEMPT_BITS)
    if not entries:
        raise LedgerError(f"There is no entry of {request} in the ledger")
    told = next((entry["routed"] for entry in reversed(entries) if entry["routed"]), "")
    if not told:
        raise LedgerError(f"{request} went to {entries[-1]['target']} by its name alone: no route took it")
    routed = msgspec.json.decode(told, type=Routed)
    found = {
        "request": request,
        "asked": entries[0]["model"],
        **msgspec.to_builtins(_named(routed)),
        "attempts": [{name: entry[name] for name in ("upstream", "target", "role", "outcome", "list_nusd")} for entry in entries],
    }
    show(json, found, lambda: _explain(request, routed, found))


def configured(home: Home) -> tuple[Route, ...]:
    return load(home.config if home.config.exists() else None, {}).routes


def untrained(home: Home, routes: Sequence[Route]) -> list[Record]:
    """Routes with labels of an organisation and no predictor that could make anything of them."""
    found: list[Record] = []
    for route in routes if home.ledger.exists() else ():
        predicted = [name for name in route.to[:-1] if not name.startswith(STUDENT)] if route.choose == "learned" else []
        for org, n in labelled(home.ledger, route.name, predicted).items() if predicted else ():
            if not path_of(home.path / FOLDER, org, route.name).exists():
                found.append({"route": route.name, "org": org, "labelled": n})
    return found


def standing(home: Home, configured: tuple[Route, ...]) -> list[Record]:
    """Every configured route with what stands of it, for each organisation that has labels."""
    states = read(learnt(home.ledger, KIND)) if home.ledger.exists() else {}
    gone = _withdrawn(home)
    todo = untrained(home, configured)
    found = []
    for route in configured:
        without = {one["org"] for one in todo if one["route"] == route.name}
        of_route = [(org, state) for (org, name), state in sorted(states.items()) if name == route.name]
        found.append(
            {
                "name": route.name,
                "choose": route.choose,
                "to": list(route.to),
                "ceiling": route.stage,
                "alpha": route.alpha,
                "delta": route.delta,
                "orgs": [_org(org, state, gone, org in without) for org, state in of_route] if route.choose != "first" else [],
                "untrained": [one for one in todo if one["route"] == route.name],
            }
        )
    return found


def _withdrawn(home: Home) -> dict[tuple[str, str], str]:
    """(organisation, model) of students that are gone, and why."""
    rows = students(home.ledger) if home.ledger.exists() else []
    return {(row.org, f"{STUDENT}{row.name}@{row.version}"): row.reason for row in rows if row.state == WITHDRAWN}


def _org(org: str, state: State, gone: Mapping[tuple[str, str], str], without: bool) -> Record:
    """What was promised of a model that nobody scores any more does not stand: of a student that is withdrawn, or without a predictor."""
    models = []
    for name, model in state.models.items():
        why = gone.get((org, name), "")
        reason = f"withdrawn: {why}" if why else "no predictor scores it" if without and not name.startswith(STUDENT) else ""
        models.append(
            {"model": name, **_promise(msgspec.structs.replace(model, certificate=None, reason=reason) if reason else model)}
        )
    return {"org": org, "stage": state.stage, "reason": state.reason, "since_ms": state.changed_ms, "models": models}


def _promise(model: Model) -> Record:
    made = model.certificate
    return {
        "threshold": None if made is None else made.threshold,
        "coverage_pct": 0.0 if made is None else 100 * made.coverage,
        "bound_pct": None if made is None else 100 * made.bound,
        "labels": model.seen,
        "next_look": next((look for look in LOOKS if look > model.seen), LOOKS[-1]),
        "judged_since": model.watch.n,
        "harmed_since": model.watch.harms,
        "alarm_pct": 100 * max(model.watch.won) / ODDS,
        "reason": model.reason,
    }


def _named(routed: Routed) -> Any:
    """With its members by name: on the disk they have none."""
    members = {name: getattr(routed, name) for name in routed.__struct_fields__}
    options = [{name: getattr(option, name) for name in option.__struct_fields__} for option in routed.options]
    features = {name: getattr(routed.features, name) for name in routed.features.__struct_fields__}
    return {**members, "options": options, "features": features}


def _list(found: list[Record]) -> None:
    if not found:
        tables.console.print(EMPTY, markup=False, soft_wrap=True)
        return
    table = tables.plain(
        "route", "organisation", "stage", "model", "from score", "coverage", "harm at most", "labels", title=None
    )
    for route in found:
        for row in _lines(route):
            table.add_row(*row)
    tables.whole(table)
    for route in found:
        for org in route["orgs"]:
            tables.console.print(
                f"{route['name']}, {org['org']}: {org['stage']} since {_day(org['since_ms'])}: {org['reason']}.",
                markup=False,
                soft_wrap=True,
            )
            for model in org["models"]:
                if model["reason"]:
                    tables.console.print(f"  {model['model']}: {model['reason']}.", markup=False, soft_wrap=True)
        _untrained(route["untrained"])


def _untrained(todo: list[Record]) -> None:
    for one in todo:
        org = "" if one["org"] == "default" else f" --org {one['org']}"
        tables.console.print(
            f"{one['route']}, {one['org']}: {count(one['labelled'], 'labelled request')} and no predictor;"
            f" train it: jevons routes train {one['route']}{org}",
            markup=False,
            soft_wrap=True,
        )


def _lines(route: Record) -> Iterator[tuple[str, ...]]:
    promise = f"{100 * route['alpha']:g}% ({100 * (1 - route['delta']):g}%)"
    if not route["orgs"]:
        learns = "" if route["choose"] == "first" else "no predictor yet" if route["untrained"] else "no label yet"
        yield (
            route["name"],
            "",
            f"up to {route['ceiling']}" if learns else "",
            " > ".join(route["to"]),
            learns,
            "",
            promise if learns else "",
            "",
        )
    for org in route["orgs"]:
        for model in org["models"]:
            held = model["threshold"] is not None
            yield (
                route["name"], org["org"], org["stage"], model["model"],
                f"{model['threshold']:.3f}" if held else "no promise", f"{model['coverage_pct']:.1f}%" if held else "",
                f"{model['bound_pct']:.1f}% of {promise}" if held else promise, f"{model['labels']:,} (look at {model['next_look']:,})",
            )  # fmt: skip


def _report(found: Routing, by: str, todo: list[Record]) -> None:
    if not found.requests:
        tables.console.print("No route took a request in this time. `jevons routes` lists the routes.", markup=False)
        return
    table = tables.plain(by, "requests", "elsewhere", "coverage", "harm", "saved", "shadows", "tries", "cache", "net", title=None)
    for row in [*found.rows, found]:
        table.add_row("all" if row is found else row.label, *_figures(row))
    tables.whole(table)
    for why, n in found.whys.items():
        tables.console.print(f"{n:>9,}  {_word(why)}", markup=False)
    tables.console.print(
        f"Net: [bold]{format_usd(found.net_nusd)}[/] at list price, after shadows and judges, tries that were not shown, and the prompt cache that"
        " was forfeited.",
        soft_wrap=True,
    )
    _untrained(todo)


def _figures(row: Row) -> list[str]:
    harm = row.harm
    shares = [f"{row.requests:,}", _pct(row.routed, row.requests), _pct(row.covered, row.weighed)]
    judged = "" if harm is None else f"{100 * harm[0]:.1f}% ({100 * harm[1]:.1f}-{100 * harm[2]:.1f}) of {row.judged:,}"
    money = (row.saved_nusd, row.shadow_nusd, row.cascade_nusd, row.forfeited_nusd, row.net_nusd)
    return [*shares, judged, *map(format_usd, money)]


def _word(why: str) -> str:
    """A later version may have had other reasons."""
    return WORDS[Why(why)] if why in set(Why) else why


def _pct(part: int, of: int) -> str:
    return f"{100 * part / of:.1f}%" if of else ""


def _explain(request: str, routed: Routed, found: Record) -> None:
    print_ = tables.console.print
    whose = f"route {routed.route}" if routed.route else "no route"
    stage = f", stage {routed.stage}, draw {routed.draw:.4f}" if routed.stage else ""
    print_(f"{request}: asked for {found['asked']}, {whose}{stage}", markup=False, soft_wrap=True)
    print_(f"{routed.why}: {_word(routed.why)}.", markup=False)
    table = tables.plain("", "model", "at", "score", "from", "expected cost", "cache saves", "wait", title=None)
    for place, option in enumerate(routed.options):
        table.add_row(*_weighed(place, option, routed))
    tables.whole(table)
    for one in found["attempts"]:
        role = one["role"] or "answer"
        print_(f"{role}: {one['upstream']}/{one['target']}, {one['outcome']}, {format_usd(one['list_nusd'])}", markup=False)


def _weighed(place: int, option: Option, routed: Routed) -> tuple[str, ...]:
    mark = "chosen" if place == routed.chosen else "good enough" if good_enough(option) else ""
    reference = place == len(routed.options) - 1
    return (
        mark,
        f"{option.model} (reference)" if reference else option.model,
        f"{option.upstream}/{option.target}",
        "" if option.score is None else f"{option.score:.3f}",
        "" if reference else "no promise" if option.threshold is None else f"{option.threshold:.3f}",
        format_usd(option.cost_nusd),
        format_usd(option.warm_nusd) if option.warm_nusd else "",
        f"{option.wait_ms:,} ms" if option.wait_ms else "",
    )


def _day(ms: int) -> str:
    return f"{datetime.fromtimestamp(ms / 1000, UTC):%Y-%m-%d %H:%M}"
