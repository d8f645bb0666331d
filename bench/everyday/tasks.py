"""Three everyday tasks with known answers: a package description cut to one line, a sentence put into JSON, a customer's question sorted.

Comes in: the data folder, the descriptions of the packages that this machine has installed. Goes out: rows, each a question as a Chat request
without a model, and what the right answer is; and how good an answer to it is. Does not know: models, gateways.
"""

import csv
import json
import os
import random
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from jevons.embed import Embedder

ROOT = Path(__file__).parents[2]
DPKG = Path("/var/lib/dpkg/status")
SHORT_LABELS = (
    "activate_my_card", "age_limit", "change_pin", "exchange_rate", "lost_or_stolen_card", "terminate_account",
    "transfer_timing", "verify_my_identity",
)  # fmt: skip
"""Intents that a person tells apart at once."""
SUMMARY_GOOD = 0.5
"""Cosine to the maintainer's line, or ROUGE-L with it, from which a summary passes."""
DESCRIPTION_CHARS = range(150, 900)


class MissingError(Exception):
    """What is not there, and how it is brought."""


class Row(NamedTuple):
    """One question of a task."""

    task: str
    body: dict[str, Any]
    """Chat Completions, but for the model."""
    right: str


class Task(NamedTuple):
    """Rows of one kind, in an order drawn by the seed."""

    name: str
    title: str
    rows: list[Row]


def load(seed: int, *, schema: bool = False) -> list[Task]:
    """`schema`: JSON is asked for with its schema, which llama.cpp makes a grammar of. Raises MissingError."""
    folder = Path(os.environ.get("JEVONS_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        raise MissingError(f"{folder} is not there. Name the data folder: JEVONS_DATA=…")
    draw = random.Random(seed)
    tasks = [
        Task("summaries", "summarisation: Debian package descriptions to one line", list(_summaries(draw))),
        Task("json", "data formatting: sentences of price changes to JSON", list(_json(folder, draw, schema=schema))),
        Task("intents_8", "customer service: banking77, 8 intents", list(_intents(folder, SHORT_LABELS, draw))),
        Task("intents_77", "customer service: banking77, all 77 intents", list(_intents(folder, (), draw))),
    ]
    return [task for task in tasks if task.rows]


def quality(row: Row, text: str, embedder: Embedder) -> float:
    """In [0, 1]. Summaries: the mean of ROUGE-L (F1) and the cosine; JSON: share of members that are exactly right; intents: right or not."""
    if row.task == "summaries":
        return (rouge_l(text, row.right) + cosine(text, row.right, embedder)) / 2
    if row.task == "json":
        said, right = read_json(text), json.loads(row.right)
        return sum(name in said and said[name] == value for name, value in right.items()) / len(right)
    return float(said_label(text) == row.right)


def good(row: Row, text: str, embedder: Embedder) -> bool:
    """Would one take it as it is? Every member right, the right intent; a summary: close to the human's by words or by meaning."""
    if row.task == "summaries":
        return max(rouge_l(text, row.right), cosine(text, row.right, embedder)) >= SUMMARY_GOOD
    return quality(row, text, embedder) == 1.0


def rouge_l(text: str, right: str) -> float:
    """F1 of the longest common subsequence of words (Lin 2004), lower case, no punctuation."""
    a, b = _words(text), _words(right)
    before = [0] * (len(b) + 1)
    for word in a:
        row = [0]
        for place, other in enumerate(b):
            row.append(before[place] + 1 if word == other else max(row[-1], before[place + 1]))
        before = row
    return 2 * before[-1] / (len(a) + len(b)) if a and b else 0.0


def cosine(text: str, right: str, embedder: Embedder) -> float:
    return max(0.0, float(embedder.vector(text) @ embedder.vector(right)))


def read_json(text: str) -> dict[str, Any]:
    """The first object in a text; {} if there is none."""
    start = text.find("{")
    try:
        found, _ = json.JSONDecoder().raw_decode(text, start) if start >= 0 else ({}, 0)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def said_label(text: str) -> str:
    """A label that a text is, or holds in JSON."""
    said = read_json(text).get("intent") if "{" in text else text.strip().splitlines()[0] if text.strip() else ""
    return str(said).strip().strip("\"'`.").lower()


def _words(text: str) -> list[str]:
    return re.findall(r"[a-z0-9+#]+", text.lower())


def _chat(system: str, shots: Sequence[tuple[str, str]], question: str, tokens: int) -> dict[str, Any]:
    turns = [({"role": "user", "content": asked}, {"role": "assistant", "content": said}) for asked, said in shots]
    told = [message for turn in turns for message in turn]
    messages = [{"role": "system", "content": system}, *told, {"role": "user", "content": question}]
    return {"messages": messages, "max_tokens": tokens, "temperature": 0}


def _summaries(draw: random.Random) -> Iterator[Row]:
    """Synopsis and description of each package that is installed; nothing where dpkg is not."""
    if not DPKG.is_file():
        return
    stanzas = DPKG.read_text(encoding="utf-8").split("\n\n")
    found: dict[str, str] = {}
    for stanza in stanzas:
        match = re.search(r"^Description: (.+)\n((?: .*\n?)+)", stanza, re.MULTILINE)
        if match is None:
            continue
        text = " ".join(match[2].split("\n .\n")[0].split())
        synopsis = re.sub(r"\s*\((?:.*)\)$|\s+-+\s+.*$", "", match[1]).strip()
        if len(text) in DESCRIPTION_CHARS and len(synopsis.split()) > 2:
            found.setdefault(text, synopsis)
    pairs = sorted(found.items())
    draw.shuffle(pairs)
    system = "Say in one short line of three to eight words what the software package is. No full sentence."
    shots = [(text, synopsis) for text, synopsis in pairs[:3]]
    for text, synopsis in pairs[3:]:
        yield Row("summaries", _chat(system, shots, text, 24), synopsis)


_SAYINGS = (
    "From {date} on, {provider} sells {model} at {input} dollars per million input tokens and {output} per million output tokens.",
    "{provider} announced on {date}: {model} costs ${input} (input) and ${output} (output) per million tokens.",
    "Price note, {date}. Model {model} of {provider}; a million tokens in: ${input}, a million tokens out: ${output}.",
    "You pay {provider} ${output} for a million tokens that {model} writes and ${input} for a million that it reads, as of {date}.",
)
_MEMBERS = ("date", "provider", "model", "input", "output")


def _json(folder: Path, draw: random.Random, *, schema: bool) -> Iterator[Row]:
    """Price changes, each said in two of four ways."""
    with (folder / "price_history.csv").open(encoding="utf-8", newline="") as file:
        prices = [_price(row) for row in csv.DictReader(file) if row["input_usd_per_mtok"] and row["output_usd_per_mtok"]]
    said = [(row, saying) for row in prices for saying in draw.sample(_SAYINGS, 2)]
    draw.shuffle(said)
    system = (
        "Put what the sentence says into JSON: date, provider, model, input and output (dollars per million tokens, numbers)."
    )
    number, text = {"type": "number"}, {"type": "string"}
    shape = {
        "type": "object",
        "properties": {"date": text, "provider": text, "model": text, "input": number, "output": number},
        "required": list(_MEMBERS),
        "additionalProperties": False,
    }
    format_ = {"type": "json_schema", "json_schema": {"name": "price", "strict": True, "schema": shape}}
    shown = draw.sample(prices, 2 * len(_SAYINGS))
    shots = [(saying.format(**row), json.dumps(row)) for row, saying in zip(shown, 2 * _SAYINGS, strict=True)]
    for row, saying in said:
        if row not in shown:
            body = _chat(system, shots, saying.format(**row), 90)
            yield Row("json", body | ({"response_format": format_} if schema else {}), json.dumps(row))


def _price(row: dict[str, str]) -> dict[str, Any]:
    numbers = {name: float(row[f"{name}_usd_per_mtok"]) for name in ("input", "output")}
    whole = {name: int(value) if value == int(value) else value for name, value in numbers.items()}
    return {"date": row["date"], "provider": row["provider"], "model": row["model"], **whole}


def _intents(folder: Path, labels: Sequence[str], draw: random.Random) -> Iterator[Row]:
    """Public training and test rows; of each intent some stand in the prompt as examples, and are asked no more."""
    rows = []
    for part in ("train", "test"):
        with (folder / "intents" / f"banking77_{part}.csv").open(encoding="utf-8", newline="") as file:
            rows += [(row["text"].strip(), row["category"].lower()) for row in csv.DictReader(file)]
    chosen = sorted(labels or {label for _, label in rows})
    rows = [(text, label) for text, label in rows if label in chosen]
    draw.shuffle(rows)
    name, each = ("intents_8", 4) if labels else ("intents_77", 1)
    shots = [pair for label in chosen for pair in [row for row in rows if row[1] == label][:each]]
    draw.shuffle(shots)
    listed = ": " + ", ".join(chosen) if labels else ""
    system = f"You sort the questions of a bank's customers. Answer with one of the intents, nothing else{listed}."
    for text, label in rows:
        if (text, label) not in shots:
            yield Row(name, _chat(system, shots, text, 16), label)
