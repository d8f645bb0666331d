"""The kinds of import by their names on the command line, and where the logs of local agents lie.

Comes in: a kind's name, paths, the environment. Goes out: its reader, and the files to read. Does not know: prices, the ledger.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from jevons.core.limits import SESSIONS_COUNTED_MAX
from jevons.imports import anthropic, claude_code, codex, focus, litellm, openai, openrouter, traces
from jevons.imports.reading import SourceFile, Unreadable
from jevons.imports.record import Record, Row


class Options(NamedTuple):
    """What the operator adds to what files say."""

    team_from_project: bool = False
    trace: traces.Added = traces.Added()


NO_OPTIONS = Options()


class Kind(NamedTuple):
    """One kind of import."""

    name: str
    what: str
    """For people: which files."""
    read: Callable[[SourceFile, Options], Iterator[Row]]
    resume: Callable[[SourceFile, int, int], Iterator[Row]] | None = None
    """Reads from an offset on, where a file is lines that each have an id."""
    sessions: bool = False
    """Logs that grow while an agent works."""
    counted: Literal["", "rows", "buckets"] = ""
    """Rows have no id, and are told apart by their number in the file: equal ones too, or (of buckets, which pages of an export may repeat) only
    those whose labels are the same and whose sums differ."""

    def source_of(self, record: Record) -> str:
        """What entries are marked with. Usage and costs of one provider are apart: both of the same days would count twice."""
        if self.name in PROVIDERS:
            return f"{self.name}-{'usage' if record.usage is not None else 'costs'}"
        return self.name


PROVIDERS = ("openai", "anthropic")
"""Kinds whose provider exports usage without costs, and costs without usage."""

KINDS: Mapping[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind(
            claude_code.SOURCE,
            "Claude Code's session logs (JSONL); without PATH: those of this user",
            lambda file, options: claude_code.read(file, team_from_project=options.team_from_project),
            sessions=True,
        ),
        Kind(
            codex.SOURCE,
            "Codex' session logs (JSONL); without PATH: those of this user",
            lambda file, options: codex.read(file),
            sessions=True,
        ),
        Kind(
            litellm.SOURCE,
            "LiteLLM's spend logs (JSON, JSONL, CSV)",
            lambda file, options: litellm.read(file),
            resume=litellm.read,
        ),
        Kind(
            openrouter.SOURCE, "OpenRouter's activity (CSV, JSON)", lambda file, options: openrouter.read(file), counted="buckets"
        ),
        Kind("openai", "OpenAI's usage or costs (JSON pages, CSV)", lambda file, options: openai.read(file), counted="buckets"),
        Kind(
            "anthropic",
            "Anthropic's usage or costs (JSON pages, the Console's CSV)",
            lambda file, options: anthropic.read(file),
            counted="buckets",
        ),
        Kind(focus.SOURCE, "FOCUS 1.0 to 1.4 (CSV)", lambda file, options: focus.read(file), counted="rows"),
        Kind(
            traces.SOURCE,
            "traces of Azure and Mooncake, OpenRouter's weekly sums",
            lambda file, options: traces.read(file, options.trace),
            counted="rows",
        ),
    )
}


def local_folders(kind: str, environ: Mapping[str, str] = os.environ) -> list[Path]:
    """Where an agent of this user keeps its session logs; those folders that are there."""
    home = Path(environ.get("HOME") or Path.home())
    if kind == claude_code.SOURCE:
        told = [Path(text).expanduser() / "projects" for text in environ.get("CLAUDE_CONFIG_DIR", "").split(",") if text.strip()]
        config = Path(environ.get("XDG_CONFIG_HOME") or home / ".config")
        folders = told or [config / "claude" / "projects", home / ".claude" / "projects"]
    else:
        codex_home = Path(environ.get("CODEX_HOME") or home / ".codex").expanduser()
        folders = [codex_home / "sessions", codex_home / "archived_sessions"]
    return [folder for folder in folders if folder.is_dir()]


def files_of(paths: Sequence[Path], kind: Kind) -> list[Path]:
    """The files under these paths; session logs oldest first, so that copies in later ones are known. Raises Unreadable for a path that is not there."""
    found: dict[Path, None] = {}
    for path in paths:
        if path.is_dir():
            pattern = "*.jsonl" if kind.sessions else "*"
            found |= {file: None for file in sorted(path.rglob(pattern)) if file.is_file() and not file.name.startswith(".")}
        elif path.exists():
            found[path] = None
        else:
            raise Unreadable(f"{path} is not there.")
    return sorted(found, key=lambda file: (_written_ns(file), str(file))) if kind.sessions else list(found)


def _written_ns(file: Path) -> int:
    """When it was last written to; 0 if it is gone."""
    try:
        return file.stat().st_mtime_ns
    except OSError:
        return 0


def count_sessions(kind: str, environ: Mapping[str, str] = os.environ) -> int:
    """How many session logs of an agent this user has, at most SESSIONS_COUNTED_MAX. Looks at names alone; subagents' files are not counted."""
    counted = 0
    for folder in local_folders(kind, environ):
        for _, _, names in os.walk(folder):
            counted += sum(name.endswith(".jsonl") and not name.startswith("agent-") for name in names)
            if counted >= SESSIONS_COUNTED_MAX:
                return SESSIONS_COUNTED_MAX
    return counted
