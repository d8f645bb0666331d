"""Diffs made shorter: one line of context around each change instead of three, files that a program writes named with their size.

Comes in: what `git diff`, `git log -p`, `git show` or `diff -u` printed. Goes out: every line that was added or taken away in a file that people
write, and every line outside of hunks, word for word. The hunks' headers keep their numbers, so that a place is found in the file; such a diff
cannot be applied. Does not know: how long a text must be.
"""

import re
from fnmatch import fnmatchcase

from jevons.wire.trimming.crushed import Crushed

CONTEXT_LINES = 1
GENERATED = (
    "package-lock.json", "npm-shrinkwrap.json", "yarn.lock", "pnpm-lock.yaml", "bun.lock", "composer.lock", "Gemfile.lock", "Podfile.lock",
    "poetry.lock", "uv.lock", "pdm.lock", "Pipfile.lock", "Cargo.lock", "go.sum", "flake.lock", "gradle.lockfile", "packages.lock.json",
    "*.min.js", "*.min.css", "*.map", "*_pb2.py", "*.pb.go", "*.snap", "*.svg",
)  # fmt: skip
"""Names of files that a program writes: lock files, minified and generated code, recorded test output, drawings."""
_HUNK = re.compile(r"@@ -\d+(?:,(\d+))? \+\d+(?:,(\d+))? @@")
_FILE = re.compile(r'(?:\+\+\+|---) (?:[ab]/)?"?([^\t\n"]+)')


def crush_diff(text: str) -> Crushed | None:
    """None: there is no hunk of a unified diff in it. About 3 ms per 100 KB."""
    if "@@ -" not in text:
        return None
    work = _Crusher()
    lines = text.split("\n")
    place = 0
    while place < len(lines):
        place = work.outside(lines, place)
    work.end_file()
    if not work.hunks:
        return None
    left = ((work.context, "context lines"), (work.generated, "lines of generated files"))
    return Crushed("\n".join(work.out), tuple([(count, sort) for count, sort in left if count]))


class _Crusher:
    """One text, line by line."""

    def __init__(self) -> None:
        self.out: list[str] = []
        self.hunks = 0
        self.context = 0
        self.generated = 0
        self._skips = False
        self._added = self._taken = 0

    def outside(self, lines: list[str], place: int) -> int:
        """Take one line that is in no hunk, and the hunk that it begins. Returns where to go on."""
        line = lines[place]
        header = _HUNK.match(line)
        if header is None:
            if line.startswith(("diff ", "commit ", "--- ")):
                self.end_file()
            if line.startswith(("+++ ", "--- ")) and (name := _FILE.match(line)) is not None:
                self._skips = self._skips or _is_generated(name[1])
            self.out.append(line)
            return place + 1
        end = _end_of(lines, place + 1, int(header[1] or 1), int(header[2] or 1))
        if end is None:
            self.out.append(line)
            return place + 1
        self.hunks += 1
        body = lines[place + 1 : end]
        if self._skips:
            self._added += sum([one[:1] == "+" for one in body])
            self._taken += sum([one[:1] == "-" for one in body])
            self.generated += len(body) + 1
        else:
            near = _near(body)
            self.out.append(line)
            self.out += [one for one, keep in zip(body, near, strict=True) if keep]
            self.context += near.count(False)
        return end

    def end_file(self) -> None:
        """Say of a generated file how much changed."""
        if self._added or self._taken:
            self.out.append(f"[generated file: +{self._added:,} -{self._taken:,} lines]")
        self._skips, self._added, self._taken = False, 0, 0


def _end_of(lines: list[str], place: int, old: int, new: int) -> int | None:
    """Where the hunk ends that has so many lines on either side; None = it is not whole, and no hunk to us."""
    while old > 0 or new > 0:
        sign = lines[place][:1] if place < len(lines) else "?"
        if sign == "\\":
            place += 1
            continue
        if sign not in (" ", "+", "-", ""):
            return None
        old -= sign != "+"
        new -= sign != "-"
        place += 1
    return place + 1 if place < len(lines) and lines[place].startswith("\\") else place


def _near(body: list[str]) -> list[bool]:
    """For each line of a hunk: is it a change, or next to one?"""
    changed = [line[:1] not in (" ", "") for line in body]
    return [any(changed[max(0, place - CONTEXT_LINES) : place + CONTEXT_LINES + 1]) for place in range(len(body))]


def _is_generated(path: str) -> bool:
    name = path.rpartition("/")[2]
    return any(fnmatchcase(name, pattern) for pattern in GENERATED)
