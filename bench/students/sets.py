"""Three tasks as streams of requests with right answers: banking77 and clinc150 (one of n intents), addresses (JSON out of a line of text).

Comes in: the data folder, and the source package of usaddress (bench/students/requirements.txt). Goes out: (question, right answer) in an order drawn
by a seed, and a teacher: right but for a share of wrong answers, which belong to a request and never change."""

import csv
import json
import os
import random
import tarfile
import xml.etree.ElementTree as Xml
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "bench/out/students/usaddress-0.5.16.tar.gz"
LABELLED = ("labeled.xml", "synthetic_osm_data_xml.xml")
FIELDS = ("number", "street", "unit", "city", "state", "zip")
_TAGS = {"AddressNumber": "number", "PlaceName": "city", "StateName": "state", "ZipCode": "zip"}
NOISE = 0.01
"""Share of the teacher's answers that are wrong."""
STRANGE = "out_of_scope"


class MissingError(Exception):
    """What is not there, and how it is brought."""


@dataclass(frozen=True)
class Row:
    """One request: what is asked, what is right, what the teacher says."""

    question: str
    right: str
    said: str


@dataclass(frozen=True)
class Task:
    """A set, with the instructions that its requests share."""

    name: str
    system: str
    rows: tuple[tuple[str, str], ...]
    """(question, right answer)"""
    strange: tuple[tuple[str, str], ...] = ()
    """Of a class that the rows do not have."""

    def stream(self, seed: int, most: int, noise: float = NOISE) -> list[Row]:
        """The first `most` in an order of their own; no row twice."""
        chance = random.Random(seed)
        rows = list(self.rows)
        chance.shuffle(rows)
        return taught(rows[:most], self.answers, noise, chance)

    @property
    def answers(self) -> tuple[str, ...]:
        return tuple(sorted({right for _, right in self.rows}))


def taught(rows: Sequence[tuple[str, str]], answers: Sequence[str], noise: float, chance: random.Random) -> list[Row]:
    return [
        Row(question, right, _wrong(right, answers, chance) if chance.random() < noise else right) for question, right in rows
    ]


def load() -> dict[str, Task]:
    """Raises MissingError."""
    folder = Path(os.environ.get("JEVONS_DATA", ROOT.parent / "shared" / "data")) / "intents"
    if not folder.is_dir():
        raise MissingError(f"{folder} is not there. Name the data folder: JEVONS_DATA=…")
    if not PACKAGE.is_file():
        raise MissingError(f"{PACKAGE} is not there; `make bench-students` fetches it.")
    clinc = json.loads((folder / "clinc150_data_full.json").read_text(encoding="utf-8"))
    tasks = (
        Task("banking77", "Classify the customer's message. Answer with the intent only.", tuple(_banking(folder))),
        Task(
            "clinc150",
            "Which intent is it? Answer with the intent only.",
            tuple([(text, label) for part in ("train", "val", "test") for text, label in clinc[part]]),
            tuple([(text, STRANGE) for part in ("oos_train", "oos_val", "oos_test") for text, _ in clinc[part]]),
        ),
        Task(
            "addresses", f"Extract the address as JSON with {', '.join(FIELDS)}; null where it is not said.", tuple(_addresses())
        ),
    )
    return {task.name: task for task in tasks}


def _banking(folder: Path) -> Iterator[tuple[str, str]]:
    for part in ("train", "test"):
        with (folder / f"banking77_{part}.csv").open(encoding="utf-8", newline="") as file:
            yield from ((row["text"], row["category"]) for row in csv.DictReader(file))


def _addresses() -> Iterator[tuple[str, str]]:
    """Lines whose every part has a field; each line once."""
    seen: set[str] = set()
    with tarfile.open(PACKAGE) as package:
        for name in LABELLED:
            file = package.extractfile(f"usaddress-0.5.16/training/{name}")
            assert file is not None
            for line in Xml.parse(file).getroot():
                text, fields = _address(line)
                if fields is not None and text not in seen:
                    seen.add(text)
                    yield text, json.dumps(fields)


def _address(line: Xml.Element) -> tuple[str, dict[str, str | None] | None]:
    """(text, its fields); None for one with a part that no field takes."""
    found: dict[str, list[str]] = {}
    text = "".join(line.itertext()).strip()
    for part in line:
        field = _field(part.tag)
        if field is None or part.text is None:
            return text, None
        found.setdefault(field, []).append(part.text)
    fields = {field: " ".join(found[field]).rstrip(",;") if field in found else None for field in FIELDS}
    return text, fields if all(value is None or value in text for value in fields.values()) else None


def _field(tag: str) -> str | None:
    if tag.startswith("StreetName"):
        return "street"
    if tag.startswith(("Occupancy", "Subaddress")):
        return "unit"
    return _TAGS.get(tag)


def _wrong(right: str, answers: Sequence[str], chance: random.Random) -> str:
    """Another class; of an address the same with one field lost, or said to be another's."""
    if not right.startswith("{"):
        return chance.choice([answer for answer in answers if answer != right])
    fields = json.loads(right)
    said = [field for field in FIELDS if fields[field] is not None]
    lost, other = chance.choice(said), chance.choice(FIELDS)
    fields[lost], fields[other] = (None, fields[lost]) if other != lost else (None, None)
    return json.dumps(fields)
