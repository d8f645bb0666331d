"""`jevons synergy`: how hardware, precision, sparsity, cache and batch multiply on the way from one way of serving to another."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from jevons.cli import tables
from jevons.cli.options import NewFile, Real, as_json, show, write
from jevons.config import home_path
from jevons.core.money import short_usd

if TYPE_CHECKING:
    from jevons.economics.unitcost.synergy import Synergy

WAY = "MODEL:PRECISION:PART[:USD]"
"""Of serving; USD of an hour of one device."""


@click.command(short_help="How hardware, precision, sparsity, cache and batch multiply.")
@click.option("--from", "start", metavar=WAY, help="USD: of an hour. Default: a dense model of 70 billion in 16 bits on A100s.")
@click.option("--to", "end", metavar=WAY, help="Default: a mixture of experts in 4 bits on B200s.")
@click.option(
    "--prompt", type=click.IntRange(1, 10**7), default=8_192, show_default=True, help="Tokens of a prompt, cached ones too."
)
@click.option("--output", type=click.IntRange(1, 10**6), default=512, show_default=True, help="Tokens of an answer.")
@click.option("--cached", type=Real(0, 1, max_open=True), default=0.8, show_default=True, help="Share of prompts, at the end.")
@click.option("--batch", type=click.IntRange(1, 4_096), default=8, show_default=True, help="Requests at once, at the start.")
@click.option("--floor", type=Real(0, 10_000), default=20.0, show_default=True, help="Tokens/s that each user sees at least.")
@click.option("--svg", type=NewFile(), help="Write the picture.")
@as_json
def synergy(
    start: str | None,
    end: str | None,
    prompt: int,
    output: int,
    cached: float,
    batch: int,
    floor: float,
    svg: Path | None,
    json: bool,
) -> None:
    """What a million output tokens cost from one way of serving to another, and how five levers share the fall.

    From the start to the end change: the part, the precision of the weights, the model (sparsity), the share of prompts found in a cache (none
    to --cached) and the requests at once (--batch to as many as are cheapest above --floor). All 32 corners are worked out by the unit-cost model.
    docs/synergy.md says how to read it.

    Example: jevons synergy --to qwen3-235b-a22b:fp8:H200-SXM-141GB --floor 10
    """
    from jevons.economics.unitcost import synergy as economics
    from jevons.economics.unitcost.efficiency import shipped
    from jevons.economics.unitcost.hardware import parts

    among = parts(home_path())
    first = economics.end_of(start or economics.FROM, among, 0.0, batch)
    last = economics.end_of(end or economics.TO, among, cached, None)
    found = economics.synergy(first, last, economics.Task(prompt, output, floor), shipped())
    show(json, found.document(), lambda: _table(found))
    if svg is not None:
        write(svg, economics.picture(found))


def _table(found: "Synergy") -> None:
    from jevons.economics.unitcost.synergy import LEVERS, quality
    from jevons.economics.unitcost.synergy_picture import spread, times

    say = tables.say
    task = found.task
    say(
        f"A million output tokens, each request {task.prompt:,} in and {task.output:,} out, at least {task.floor_tok_s:g} tokens/s for each user:"
    )
    ends = tables.plain("", "devices", "at once", "tokens/s, user", "tokens/s, device", "$ per million", "90 %", title=None)
    for end, cost, levers in ((found.start, found.costs[0], ()), (found.end, found.costs[1], LEVERS)):
        placed = found.corners[frozenset(levers)].placed
        ends.add_row(
            f"{placed.model.name}, {100 * end.cached:.0f} % cached", f"{placed.on.devices} x {end.part.name}", f"{placed.speed.batch:,.0f}",
            f"{placed.speed.user_tok_s:,.0f}", f"{placed.speed.device_tok_s:,.0f}", short_usd(cost.mid), f"{short_usd(cost.low)} to {short_usd(cost.high)}",
        )  # fmt: skip
    tables.fitting(ends, "at once", "tokens/s, device", "tokens/s, user")
    whole = found.cost() - found.cost(*LEVERS)
    say(f"In all ÷ {found.whole.mid:.1f}, {found.whole.low:.1f} to {found.whole.high:.1f}.")
    shares = tables.plain(
        "", "cost", "90 %", "by itself", "share of dollars", *(f"with {lever}" for lever in LEVERS[1:]), title=""
    )
    for place, lever in enumerate(LEVERS):
        factor = found.factors[lever]
        share = f"{short_usd(found.shares_nusd[lever])} ({100 * found.shares_nusd[lever] / whole:.0f} %)" if whole else ""
        pairs = [times(found.split.pairs[lever, other]) if after > place else "" for after, other in enumerate(LEVERS) if after]
        shares.add_row(
            lever,
            times(found.split.values[lever]),
            spread(factor.low, factor.high),
            times(found.split.own[lever]),
            share,
            *pairs,
        )
    tables.fitting(shares, *(f"with {lever}" for lever in reversed(LEVERS[1:])), "share of dollars", "by itself")
    say("The first column multiplies to the whole; so do all factors by themselves and of pairs together.")
    say(quality(*found.models))
    for end in (found.start, found.end):
        said = ", estimated" if end.hourly.estimated else ""
        say(
            f"{end.part.name}: ${end.hourly.usd.mid:.2f}/h ({end.hourly.usd.low:.2f} to {end.hourly.usd.high:.2f}), {end.hourly.how}{said}."
        )
