"""The levers report as a table and as a picture. What is shown here is what --json prints."""

from typing import Any

from jevons.cli.tables import console, plain, whole
from jevons.core.money import format_usd
from jevons.economics.levers import COMPRESSED, KEPT, LEVERS
from jevons.economics.waterfall import waterfall

Record = dict[str, Any]


def table(found: Record) -> None:
    """Each lever alone, all together, and each one's share of the fall."""
    turn = found["turn"]
    console.print(
        f"A turn reads {turn['prompt']:,} tokens, {turn['repeated']:,} of them again, and writes {turn['output']:,}; "
        f"{found['measured']['threads']} thread(s), {found['measured']['quantised']['file']}.",
        soft_wrap=True,
    )
    rows = plain(
        "",
        "$ per million",
        "tokens/s",
        f"J/token{'' if found['watts_measured'] else ' (est.)'}",
        "nats lost",
        "share of the fall",
        title=None,
    )
    start, end = _corner(found, ()), _corner(found, LEVERS)
    fall = start["nusd_per_million"] - end["nusd_per_million"]
    rows.add_row("none", *_figures(start), "", "")
    for lever in LEVERS:
        alone = _corner(found, (KEPT, COMPRESSED) if lever == COMPRESSED else (lever,))
        name = f"{lever} (and {KEPT})" if lever == COMPRESSED else lever
        share = found["shares_nusd_per_million"][lever]
        rows.add_row(name, *_figures(alone), _lost(found, lever), f"{share / fall:.1%}" if fall else "")
    rows.add_row("all four", *_figures(end), "", "100 %")
    whole(rows)
    console.print(f"The fall is {format_usd(fall)} per million tokens.")
    for note in notes(found):
        console.print(note, soft_wrap=True)


def notes(found: Record) -> list[str]:
    """What is estimated, what the figures rest on, and the mixture of experts."""
    measured, mixture = found["measured"], found["mixture"]
    dense, sparse = mixture["dense"], mixture["mixture"]
    said = [
        f"A busy hour costs {format_usd(found['nusd_per_busy_hour'])} (--usd-per-hour). Batched: {measured['sizes']['batch']} sequences.",
        "Found again in equal memory: {lossless:.1%} of blocks as they are, {compressed:.1%} compressed {smaller:.1f} times, {endless:.1%} with "
        "endless room (Mooncake's trace through the park's policy).".format(**found["found"]),
        (
            f"Mixture of experts, beside a dense twin that computes as much: {sparse['parameters'] / 1e6:.1f} M parameters, "
            f"{sparse['active_parameters'] / 1e6:.1f} M active, {sparse['decode_tok_s']:,.0f} tokens/s; dense {dense['parameters'] / 1e6:.1f} M, "
            f"{dense['decode_tok_s']:,.0f} tokens/s. What it changes is quality, on the texts that it was trained for, so it has no share here: "
            "docs/experts.md."
        ),
    ]
    if measured["compressed"] is None:
        said.append("This model's heads cannot be compressed, so compressing counts for nothing here.")
    if not found["watts_measured"]:
        said.append(f"Joules are an estimate from {found['watts']:g} W (--watts): the processor's counters cannot be read here.")
    if found["requantised"]:
        said.append(
            "Re-quantised: the reference is the same file as half-precision numbers, so its loss says nothing of the original."
        )
    return said


def picture(found: Record) -> str:
    """From a token without any lever to one with all, by their shares: SVG."""
    start, end = (_corner(found, levers)["nusd_per_million"] for levers in ((), LEVERS))
    steps = [(lever, -found["shares_nusd_per_million"][lever]) for lever in LEVERS]
    return waterfall("A million tokens of an agent's turns, made here", ("no lever", start), steps, ("all four", end))


def _corner(found: Record, levers: tuple[str, ...]) -> Record:
    return next(corner for corner in found["corners"] if set(corner["levers"]) == set(levers))


def _figures(corner: Record) -> tuple[str, str, str]:
    return format_usd(corner["nusd_per_million"]), f"{corner['tokens_per_s']:,.0f}", f"{corner['joules_per_token']:.3f}"


def _lost(found: Record, lever: str) -> str:
    if lever not in found["kld"]:
        return "0"
    lost = found["kld"][lever]
    return "not measured" if lost is None else f"{lost:.4f}"
