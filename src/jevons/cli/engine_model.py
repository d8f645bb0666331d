"""Writes one setting into the operator's jevons.toml: `model` under `[engine]`. Everything else there stays, comments too.

The new text is read back before it is written: unless it says the same but for that setting, the lines to paste are given instead.
"""

import json
import re
import tomllib

from jevons.ledger.home import Home, write_private

HEAD = re.compile(r"^[ \t]*\[[ \t]*engine[ \t]*\][ \t]*(#.*)?$", re.MULTILINE)
NEXT = re.compile(r"^[ \t]*\[", re.MULTILINE)
MODEL = re.compile(r"^([ \t]*)model[ \t]*=.*$", re.MULTILINE)


def point_engine_at(home: Home, model: str) -> str:
    """Set `[engine] model` (empty = the packaged one). Returns what the operator has to paste where that cannot be done safely."""
    text = home.config.read_text(encoding="utf-8") if home.config.exists() else ""
    line = f"model = {json.dumps(model, ensure_ascii=False)}"
    written = _with(text, line)
    if not _same_but_model(text, written, model):
        return f"{home.config} is written in a way that is not changed safely. Put this into it yourself:\n\n[engine]\n{line}"
    write_private(home.config, written)
    return ""


def _with(text: str, line: str) -> str:
    head = HEAD.search(text)
    if head is None:
        return f"{text.rstrip()}\n\n[engine]\n{line}\n".lstrip()
    following = NEXT.search(text, head.end())
    end = following.start() if following else len(text)
    section = text[head.end() : end]
    found = MODEL.search(section)
    section = MODEL.sub(lambda old: old[1] + line, section, count=1) if found else f"\n{line}{section}"
    return text[: head.end()] + section + text[end:]


def _same_but_model(old: str, new: str, model: str) -> bool:
    try:
        before, after = tomllib.loads(old), tomllib.loads(new)
        before.setdefault("engine", {})["model"] = model
    except (tomllib.TOMLDecodeError, TypeError):
        return False
    return before == after
