"""`jevons experts`: which experts of a mixture fired for a text, and whether experts divide the work by language."""

import re
from dataclasses import asdict
from math import log2
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

from jevons.cli import tables
from jevons.cli.options import as_json, show

if TYPE_CHECKING:
    from jevons.engine.experts.language import Information
    from jevons.engine.experts.reading import Comparison, Layer, Piece, Reading

COLOURS = ("red", "green", "yellow", "blue", "magenta", "cyan", "bright_red", "bright_green")
LETTERS_MAX = 12
"""Of one token in the table; --json has all of it."""


@click.command(short_help="Which experts of a mixture fired, and do they divide the work by language?")
@click.argument("text", required=False)
@click.option(
    "--model", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="A GGUF file; default: the small one in Jevons."
)
@click.option(
    "--compare", nargs=2, type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="FILE FILE",
    help="Two files of texts, one language each; empty lines part the texts.",
)  # fmt: skip
@click.option("--permutations", type=click.IntRange(100, 100_000), default=1000, show_default=True, help="For --compare.")
@as_json
def experts(text: str | None, model: Path | None, compare: tuple[Path, Path] | None, permutations: int, json: bool) -> None:
    """The experts that each layer picked for each token of TEXT, read from the engine's library while it computes.

    Without --model it is a small mixture that comes with Jevons (8 experts, 2 for a token; English and Spanish manuals).
    docs/experts.md says what each figure is.
    """
    if (text is None) == (compare is None):
        raise click.UsageError("Give a TEXT, or --compare with two files.")
    try:
        if compare is not None:
            _compare(model, compare, permutations, json)
        else:
            _read(model, text or "", json)
    except ImportError as error:
        from jevons.engine.install import install_command

        raise click.ClickException(
            f"this needs the engine's packages ({error.name} is missing); install them with: {install_command()}"
        ) from None


def _read(model: Path | None, text: str, json: bool) -> None:
    from jevons.engine.experts import reading, routing
    from jevons.engine.gguf import NotGguf
    from jevons.engine.native.apart import apart
    from jevons.engine.native.package import NativeError

    try:
        found = apart(reading.read, model or routing.STORED, text)
    except UnicodeError:
        raise click.ClickException("the text is not UTF-8; a terminal in another encoding gives such bytes") from None
    except (NativeError, NotGguf, OSError) as error:
        raise click.ClickException(str(error)) from None
    show(json, asdict(found), lambda: _reading(found))


def _compare(model: Path | None, files: tuple[Path, Path], permutations: int, json: bool) -> None:
    from jevons.engine.experts import reading, routing
    from jevons.engine.gguf import NotGguf
    from jevons.engine.native.apart import apart
    from jevons.engine.native.package import NativeError

    try:
        first, second = map(_texts, files)
        found = apart(reading.compare, model or routing.STORED, first, second, permutations)
    except (NativeError, NotGguf, OSError, ValueError) as error:
        raise click.ClickException(str(error)) from None
    show(json, asdict(found), lambda: show_comparison(found))


def _texts(file: Path) -> list[str]:
    """Parted by empty lines. Raises OSError, UnicodeDecodeError."""
    return [part for part in re.split(r"\n\s*\n", file.read_text("utf-8").strip()) if part]


def _reading(found: "Reading") -> None:
    share = found.active_parameters / found.parameters
    tables.console.print(
        f"{found.model}: {found.experts} experts in each of {len(found.layers)} layers, {found.used} for a token; "
        f"{_counted_in(found.active_parameters)} of {_counted_in(found.parameters)} parameters active ({share:.0%})\n"
    )
    for pieces in _lines(found.tokens):
        table = Table(box=None, pad_edge=False, padding=(0, 1), header_style="dim")
        table.add_column("layer", justify="right")
        for piece in pieces:
            table.add_column(Text(_letters(piece)), justify="center", no_wrap=True)
        for place, layer in enumerate(found.layers):
            table.add_row(str(layer.layer), *(_picked(piece.experts[place]) for piece in pieces))
        tables.console.print(table, "")
    tables.console.print(_layers(found))
    tables.console.print(
        f"idle: experts that no token of this text met · busiest: work against an even share · evenness: entropy of the work, of {log2(found.experts):.3g} bits"
        " · doubt: entropy of the router's softmax for one token; not known of a gate that is none",
        style="dim",
    )


def _lines(pieces: "list[Piece]") -> "list[list[Piece]]":
    """As many tokens side by side as the terminal holds."""
    lines: list[list[Piece]] = []
    room = 0
    for piece in pieces:
        width = 2 + max(cell_len(_letters(piece)), max(len(_numbers(layer)) for layer in piece.experts))
        if width > room:
            lines.append([])
            room = tables.console.width - len("layer") - 1
        lines[-1].append(piece)
        room -= width
    return lines


def _letters(piece: "Piece") -> str:
    """A token as it can be shown: spaces and line ends are part of tokens."""
    text = tables.printable(piece.text.replace("\n", "⏎")).replace(" ", "·")
    return text if len(text) <= LETTERS_MAX else text[: LETTERS_MAX - 1] + "…"


def _numbers(layer: list[int]) -> str:
    return " ".join(map(str, layer))


def _picked(layer: list[int]) -> Text:
    return Text(" ").join([Text(str(expert), COLOURS[expert % len(COLOURS)]) for expert in layer])


def _layers(found: "Reading") -> Table:
    table = tables.plain("layer", "idle", "busiest", "evenness", "doubt", "tokens by expert", title=None)
    table.columns[0].justify = "right"
    for layer in found.layers:
        figures = (
            f"{layer.idle_share:.0%}",
            f"{layer.busiest_times_even:.1f}×",
            f"{layer.evenness_bits:.2f}",
            "not known" if layer.doubt_bits is None else f"{layer.doubt_bits:.2f}",
        )
        table.add_row(str(layer.layer), *figures, _counted(layer))
    return table


def _counted(layer: "Layer") -> Text:
    parts = [
        Text(f"{expert}:{count}", COLOURS[expert % len(COLOURS)] if count else "dim")
        for expert, count in enumerate(layer.tokens_by_expert)
    ]
    return Text(" ").join(parts)


def show_comparison(found: "Comparison") -> None:
    (one, other), (one_tokens, other_tokens) = found.texts, found.tokens
    tables.console.print(
        f"{found.model}: {one:,} and {other:,} texts, {one_tokens:,} and {other_tokens:,} tokens; {found.permutations:,} permutations\n"
    )
    table = tables.plain(
        "layer",
        "expert tells of language",
        "95 % by chance",
        "given the token",
        "95 % by chance",
        "H(expert)",
        "token tells of expert",
        title=None,
    )
    for layer in found.layers:
        table.add_row(
            str(layer.layer), *_told(layer.language), *_told(layer.language_given_token), f"{layer.expert_bits:.2f} bits",
            f"{layer.token_bits:.2f} bits ({_share(layer.token_bits, layer.expert_bits)})",
        )  # fmt: skip
    table.add_row("all, first choices", *_told(found.together), "", "", "", "")
    table.add_row("the token itself", *_told(found.token), "", "", "", "")
    tables.whole(table)
    tables.console.print("\n" + _sentence(found))


def _told(found: "Information") -> tuple[str, str]:
    return f"{found.bits:.3f} bits ({found.share:.0%})", f"{found.low:+.3f} … {found.high:+.3f}"


def _share(part: float, whole: float) -> str:
    return f"{part / whole:.0%}" if whole else "0%"


def _sentence(found: "Comparison") -> str:
    """What it amounts to, in words."""
    if all(layer.language.low <= 0 for layer in found.layers):
        return "No layer's experts tell the language better than chance: they do not divide the work by language."
    best = max(found.layers, key=lambda layer: layer.language.share)
    by_token = best.token_bits / best.expert_bits if best.expert_bits else 0.0
    by_language = best.language.bits / best.expert_bits if best.expert_bits else 0.0
    place, expert, share = _most_one_sided(found)
    return (
        f"An expert of layer {best.layer} tells {best.language.share:.0%} of what there is to know of the language; "
        "an expert for each language would tell 100%. "
        f"Of which expert fires, the language tells {by_language:.0%} and the token itself {by_token:.0%}. "
        f"The most one-sided, expert {expert} of layer {place}, does {share:.0%} of its work in one language."
    )


def _most_one_sided(found: "Comparison") -> tuple[int, int, float]:
    """Layer, expert, and the share of the language that it does most of its work in."""
    sides = [
        (max(share, 1 - share), layer.layer, expert) for layer in found.layers for expert, share in enumerate(layer.second_share)
    ]
    share, layer_number, expert = max(sides)
    return layer_number, expert, share


def _counted_in(parameters: int) -> str:
    """Three digits: "824 k", "1.24 M", "30.5 B"."""
    size, unit = next((size, unit) for size, unit in ((1e9, "B"), (1e6, "M"), (1e3, "k"), (1, "")) if parameters >= size)
    return f"{parameters / size:.3g} {unit}"
