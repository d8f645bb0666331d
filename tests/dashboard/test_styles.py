"""Pages allow the styles that they name by their hashes, and no other: what an element says of itself is thrown away by the browser."""

import ast
import re
from pathlib import Path

import jevons

PACKAGE = Path(jevons.__file__).parent
BY_ITSELF = re.compile(r"""\bstyle\s*=\s*["']""")


def written(file: Path) -> list[str]:
    """What it may send: text of a template, strings of a module, those between the values of an f-string too."""
    text = file.read_text("utf-8")
    if file.suffix != ".py":
        return [text]
    return [node.value for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Constant) and isinstance(node.value, str)]


def test_no_picture_and_no_page_styles_an_element_by_itself() -> None:
    files = [file for kind in ("*.py", "*.html", "*.js") for file in PACKAGE.rglob(kind) if "vendor" not in file.parts]
    assert sum(file.name.endswith("picture.py") for file in files) > 3
    assert [file.name for file in files if any(BY_ITSELF.search(text) for text in written(file))] == []
