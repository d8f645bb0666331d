"""The locks: every package at one version with hashes, from no named place, and in step with pyproject.toml and each other."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
AGENTS = tuple(f"agents/{source.stem}" for source in sorted((ROOT / "requirements" / "agents").glob("*.in")))
LOCKS = ("run", "test", "engine", "semantic", "npm", *AGENTS)


def locked(name: str) -> dict[str, set[str]]:
    """Package -> its versions (several only under different markers) in requirements/NAME.txt; asserts that each has hashes."""
    text = (ROOT / "requirements" / f"{name}.txt").read_text()
    versions: dict[str, set[str]] = {}
    for block in re.split(r"\n(?=[a-z0-9])", "\n".join(line for line in text.splitlines() if not line.startswith("#")).strip()):
        match = re.match(r"([a-z0-9-]+)==(\S+)", block)
        assert match, f"not a pinned package: {block.splitlines()[0]}"
        assert "--hash=sha256:" in block, f"no hash: {match[1]}"
        versions.setdefault(match[1], set()).add(match[2])
    return versions


def normal(requirement: str) -> str:
    """A requirement's package name as an index spells it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", re.split(r"[ \[;<>=~!]", requirement, maxsplit=1)[0]).lower()


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_names_no_place(name: str) -> None:
    text = (ROOT / "requirements" / f"{name}.txt").read_text()
    assert not re.search(r"://|index-url|find-links| @ |^-", text, re.MULTILINE)


def test_all_that_pyproject_asks_for_is_locked() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert {normal(wanted) for wanted in project["dependencies"]} <= locked("run").keys()
    assert {normal(wanted) for wanted in project["optional-dependencies"]["engine"]} <= locked("engine").keys()
    assert {normal(wanted) for wanted in project["optional-dependencies"]["semantic"]} <= locked("semantic").keys()


def test_the_engine_and_the_embedder_take_the_same_numpy() -> None:
    assert locked("engine")["numpy"] == locked("semantic")["numpy"] == locked("test")["numpy"]
    for name in ("numba", "llvmlite"):
        assert locked("semantic")[name] == locked("test")[name]


@pytest.mark.parametrize("name", LOCKS)
def test_all_that_is_asked_for_is_locked(name: str) -> None:
    source = ROOT / "requirements" / f"{'build' if name == 'run' else name}.in"
    wanted = {normal(line) for line in source.read_text().splitlines() if not line.startswith("#")}
    assert wanted
    assert wanted <= locked(name).keys()


def test_the_test_tools_change_no_version_that_is_served() -> None:
    served, tools = locked("run"), locked("test")
    assert {name: tools[name] for name in served.keys() & tools.keys()} == {
        name: served[name] for name in served.keys() & tools.keys()
    }
