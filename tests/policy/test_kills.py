"""The kill switch: how a subject is written, and whom it concerns."""

import re

import pytest

from jevons.policy.kills import KINDS, hits, parse_subject
from jevons.policy.rules import Who

ALICE = Who(org="acme", team="web", key_id=1, key="alice", agent="coder", run="child")
RUNS = ("root", "child")
MODEL = "claude-opus[1m]"


@pytest.mark.parametrize(
    ("subject", "hit"),
    [
        ("everything", True),
        ("model:claude-opus[1m]", True),  # its own name, although it reads as a pattern
        ("model:claude-*", True),
        ("model:gpt-*", False),
        ("model:CLAUDE-*", False),
        ("org:acme", True),
        ("org:*", True),
        ("org:acm", False),
        ("team:acme/web", True),
        ("team:*/web", True),
        ("team:acme/api", False),
        ("team:other/web", False),
        ("key:alice", True),
        ("key:a?ice", True),
        ("key:bob", False),
        ("agent:alice/coder", True),
        ("agent:*/coder", True),
        ("agent:bob/coder", False),
        ("agent:alice/codex", False),
        ("run:alice/child", True),
        ("run:alice/root", True),  # with all runs it started
        ("run:*/root", True),
        ("run:bob/root", False),
        ("run:alice/other", False),
    ],
)
def test_whom_a_kill_concerns(subject: str, hit: bool) -> None:
    assert parse_subject(f"  {subject} ") == subject
    assert hits(subject, ALICE, RUNS, MODEL) is hit


def test_a_run_is_found_by_its_own_label_whatever_it_is() -> None:
    assert hits("run:alice/job[3]", ALICE, ("job[3]",), MODEL)
    assert hits("run:alice/a/b:c", ALICE, ("a/b:c",), MODEL)
    assert not hits("run:alice/*", ALICE, (), MODEL)


def test_a_model_that_is_not_known_yet_is_concerned_by_kills_of_all() -> None:
    assert hits("model:*", ALICE, (), "") and not hits("model:gpt-5", ALICE, (), "")


def test_everything_is_one_subject_however_it_is_written() -> None:
    assert parse_subject("everything:") == "everything"


@pytest.mark.parametrize(
    "text",
    ["", ":", "alice", "everything:alice", "user:alice", "key:", "Key:alice", "agent:coder", "run:r1", "team:web", "everythin"],
)
def test_what_is_no_subject_is_answered_with_how_one_is_written(text: str) -> None:
    with pytest.raises(ValueError, match=re.escape(f"{text!r} does not say whom to stop; write everything, key:NAME")):
        parse_subject(text)


def test_every_kind_is_told_of() -> None:
    with pytest.raises(ValueError, match="does not say") as error:
        parse_subject("?")
    assert all(kind in str(error.value) for kind in KINDS)
