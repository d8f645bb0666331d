"""One run of one agent: where it lives, what it is told, what it did.

In: an `Agent` (how it is installed and started) and a `Job` (the gateway's address, a key, how much work). Out: a `Ran`. The agent gets a
home of its own and no variable but PATH, where the gateway is, and a proxy that refuses: whatever else it asks of the world (updates,
telemetry, price lists) fails at once, here as everywhere.
"""

import json
import os
import re
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tests.agents.tap import Exchange, Tap

RUN_TIMEOUT_S = 90
"""An agent that has not ended by then never ends by itself."""
DONE = "The work is done."
"""What the model says at the end of a job."""
NO_WAY_OUT = {"HTTPS_PROXY": "http://127.0.0.1:9", "NO_PROXY": "127.0.0.1"}
MESSY = re.compile(r"\x1b\[[0-9;]*m|\s+")


@dataclass(frozen=True)
class Job:
    """What an agent is to do, and where. `url` has no `/v1`; `steps`: how often its model asks for a tool before it is done."""

    url: str
    key: str
    prompt: str
    steps: int


@dataclass(frozen=True)
class Launch:
    """How an agent is started on a job: all that it is configured with."""

    command: list[str]
    environ: dict[str, str] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    """In its home."""
    stdin: str = ""
    answers: list[dict[str, Any]] = field(default_factory=list)
    """Scripts for the stand-in's queue, for an agent whose model needs more than what stands in the prompt."""


@dataclass(frozen=True)
class Agent:
    """A real agent."""

    name: str
    version: str
    install: Callable[[], Path]
    """Its program, installed if need be. Raises Unavailable."""
    launch: Callable[[Path, Job], Launch]
    run_source: str
    """What its run is known by, as the ledger names it: a header, or "inferred"."""
    budget_usd: str
    """Pays for some steps of a long job, not for all. One request of a large agent costs more than a whole job of a small one."""
    tool: str = ""
    arguments: Callable[[int], dict[str, Any]] = lambda _step: {}
    """Of a tool of its own that does no harm: the step's arguments."""
    goes_on: int = 0
    """So many calls for other work it may still make once one was denied."""
    delegate: Callable[[str], dict[str, Any]] | None = None
    """The script of a model that hands this prompt to a subagent."""

    def prompt(self, steps: int) -> str:
        """What the user says for a job of so many tool calls, one after another."""
        script: dict[str, Any] = {"reply": DONE}
        for step in reversed(range(steps)):
            script = {"tools": [{"name": self.tool, "arguments": self.arguments(step)}], "then": script}
        return scripted(script)


@dataclass(frozen=True)
class Ran:
    """What became of it. `status`: the process' exit status."""

    status: int
    output: str
    """Standard output and error, colours and line breaks taken out."""
    exchanges: list[Exchange]
    ended_s: float

    @property
    def calls(self) -> list[Exchange]:
        """What it asked of models, in order."""
        return [one for one in self.exchanges if one.is_model_call]

    @property
    def first_denial(self) -> int:
        """Index in `calls`; their number if none was denied."""
        return next((at for at, one in enumerate(self.calls) if one.is_denied), len(self.calls))

    @property
    def denial(self) -> Exchange:
        return self.calls[self.first_denial]

    @property
    def after_denial(self) -> list[Exchange]:
        """All that it still sent, to whatever door, once it had been denied."""
        return [one for one in self.exchanges if one.at_s > self.denial.at_s]

    @property
    def seconds_to_end(self) -> float:
        """From the first denied request to the end of the process."""
        return self.ended_s - self.denial.at_s


def scripted(script: dict[str, Any]) -> str:
    """A user's text with a script for the stand-in (tests/provider/script.py)."""
    return "Do what is to be done. @@" + json.dumps(script)


def run_agent(agent: Agent, program: Path, job: Job, folder: Path, queue: Callable[..., None]) -> Ran:
    """Runs it to its end, in `folder`. Raises subprocess.TimeoutExpired if it does not end by itself."""
    home, work = folder / "home", folder / "work"
    make_work(work)
    with Tap(job.url) as tap:
        launch = agent.launch(program, replace(job, url=tap.url))
        for name, text in launch.files.items():
            (home / name).parent.mkdir(parents=True, exist_ok=True)
            (home / name).write_text(text)
        queue(*launch.answers)
        done = subprocess.run(
            launch.command,
            cwd=work,
            env={"HOME": str(home), "PATH": os.environ["PATH"], **NO_WAY_OUT, **launch.environ},
            input=launch.stdin.encode(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=RUN_TIMEOUT_S,
            check=False,
        )
        ended_s = time.monotonic()
    return Ran(done.returncode, readable(done.stdout.decode(errors="replace")), tap.exchanges, ended_s)


def readable(text: str) -> str:
    """What a person reads, however it is coloured and wrapped."""
    return MESSY.sub(" ", text)


def make_work(folder: Path) -> None:
    """A small repository to work in."""
    folder.mkdir()
    (folder.parent / "home").mkdir()
    (folder / "words.txt").write_text("zero\n")
    git = ["git", "-c", "user.name=A", "-c", "user.email=a@localhost"]
    for arguments in (["init", "-q"], ["add", "words.txt"], ["commit", "-q", "-m", "Words"]):
        subprocess.run([*git, *arguments], cwd=folder, check=True, env={"PATH": os.environ["PATH"], "HOME": str(folder)})
