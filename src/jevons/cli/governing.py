"""`jevons limits`, `kill`, `approve`: what an operator sees of the governor, and says to it."""

from typing import Any, get_args

import click
import msgspec

from jevons.cli import governor_tables as tables
from jevons.cli.operator import Operator
from jevons.cli.options import Amount, as_json, show
from jevons.config import home_path
from jevons.ledger.home import Home
from jevons.policy.rules import Limit, Mode, Scope

ACCOUNTS_SHOWN = 10
QUESTIONS_SHOWN = 100

WHOLE, MONEY, SHARE = click.IntRange(0), Amount(), click.FloatRange(0)
LIMIT_OPTIONS: dict[str, tuple[Any, str]] = {
    "scope": (
        click.Choice([scope.value for scope in Scope]),
        "Whom it holds for, one account each (default: key). run: with all that it started.",
    ),
    "org": (str, "Only callers of this organisation; these five may be shell patterns."),
    "team": (str, "Only callers of this team."),
    "key": (str, "Only calls with this key."),
    "agent": (str, "Only calls of this client program: claude-code, codex, …"),
    "model": (str, "Only calls of this model count, and are limited."),
    "per": (str, "total (default), run, hour, day, week, month, year, or a rolling length: 5m, 24h, 7d."),
    "timezone": (str, "Of hour to year: Europe/Zurich. Default: UTC."),
    "mode": (click.Choice(get_args(Mode)), "enforce (default), observe (record only) or off."),
    "usd": (MONEY, "Billed cost."),
    "list_usd": (MONEY, "Cost at list price, also where a subscription pays."),
    "tokens": (WHOLE, "All tokens."),
    "input_tokens": (WHOLE, "Uncached input tokens."),
    "cache_read_tokens": (WHOLE, "Tokens read from a provider's cache."),
    "cache_write_tokens": (WHOLE, "Tokens written to it."),
    "output_tokens": (WHOLE, "Output tokens, with reasoning."),
    "reasoning_tokens": (WHOLE, "Reasoning tokens."),
    "steps": (WHOLE, "Model requests."),
    "concurrent": (WHOLE, "Calls at once."),
    "seconds": (WHOLE, "Wall clock of a run since its first call."),
    "depth": (WHOLE, "Runs that started one another; 1 = no run may start another."),
    "children": (WHOLE, "Runs that one run may start itself."),
    "context_tokens": (WHOLE, "Input tokens of one call."),
    "context_growth": (SHARE, "Input tokens of a call as a multiple of its run's first call."),
    "repeats": (WHOLE, "Steps in a row that say the same: a loop."),
    "identical_calls": (WHOLE, "One tool call with one result, among the latest."),
    "stalled_tokens": (WHOLE, "Growth of the context since anything new happened."),
    "output_cap": (WHOLE, "Output tokens of one answer: cut, never refused."),
    "warn": (MONEY, "The agent is warned from here on, in the unit of the one measure."),
    "approve": (MONEY, "From here on a person is asked."),
    "degrade_at": (click.FloatRange(0, 1), "Share of a money limit from which a cheaper model answers."),
    "degrade_to": (str, "That model; may be repeated: the first that fits."),
}
"""An option for each member of a limit: (type, help)."""


def _members(command: Any) -> Any:
    for name, (kind, text) in reversed(LIMIT_OPTIONS.items()):
        option = "--" + name.replace("_", "-")
        shown = None if isinstance(kind, click.Choice) else "NAME" if kind is str else "N"
        command = click.option(option, name, type=kind, metavar=shown, help=text, multiple=name == "degrade_to")(command)
    return command


@click.group(invoke_without_command=True)
@click.option("--accounts", "shown", type=click.IntRange(1), default=ACCOUNTS_SHOWN, show_default=True, help="Of each limit.")
@as_json
@click.pass_context
def limits(context: click.Context, shown: int, json: bool) -> None:
    """Every limit, with what is spent and held under it; set and remove them.

    Those of jevons.toml are changed there. Example: jevons limits --json
    """
    if context.invoked_subcommand is None:
        found = Operator(Home(home_path())).limits(shown)
        show(json, found, lambda: tables.limits(found))


@limits.command("set")
@click.argument("name")
@_members
@as_json
def set_limit(name: str, json: bool, **members: Any) -> None:
    """Set a limit, or replace the one of this name. What was spent in its window counts already.

    Example: jevons limits set session --scope run --agent claude-code --usd 5 --approve 3
    """
    stated = {member: value for member, value in members.items() if value not in (None, ())}
    limit = msgspec.convert({"name": name, **stated}, Limit)
    Operator(Home(home_path())).put_limit(limit)
    show(json, {"limit": limit}, lambda: tables.stated(limit))


@limits.command("remove")
@click.argument("name")
def remove_limit(name: str) -> None:
    """Remove a limit that stands in the ledger.

    Example: jevons limits remove session
    """
    Operator(Home(home_path())).remove_limit(name)
    click.echo(f"Limit {name} is removed.")


@click.command(short_help="Stop a run, an agent, a key, a model or everything.")
@click.argument("subject", required=False)
@click.option("--reason", help="The agent is told; it stands in the audit log.")
@click.option("--lift", type=int, metavar="ID", help="Let go on whom this kill stopped.")
@as_json
def kill(subject: str | None, reason: str | None, lift: int | None, json: bool) -> None:
    """Stop whom SUBJECT names, also calls under way, until it is lifted. Without one: the kills in force.

    SUBJECT is everything, key:NAME, agent:KEY/NAME, run:KEY/RUN (with all that it started), team:ORG/NAME, org:NAME or model:NAME. Names may
    be shell patterns.

    Example: jevons kill 'agent:*/codex' --reason "it repeats itself"
    """
    operator = Operator(Home(home_path()))
    if lift is not None:
        if subject is not None or reason is not None:
            raise click.UsageError("--lift takes the kill's number alone.")
        operator.lift(lift)
        show(json, {"lifted": lift}, lambda: click.echo(f"Kill {lift} is lifted."))
    elif subject is not None:
        made = operator.kill(subject, reason or "")
        show(json, made, lambda: tables.killed(made))
    elif reason is not None:
        raise click.UsageError("Say whom to stop, for example key:NAME.")
    else:
        found = operator.kills()
        show(json, {"kills": found}, lambda: tables.kills(found))


@click.command(short_help="Answer questions of agents that wait for a person.")
@click.argument("question", required=False, metavar="[ID]")
@click.option("--deny", is_flag=True, help="Say no; silence is a no as well.")
@click.option("--all", "everything", is_flag=True, help="List answered and expired questions too.")
@as_json
def approve(question: str | None, deny: bool, everything: bool, json: bool) -> None:
    """Say yes (or --deny) to the question ID, in time or late. Without one: the questions that wait.

    Example: jevons approve --json
    """
    operator = Operator(Home(home_path()))
    if question is not None:
        decided = operator.decide(question, not deny)
        show(json, decided, lambda: tables.decided(decided))
        return
    if deny:
        raise click.UsageError("Say which question to deny; `jevons approve` lists them.")
    found = operator.approvals(QUESTIONS_SHOWN)
    shown = [one for one in found if everything or one["state"] == "pending"]
    show(json, {"approvals": shown}, lambda: tables.approvals(shown, len(found) - len(shown)))
