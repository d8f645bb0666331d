"""Limits: each has one name, one value, and somebody who keeps to it."""

import ast
import re
from pathlib import Path

from jevons.core import limits


def test_each_limit_is_said_once_and_kept_by_somebody() -> None:
    """A name that is said twice would be the later value for both."""
    here = Path(limits.__file__)
    said = [node.targets[0] for node in ast.parse(here.read_text()).body if isinstance(node, ast.Assign)]
    names = [target.id for target in said if isinstance(target, ast.Name)]
    assert sorted(names) == sorted(set(names))
    kept = {
        word
        for path in here.parent.parent.rglob("*.py")
        if path != here
        for word in re.findall(r"[A-Z][A-Z_0-9]+", path.read_text())
    }
    assert set(names) <= kept
