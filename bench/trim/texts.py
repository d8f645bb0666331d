"""What an agent's tools print: recorded conversations, and what the commands of this machine print now.

Comes in: the data folder, this repository, the system's own logs. Goes out: conversations, each a list of messages (role, text, whether its tool
prints files). Does not know: trimming, prices.
"""

import random
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from bench.loops import trajectories

ROOT = Path(__file__).resolve().parents[2]
LOG_FOLDER = Path("/var/log")
CHARS_MAX = 30_000
"""What coding agents keep of a command's output (Claude Code: 30,000 characters)."""
SYSTEM_TOKENS = 4_000
TURNS = 30
SAID = "I look at what changed, and run the tests again to see whether it holds. " * 4


@dataclass(frozen=True)
class Message:
    """One message of a conversation."""

    role: str
    text: str
    sort: str = ""
    """Of a tool's output: what printed it."""
    file: bool = False
    """Its tool prints files, as they are."""


Conversation = list[Message]


def recorded() -> list[Conversation]:
    """tau-bench's airline agents, as they were."""
    return [
        [
            Message(
                one["role"],
                str(one.get("content") or "") + "".join(call["function"]["arguments"] for call in one.get("tool_calls") or ()),
                str(one.get("name") or ""),
            )
            for one in script.conversations[0]
        ]
        for script in trajectories.load()
    ]


def made(count: int, seed: int) -> list[Conversation]:
    """Conversations of a coding agent: a call and its output in turn, drawn from what the commands printed."""
    chance = random.Random(seed)
    printed = {sort: texts for sort, texts in commands().items() if texts}
    sorts, weights = zip(*[(sort, SHARES[sort]) for sort in printed], strict=True)
    found = []
    for number in range(count):
        messages = [
            Message("system", "word " * SYSTEM_TOKENS),
            Message("user", f"Task {number}: find out why it fails, and mend it."),
        ]
        for sort in chance.choices(sorts, weights, k=TURNS):
            text = chance.choice(printed[sort])
            messages += [Message("assistant", SAID), Message("tool", text, sort, file=sort == "files")]
        found.append(messages)
    return found


SHARES = {"files": 40, "diffs": 20, "tests": 15, "installers": 10, "system logs": 5, "json": 10}
"""Of a coding agent's calls: an assumption, in the order of what their logs show; files are left alone whatever their share."""


def commands() -> dict[str, list[str]]:
    """What they print on this machine, without a network. A source that is not here is left out."""
    print("asking git, pip and pytest ...", file=sys.stderr, flush=True)
    python = sys.executable
    commits = run("git", "log", "--format=%H", "-n", "60").split()
    tests = ["tests/core", "tests/policy/test_trim.py", "tests/wire/test_sse.py", "tests/policy/test_amounts.py"]
    logs = [path.read_text(errors="replace") for path in sorted(LOG_FOLDER.rglob("*.log")) if readable(path)]
    system = [piece for text in logs for piece in pieces(text)]
    unpacked = [text for text in system if "Unpacking " in text]
    return {
        "files": [path.read_text()[:CHARS_MAX] for path in sorted((ROOT / "src").rglob("*.py"))[:80]],
        "diffs": [clipped(run("git", "show", commit)) for commit in commits],
        "tests": [
            clipped(run(python, "-m", "pytest", "-p", "no:cacheprovider", *more, path)) for path in tests for more in ([], ["-v"])
        ],
        "installers": unpacked
        + [clipped(run(python, "-m", "pip", "install", "--dry-run", "--no-index", "-v", *named)) for named in installed()],
        "system logs": [text for text in system if text not in unpacked],
        "json": [
            clipped(run(python, "-m", "pip", "list", "--format", "json")),
            *pieces(run(python, "-m", "pip", "inspect"), 3),
            *[path.read_text()[:CHARS_MAX] for path in sorted((ROOT / "tests").rglob("*.json"))[:10]],
        ],
    }


def installed() -> list[list[str]]:
    """Packages that are here, some at a time, so that pip says of each that it is satisfied."""
    names = [
        line.split("==")[0]
        for line in run(sys.executable, "-m", "pip", "freeze", "--exclude-editable").split("\n")
        if "==" in line
    ]
    return [names[at : at + 20] for at in range(0, len(names), 20)]


def run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False, errors="replace")
    return done.stdout + done.stderr


def clipped(text: str) -> str:
    return text[:CHARS_MAX]


def pieces(text: str, most: int = 20) -> list[str]:
    """A long text as an agent reads it: so many characters at once."""
    return [text[at : at + CHARS_MAX] for at in range(0, min(len(text), most * CHARS_MAX), CHARS_MAX)]


def readable(path: Path) -> bool:
    try:
        return path.is_file() and path.stat().st_size > CHARS_MAX // 10 and bool(path.open("rb").read(1))
    except OSError:
        return False
