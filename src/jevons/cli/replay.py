"""`jevons replay`: recorded traffic through other policies. Reads the ledger and the policies' files; writes nothing."""

import gc
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import click
import msgspec

from jevons.cli.options import Day, as_json
from jevons.cli.tables import console, plain, whole
from jevons.config import Config, ConfigError, home_path, load, parse, read
from jevons.core.limits import GC_ALLOCATIONS
from jevons.ledger.home import Home

Record = dict[str, Any]


@click.command(short_help="What another policy would have cost.")
@click.option("--policy", "files", type=click.Path(path_type=Path), multiple=True, help="A jevons.toml; several: side by side.")
@click.option("--from", "since_ms", type=Day(), default=None, help="First UTC day.")
@click.option("--to", "until_ms", type=Day(), default=None, help="UTC day after the last.")
@click.option("--markdown", "as_markdown", is_flag=True, help="A summary for a pull request.")
@as_json
def replay(files: tuple[Path, ...], since_ms: int | None, until_ms: int | None, as_markdown: bool, json: bool) -> None:
    """What recorded traffic would have cost under another policy: who would have been refused, and by which limit.

    The first row is the policy as it was: it shows how faithful the replay is.

    Example: jevons replay --policy new.toml --from 2026-11-01
    """
    from jevons.policy.windows import FOREVER
    from jevons.replay.markdown import markdown
    from jevons.replay.report import document
    from jevons.replay.run import Recordings

    if until_ms is not None and (since_ms or 0) >= until_ms:
        raise click.UsageError("--from must lie before --to.")
    home = Home(home_path())
    gc.freeze()  # what is loaded stays; a replay makes millions of small objects, next to none in cycles
    gc.set_threshold(GC_ALLOCATIONS, 20, 20)
    recordings = Recordings(home.path, home.ledger, since_ms or 0, FOREVER.end_ms if until_ms is None else until_ms)
    current = load(home.config if home.config.exists() else None, {})
    policies = [as_it_was(current, states_policy=recordings.states_policy), *(policy_in(file, current) for file in files)]
    found = document(recordings, [recordings.replay(policy) for policy in policies])
    if json:
        click.echo(msgspec.json.encode(found).decode())
    elif as_markdown:
        click.echo(markdown(found), nl=False)
    else:
        _show(found)


def as_it_was(current: Config, *, states_policy: bool) -> Any:
    """The recorded policy. Where the log does not tell what the configuration said, the one in use stands in."""
    from jevons.replay.eras import Policy

    table, suppliers = _routes(current)
    stated = None if states_policy else _stated(current)
    return Policy("as it was", recorded=True, stated=stated, table=table, suppliers=suppliers)


def policy_in(file: Path, current: Config) -> Any:
    """The policy of a file: a jevons.toml, which may say more from an instant on. Raises ConfigError."""
    from jevons.policy.rules import rules_of
    from jevons.replay.eras import Dated, Policy, Routes

    table = read(file)
    changes = table.pop("changes", [])
    config = parse(table, file)
    try:
        dated = tuple([msgspec.convert({**change, "at_ms": _instant(change.pop("at", None))}, Dated) for change in changes])
        for change in dated:
            for limit in change.limits:
                rules_of(limit)
    except (msgspec.ValidationError, ValueError, AttributeError, TypeError) as error:
        raise ConfigError(f"{file}: {error} - in `[[changes]]`. The reference is docs/replay.md.") from None
    reroutes = bool(config.upstreams or config.models)
    routes, suppliers = _routes(
        config if config.upstreams else msgspec.structs.replace(current, models=config.models or current.models)
    )
    routing = Routes(config.routes, current.routes) if config.routes else None
    return Policy(
        str(file), stated=_stated(config), changes=dated, table=routes, suppliers=suppliers, reroutes=reroutes, routes=routing
    )


def _stated(config: Config) -> Any:
    from jevons.replay.eras import Stated

    return Stated(config.limits, config.access, msgspec.to_builtins(config.governor))


def _routes(config: Config) -> Any:
    from jevons.gateway.settings import UpstreamSettings
    from jevons.gateway.upstreams import table_of
    from jevons.replay.eras import Supplier

    settings = list(config.upstreams)
    if all(one.name != "local" for one in settings) and config.engine.enabled:
        settings.append(UpstreamSettings(name="local", kind="local"))
    try:
        table = table_of(settings, list(config.models))
    except ValueError as error:
        raise ConfigError(f"{error}.") from None
    return table, {one.name: Supplier(one.price_provider, one.billed, one.service_tier) for one in settings}


def _instant(at: object) -> int:
    """A TOML date or date and time as Unix milliseconds; UTC where it names no zone."""
    if isinstance(at, datetime):
        return round((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000)
    if isinstance(at, date):
        return round(datetime(at.year, at.month, at.day, tzinfo=UTC).timestamp() * 1000)
    raise ValueError("each change says from when on, such as at = 2026-11-10T00:00:00Z")


def _show(found: Record) -> None:
    from jevons.replay.markdown import assumptions, change, interval, span, usd, whose

    recorded = found["recorded"]
    table = plain(
        "policy",
        "cost",
        "may be",
        "against the bill",
        "refused",
        "not made then",
        "other model",
        "cut",
        "waits",
        title=f"Replayed {span(found)}",
    )
    table.add_row("the bill", usd(recorded["billed_nusd"]), "", "", f"{recorded['refused']:,}", "", "", "", "")
    for policy in found["policies"]:
        moved = sum(row["calls"] for row in policy["moved"])
        counts = [policy["refused"], policy["unmade"], moved, policy["cut"], policy["waits"]]
        money = [usd(policy["cost_nusd"]), interval(policy), change(policy, recorded["billed_nusd"])]
        table.add_row(policy["name"], *money, *(f"{n:,}" for n in counts))
    whole(table)
    for policy in found["policies"]:
        _show_stopped(policy, usd, whose)
        _show_moved(policy, usd)
    console.print()
    for sentence in assumptions(found):
        console.print(sentence, markup=False, soft_wrap=True, style="dim")


def _show_stopped(policy: Record, usd: Any, whose: Any) -> None:
    if not policy["limits"]:
        return
    table = plain(
        "limit", "refuses", "not made then", "would have cost", "run", "first", title=f"\n{policy['name']}: what it stops"
    )
    for stopped in policy["limits"]:
        first = f"{datetime.fromtimestamp(stopped['first_ms'] / 1000, UTC):%Y-%m-%d %H:%M}"
        numbers = [f"{stopped['refused']:,}", f"{stopped['unmade']:,}", usd(stopped["avoided_nusd"])]
        table.add_row(stopped["limit"], *numbers, whose(stopped["first_key"], stopped["first_run"]), first)
        for run in stopped["runs"]:
            table.add_row("", "", "", usd(run["avoided_nusd"]), whose(run["key"], run["run"]), "")
    whole(table)


def _show_moved(policy: Record, usd: Any) -> None:
    if not policy["moved"]:
        return
    table = plain(
        "agent",
        "from",
        "to",
        "calls",
        "cost",
        "at least",
        "at most",
        "why",
        title=f"\n{policy['name']}: what goes to another model",
    )
    for row in policy["moved"]:
        money = [usd(row[name]) for name in ("cost_nusd", "low_nusd", "high_nusd")]
        table.add_row(row["agent"] or "-", row["from"], row["to"], f"{row['calls']:,}", *money, row["basis"])
    whole(table)
