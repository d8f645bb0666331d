"""The command line: each command parses, calls one function, prints. Every reading command takes --json.

Writes go through the serving process while one runs, else straight to the ledger under the same lock (`operator`).
"""

import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import click
import msgspec

from jevons import __version__
from jevons.cli import tables
from jevons.cli.audit import audit
from jevons.cli.build_or_buy import build_or_buy
from jevons.cli.cache import cache
from jevons.cli.capture import capture
from jevons.cli.dashboard import dashboard
from jevons.cli.demo import demo, is_demo
from jevons.cli.energy import energy
from jevons.cli.engine import engine
from jevons.cli.experts import experts
from jevons.cli.explain import explain
from jevons.cli.forecast import forecast
from jevons.cli.governing import approve, kill, limits
from jevons.cli.hw import hw
from jevons.cli.importing import import_
from jevons.cli.keys import keys
from jevons.cli.levers import levers
from jevons.cli.models import models
from jevons.cli.operator import Operator
from jevons.cli.options import NEGATIVE, Day, as_json, check_days, check_key, show
from jevons.cli.paradox import paradox
from jevons.cli.park import park
from jevons.cli.price_history import COMMANDS as PRICE_HISTORY
from jevons.cli.replay import replay
from jevons.cli.rerate import rerate
from jevons.cli.routes import routes
from jevons.cli.runs import runs
from jevons.cli.savings import savings
from jevons.cli.students import students
from jevons.cli.synergy import synergy
from jevons.cli.unit_cost import unit_cost
from jevons.config import ConfigError, first_config, found_keys, home_path, load
from jevons.core.entry import parse_request_text
from jevons.core.money import format_usd, parse_usd
from jevons.core.usage import Usage
from jevons.engine.install import install_command
from jevons.ledger.bill import By, bill
from jevons.ledger.errors import LedgerError
from jevons.ledger.home import Home, write_private

MEASURING: dict[str, Callable[[], str]] = {
    "cryptography": install_command,
    "numpy": lambda: f"{sys.executable} -m pip install 'numpy>=2'",
    **dict.fromkeys(("numba", "llvmlite"), lambda: f"{sys.executable} -m pip install numba"),
    "statsforecast": lambda: f"{sys.executable} -m pip install 'statsforecast>=2'",
    "ecologits": lambda: f"{sys.executable} -m pip install 'ecologits>=0.11'",
}
"""What only some commands need -> how to get it."""


def main() -> None:
    """Run a command; what an operator can mend is said in a line, never as a traceback."""
    try:
        status = commands(standalone_mode=False)  # click gives back the status of an Exit
        if status:
            sys.exit(status)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(130)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(141)
    except ModuleNotFoundError as error:
        if error.name not in MEASURING:
            raise
        click.echo(f"jevons: this needs {error.name}; install it with: {MEASURING[error.name]()}", err=True)
        sys.exit(1)
    except _for_the_operator() as error:
        click.echo(f"jevons: {error}", err=True)
        sys.exit(1)


def _for_the_operator() -> tuple[type[Exception], ...]:
    from jevons.economics.unitcost.errors import UnitCostError
    from jevons.engine.native.package import NativeError
    from jevons.imports.intake import CountedTwice
    from jevons.imports.reading import Unreadable
    from jevons.meter.compiled import BrokenBook
    from jevons.meter.cost import UnknownPrice
    from jevons.meter.genai import UpdateFailed
    from jevons.meter.naming import UnknownModel
    from jevons.meter.overrides import BadOverride

    gateway = (
        LedgerError,
        ConfigError,
        BrokenBook,
        BadOverride,
        UpdateFailed,
        UnknownModel,
        UnknownPrice,
        Unreadable,
        CountedTwice,
    )
    return *gateway, NativeError, UnitCostError


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="jevons")
def commands() -> None:
    """Jevons stands between agents and models: it meters every call, and keeps each key within its limit.

    It keeps everything under JEVONS_HOME (~/.jevons).
    """
    if is_demo(home_path()):
        click.echo(
            "DEMO FIGURES: recorded traffic of others, played by a company that is not there. Nothing of it is yours.", err=True
        )


for command in (
    keys,
    import_,
    runs,
    limits,
    kill,
    approve,
    audit,
    explain,
    forecast,
    routes,
    dashboard,
    paradox,
    demo,
    rerate,
    savings,
    replay,
    park,
    experts,
    energy,
    models,
    engine,
    levers,
    cache,
    capture,
    hw,
    synergy,
    unit_cost,
    build_or_buy,
    students,
):
    commands.add_command(command)


@commands.command()
@click.option("--config", "file", type=click.Path(path_type=Path), help="Default: jevons.toml in JEVONS_HOME.")
@click.option("--port", type=click.IntRange(0, 65535), help="Default: 4141, or JEVONS_PORT; 0 = any free one.")
def serve(file: Path | None, port: int | None) -> None:
    """Serve the gateway until Ctrl-C. The first start makes a configuration and a key."""
    from jevons.serve import serve as run

    home = Home(home_path())
    if file is None and not home.config.exists():
        write_private(home.config, first_config(found_keys()))
    config = load(file or home.config)
    run(msgspec.structs.replace(config, port=port) if port is not None else config, home)


@commands.command(short_help="Write jevons.toml, or --add an upstream to it.")
@click.option("--add", "names", multiple=True, metavar="UPSTREAM", help="Add an upstream whose key is in the environment.")
def init(names: tuple[str, ...]) -> None:
    """Write jevons.toml with the upstreams whose keys are in the environment, by reference."""
    home = Home(home_path())
    offers = {offer.name: offer for offer in found_keys()}
    for name in names:
        if name not in offers:
            raise click.UsageError(f"No key for {name!r} in the environment; found: {', '.join(offers) or 'none'}.")
    if not home.config.exists():
        write_private(home.config, first_config([offer for offer in offers.values() if not names or offer.name in names]))
        click.echo(
            f"Wrote {home.config} with {', '.join(names or offers) or 'no upstream: no provider key is in the environment'}."
        )
        return
    for name in names:
        configured = [upstream.name for upstream in load(home.config).upstreams]
        if name in configured:
            raise click.UsageError(f"{home.config} has an upstream {name!r} already.")
        write_private(home.config, home.config.read_text().rstrip() + "\n\n" + offers[name].toml)
        click.echo(f"Added {name} to {home.config}. Restart `jevons serve`.")
    if not names:
        click.echo(
            f"{home.config} is there already; it was not changed. Keys in the environment: {', '.join(offers) or 'none'} (add one: --add NAME)."
        )


@commands.command(short_help="Check configuration, upstreams, ledger, disk.")
@as_json
def doctor(json: bool) -> None:
    """Check configuration, upstreams, prices, local model, ledger and disk."""
    from jevons.cli.doctor import examine

    findings = examine(Home(home_path()))
    show(json, {"findings": [finding.as_dict() for finding in findings]}, lambda: tables.findings(findings))
    if any(finding.verdict == "bad" for finding in findings):
        raise click.exceptions.Exit(1)


@commands.command("bill")
@click.option("--by", type=click.Choice(["day", "model", "key", "run"]), default="day", show_default=True)
@click.option("--from", "since_ms", type=Day(), default=None, help="First UTC day.")
@click.option("--to", "until_ms", type=Day(), default=None, help="UTC day after the last.")
@click.option("--key", help="Only this key.")
@as_json
def show_bill(by: By, since_ms: int | None, until_ms: int | None, key: str | None, json: bool) -> None:
    """What was spent, by day, model, key or run."""
    ledger = Home(home_path()).ledger
    check_days(since_ms, until_ms)
    check_key(ledger, key)
    found = bill(ledger, by=by, since_ms=since_ms or 0, until_ms=until_ms, key=key)
    show(json, found, lambda: tables.bill(found, by))


@commands.command(short_help="What is being spent right now.")
@click.option("--once", is_flag=True, help="Print one picture and end.")
@as_json
def top(once: bool, json: bool) -> None:
    """What is being spent right now: open calls, keys, the latest entries."""
    from jevons.cli.top import now, watch

    ledger = Home(home_path()).ledger
    if json or once:
        picture = now(ledger)
        show(json, picture, lambda: tables.now(picture))
    else:
        watch(ledger)


@commands.command(short_help="Show a text's tokens and their number.")
@click.argument("text", required=False)
@click.option("--encoding", type=click.Choice(["o200k_base", "cl100k_base"]), default="o200k_base", show_default=True)
@as_json
def tokens(text: str | None, encoding: str, json: bool) -> None:
    """Show a text's tokens and their number (- or nothing: from standard input)."""
    from jevons.meter.tokens import pieces

    content = sys.stdin.read() if text in (None, "-") else text
    found = pieces(content or "", encoding)
    shown = [{"text": piece.decode("utf-8", "backslashreplace"), "id": number} for piece, number in found]
    document = {"encoding": encoding, "tokens": len(found), "characters": len(content or ""), "pieces": shown}
    show(json, document, lambda: tables.tokens(document))


@commands.command()
@click.option("--model", required=True, help='A name as providers write it, or loosely: "Gemini 3.1 Pro".')
@click.option("--provider", help="Whose price, where several sell the model.")
@click.option("--input", "input_", type=click.IntRange(0), default=0, help="Uncached input tokens.")
@click.option("--output", type=click.IntRange(0), default=0)
@click.option("--cache-read", type=click.IntRange(0), default=0)
@click.option("--cache-write-5m", type=click.IntRange(0), default=0)
@click.option("--cache-write-1h", type=click.IntRange(0), default=0)
@click.option("--reasoning", type=click.IntRange(0), default=0, help="Part of --output.")
@click.option("--service-tier", help="batch, flex, priority, … where the price book knows them.")
@click.option("--not-billed", is_flag=True, help="The list cost of a call that bills nothing: a free tier, a subscription.")
@click.option("--at", "at_ms", type=Day(), help="Price of that UTC day; default: now.")
@as_json
def cost(
    model: str, provider: str | None, input_: int, output: int, cache_read: int, cache_write_5m: int, cache_write_1h: int, reasoning: int,
    service_tier: str | None, not_billed: bool, at_ms: int | None, json: bool,
) -> None:  # fmt: skip
    """What a call costs: the formula with its rates and dates."""
    from jevons.meter.cost import explain_cost, format_explanation
    from jevons.meter.pricebook import BILLED, UNBILLED, open_book

    try:
        usage = Usage(input_, cache_read, cache_write_5m, cache_write_1h, output, reasoning)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    context = {"service_tier": service_tier} if service_tier else {}
    if not_billed:
        context[BILLED] = UNBILLED
    found = explain_cost(
        open_book(Home(home_path()).path),
        model,
        usage,
        at_ms if at_ms is not None else int(time.time() * 1000),
        provider,
        context,
    )
    show(json, msgspec.to_builtins(found), lambda: click.echo(format_explanation(found)))


@commands.group(short_help="The price book, your own prices, and what became of prices since 2020.")
def prices() -> None:
    """The price book: genai-prices, with your dated overrides in prices.toml. And the history of list prices since 2020."""


for command in PRICE_HISTORY:
    prices.add_command(command)


@prices.command("show")
@click.argument("model")
@click.option("--provider")
@as_json
def show_prices(model: str, provider: str | None, json: bool) -> None:
    """Every dated price of a model."""
    from jevons.meter.cost import price_history
    from jevons.meter.pricebook import open_book

    found = price_history(open_book(Home(home_path()).path), model, int(time.time() * 1000), provider)
    show(json, {"prices": msgspec.to_builtins(found)}, lambda: tables.prices(found))


@prices.command("update")
@click.option("--from", "source", help="URL or file in genai-prices' format; default: its published one.")
@as_json
def update_prices(source: str | None, json: bool) -> None:
    """Fetch newer prices; no release of Jevons is needed. Older books are kept: entries name the one they used."""
    from jevons.meter.genai import DEFAULT_SOURCE, update

    done = update(Home(home_path()).path, source or DEFAULT_SOURCE)
    show(json, msgspec.to_builtins(done, enc_hook=str), lambda: click.echo(f"{done} Restart `jevons serve` to use it."))


@commands.command()
@click.argument("path", required=False, type=click.Path(path_type=Path))
def backup(path: Path | None) -> None:
    """Copy the ledger, also while it is being written. Default: a dated file in JEVONS_HOME/backups."""
    home = Home(home_path())
    target = (path or home.backups / f"ledger-{datetime.now(UTC):%Y%m%d-%H%M%S}.db").absolute()
    Operator(home).back_up(target)
    click.echo(f"Wrote {target}.")


@commands.command(context_settings=NEGATIVE, short_help="Correct what a key has spent.")
@click.argument("key")
@click.argument("amount")
@click.option("--reason", required=True)
@click.option("--request", help="The request it corrects, req_…")
def adjust(key: str, amount: str, reason: str, request: str | None) -> None:
    """Correct what a key has spent by AMOUNT dollars (negative: a credit). Entries are never edited."""
    try:
        nusd = parse_usd(amount)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    if request is not None and parse_request_text(request) is None:
        raise click.UsageError(f"{request!r} is not a request id; it looks like req_ and 15 digits or letters a to f.")
    Operator(Home(home_path())).adjust(key, nusd, reason, request)
    click.echo(f"Key {key}: adjusted by {format_usd(nusd)}.")
