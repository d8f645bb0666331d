"""`jevons keys`: make, list, change, limit and revoke the keys of clients."""

from typing import Literal

import click
from msgspec import UNSET

from jevons.cli import tables
from jevons.cli.operator import Operator
from jevons.cli.options import NEGATIVE, Dollars, as_json, show
from jevons.config import home_path
from jevons.core.money import format_usd
from jevons.ledger.admin import KeyChanges
from jevons.ledger.bill import accounts
from jevons.ledger.home import Home
from jevons.ledger.ops import KeySettings

STATUS = click.IntRange(400, 499)
Holds = Literal["", "strict", "packed"]
HOLDS: dict[str, Holds] = {"default": "", "strict": "strict", "packed": "packed"}
HOLDS_HELP = "strict: the worst case is held. packed: what answers usually need. default: as jevons.toml says."

TIERS_HELP = "Its calls can wait: they take this service tier (flex) where the price book lists it as cheaper; may be repeated."


@click.group()
def keys() -> None:
    """Client keys: make, list, change, limit, revoke."""


@keys.command("create")
@click.argument("name")
@click.option("--limit-usd", "limit_nusd", type=Dollars(), help="Total that the key may ever spend; none = metered, not limited.")
@click.option("--output-tokens", type=click.IntRange(1), help="Output cap for calls that send none (default 8192).")
@click.option("--model", "models", multiple=True, metavar="PATTERN", help="Allow only these models; may be repeated.")
@click.option("--denial-status", type=STATUS, help="Status of a budget denial, instead of 402.")
@click.option("--team", default="", help="The team whose limits it counts in.")
@click.option("--org", default="default", show_default=True, help="The organisation of its team.")
@click.option("--holds", type=click.Choice(list(HOLDS)), default="default", help=HOLDS_HELP)
@click.option("--tier", "tiers", multiple=True, metavar="TIER", help=TIERS_HELP)
@as_json
def create_key(
    name: str, limit_nusd: int | None, output_tokens: int | None, models: tuple[str, ...], denial_status: int | None, team: str, org: str,
    holds: str, tiers: tuple[str, ...], json: bool,
) -> None:  # fmt: skip
    """Make a key. It is shown once.

    Example: jevons keys create alice --limit-usd 20 --team search
    """
    settings = KeySettings(output_tokens, models, denial_status, team, org, HOLDS[holds], tiers=tiers)
    made = Operator(Home(home_path())).create_key(name, limit_nusd, settings)
    show(
        json, made, lambda: click.echo(f"{made['key']}\nThis is the only time it is shown. Its limit: {_limit_text(limit_nusd)}.")
    )


@keys.command("list")
@as_json
def list_keys(json: bool) -> None:
    """Keys with what they spent and may spend."""
    found = accounts(Home(home_path()).ledger)
    show(json, {"keys": found}, lambda: tables.keys(found))


@keys.command("set")
@click.argument("name")
@click.option("--team", help="The team whose limits it counts in from now on, with what it spent already; '' = none.")
@click.option("--org", help="The organisation of its team.")
@click.option("--output-tokens", type=click.IntRange(0), help="Output cap for calls that send none; 0 = the default.")
@click.option("--model", "models", multiple=True, metavar="PATTERN", help="Allow only these models; '*' = all; may be repeated.")
@click.option("--denial-status", type=STATUS, help="Status of a budget denial, instead of 402.")
@click.option("--holds", type=click.Choice(list(HOLDS)), help=HOLDS_HELP)
@click.option("--tier", "tiers", multiple=True, metavar="TIER", help=f"{TIERS_HELP} '' = none.")
@as_json
def set_key(
    name: str, team: str | None, org: str | None, output_tokens: int | None, models: tuple[str, ...], denial_status: int | None,
    holds: str | None, tiers: tuple[str, ...], json: bool,
) -> None:  # fmt: skip
    """Change a key's settings; what is not named stays.

    Example: jevons keys set alice --team search --org acme
    """
    changes = KeyChanges(
        default_output_tokens=UNSET if output_tokens is None else output_tokens or None,
        models=models or UNSET,
        denial_status=UNSET if denial_status is None else denial_status,
        team=UNSET if team is None else team,
        org=UNSET if org is None else org,
        holds=UNSET if holds is None else HOLDS[holds],
        tiers=tuple([tier for tier in tiers if tier]) if tiers else UNSET,
    )
    if changes == KeyChanges():
        raise click.UsageError("Say what to change, for example --team NAME.")
    settings = Operator(Home(home_path())).change_key(name, changes)
    document = {"key": name, "settings": settings}
    show(json, document, lambda: click.echo(f"Key {name} is changed: {_settings_text(settings)}."))


@keys.command("limit", context_settings=NEGATIVE)
@click.argument("name")
@click.argument("amount", type=Dollars())
def limit_key(name: str, amount: int | None) -> None:
    """Set a key's total limit in dollars; "none" lifts it."""
    Operator(Home(home_path())).set_key_limit(name, amount)
    click.echo(f"Key {name}: limit {_limit_text(amount)}.")


@keys.command("revoke")
@click.argument("name")
def revoke_key(name: str) -> None:
    """Refuse a key from now on."""
    Operator(Home(home_path())).revoke_key(name)
    click.echo(f"Key {name} is revoked.")


def _limit_text(nusd: int | None) -> str:
    return "none" if nusd is None else format_usd(nusd)


def _settings_text(settings: dict[str, object]) -> str:
    shown = {name: ", ".join(value) if isinstance(value, list | tuple) else value for name, value in settings.items()}
    return ", ".join(f"{name} {value}" for name, value in shown.items()) or "all is at its default"
