"""Students for tests: made by hand, sealed on a gateway's home, and put into its registry while it stands still."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import apsw

from jevons.learn import student_file
from jevons.learn.student import Tried
from jevons.learn.student_card import Card, Measured, Provenance, Scope, card_text
from jevons.learn.student_table import Table
from jevons.ledger.capture import FILE, SECRET, Captured
from jevons.ledger.home import Home
from tests.running import Jevons

SURE = tuple([Tried(0.9, harm=False)] * 400)
"""Trials without a mistake: the promise holds from the start."""


def card(templates: Sequence[str] = ("",)) -> str:
    made = Provenance("school", ("gpt-4o",), ((1, 2),), 1, 2, 2, {}, 2, 0, 0)
    return card_text(Card("table", Scope(tuple(templates)), made, Measured(0, 0, 0, 0.05, 0.05, None, 0.0, 0.0), 2, 0.1, 0))


def enrol(
    jevons: Jevons,
    name: str,
    answers: Mapping[str, str],
    *,
    org: str = "school",
    version: int = 1,
    state: str = "serving",
    trial: Sequence[Tried] = SURE,
    templates: Sequence[str] = ("",),
) -> None:
    """A table of answers as a student. The gateway must not be running; its ledger must be there. Its score is 0.75 for each: asked twice before."""
    home = Home(jevons.home)
    captured = Captured(home.path / FILE, home.secret(SECRET))
    try:
        pairs = [(question, answer) for question, answer in answers.items() for _ in range(8)]
        student_file.save(
            home.path / student_file.FOLDER, name, version, Table.made(pairs), captured.sealer(org, make=True), trial
        )
    finally:
        captured.close()
    with apsw.Connection(str(jevons.ledger)) as db:
        db.execute(
            "INSERT INTO students (name, version, org, state, card, created_ms) VALUES (?, ?, ?, ?, ?, ?)",
            (name, version, org, state, card(templates), version),
        )


def state_of(jevons: Jevons, name: str) -> dict[int, str]:
    """version -> state"""
    with apsw.Connection(str(jevons.ledger), flags=apsw.SQLITE_OPEN_READONLY) as db:
        return dict(db.execute("SELECT version, state FROM students WHERE name = ?", (name,)).fetchall())


def labels(jevons: Jevons) -> list[dict[str, Any]]:
    names = ("request_id", "org", "route", "model", "reference", "good", "harm", "weight", "score", "shown")
    with apsw.Connection(str(jevons.ledger), flags=apsw.SQLITE_OPEN_READONLY) as db:
        return [dict(zip(names, row, strict=True)) for row in db.execute(f"SELECT {', '.join(names)} FROM labels ORDER BY id")]


def scripted(reply: str) -> dict[str, str]:
    """What the teacher is to answer, told where no student reads it."""
    return {"x-stand-in-script": json.dumps({"reply": reply})}
