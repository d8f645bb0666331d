"""Which models and tools a caller may use. Pure: tables in, the first denial out.

Comes in: `[[access]]` tables, whom a call is for, the name of a model or tool, a call with its arguments. Goes out: which table denies
it and by which pattern. Each table judges by itself, and each must allow; in a table a denial wins, and an empty allow-list allows all.
Does not know: dialects, where a tool stands in a request, what is done about a denial.

A pattern of arguments (`Bash(*rm -rf*)`) is a fence and no wall: the same thing can be done in other words.
"""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from fnmatch import fnmatchcase

import msgspec

from jevons.policy.rules import Mode, Who, matches

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_ARGUED = re.compile(r"([^()]*)\((.*)\)", re.DOTALL)
_SET = re.compile(r"\[!?\]?[^\]]*\]")


class Access(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One `[[access]]` table: for whom, and what they may use. Raises ValueError that names the table and what is wrong with it."""

    name: str
    mode: Mode = "enforce"
    org: str = "*"
    """Shell patterns: the table holds for callers that match all of them."""
    team: str = "*"
    key: str = "*"
    agent: str = "*"
    models_allow: tuple[str, ...] = ()
    """Shell patterns of model names; empty = all."""
    models_deny: tuple[str, ...] = ()
    tools_allow: tuple[str, ...] = ()
    """Shell patterns of tool names, without regard to case; empty = all."""
    tools_deny: tuple[str, ...] = ()
    """As `tools_allow`; or `Name(pattern)`: calls of the tool in whose arguments a text matches the pattern."""

    def __post_init__(self) -> None:
        try:
            _check(self)
        except ValueError as error:
            raise ValueError(f"access {self.name!r}: {error}") from None

    @property
    def of_tools(self) -> bool:
        return bool(self.tools_allow or self.tools_deny)


class Denied(msgspec.Struct, frozen=True):
    """Why something may not be used."""

    access: str
    """Name of the table."""
    enforced: bool
    """False: observed. It goes on, and is recorded."""
    pattern: str = ""
    """The pattern that denies it; "" = no pattern of the allow-list matches."""


def denying(tables: Sequence[Access]) -> tuple[Access, ...]:
    """What of the tables holds for the name under which a model is called upstream: an alias, or `upstream/model`, is no way around a
    denial, and an allow-list names what may be asked for."""
    return tuple([msgspec.structs.replace(table, models_allow=()) for table in tables if table.models_deny])


def judges_tools(tables: Sequence[Access], who: Who) -> bool:
    """Is there anything to ask of this caller's tools and calls at all?"""
    return any(table.of_tools and _holds(table, who) for table in tables)


def judge_model(tables: Sequence[Access], who: Who, model: str) -> Denied | None:
    """May the caller use the model? An enforced denial comes before an observed one."""
    return _judge(tables, who, lambda table: _denial(matches, model, table.models_allow, table.models_deny))


def judge_tool(tables: Sequence[Access], who: Who, name: str) -> Denied | None:
    """May the caller offer the tool to a model? What a call of it will say is not known yet."""
    return _judge(tables, who, lambda table: _denial(_is_tool, name, table.tools_allow, table.tools_deny))


def judge_call(tables: Sequence[Access], who: Who, name: str, arguments: str) -> Denied | None:
    """May the model's call reach the caller? `arguments` as the model wrote them: JSON, or free text."""

    def denial(table: Access) -> str | None:
        for pattern in table.tools_deny:
            argued = _ARGUED.fullmatch(pattern)
            if argued and _is_tool(name, argued[1]) and any(fnmatchcase(text, argued[2]) for text in _texts(arguments)):
                return pattern
        return _denial(_is_tool, name, table.tools_allow, table.tools_deny)

    return _judge(tables, who, denial)


def _judge(tables: Sequence[Access], who: Who, denial: Callable[[Access], str | None]) -> Denied | None:
    observed = None
    for table in tables:
        pattern = denial(table) if _holds(table, who) else None
        if pattern is None:
            continue
        if table.mode == "enforce":
            return Denied(table.name, True, pattern)
        observed = observed or Denied(table.name, False, pattern)
    return observed


def _holds(table: Access, who: Who) -> bool:
    pairs = ((table.org, who.org), (table.team, who.team), (table.key, who.key), (table.agent, who.agent))
    return table.mode != "off" and all(matches(name, pattern) for pattern, name in pairs)


def _denial(matches: Callable[[str, str], bool], name: str, allow: tuple[str, ...], deny: tuple[str, ...]) -> str | None:
    """The pattern that denies the name, "" if none allows it, None if it may be used."""
    denying = next((pattern for pattern in deny if matches(name, pattern)), None)
    if denying is not None or not allow:
        return denying
    return None if any(matches(name, pattern) for pattern in allow) else ""


def _is_tool(name: str, pattern: str) -> bool:
    """Some clients find a tool by its name in any case, so all cases are meant. A pattern of arguments is that of no name."""
    return matches(name.lower(), pattern.lower())


def _texts(arguments: str) -> Iterator[str]:
    """Every text in a call's arguments; of a list of words also the words as one line, as a command is said. All values of a member
    that is repeated: which of them counts is the client's choice. What is not JSON is one text."""
    try:
        stack = [json.loads(arguments, object_pairs_hook=lambda pairs: tuple([value for _, value in pairs]))]
    except (ValueError, RecursionError):
        yield arguments
        return
    while stack:
        value = stack.pop()
        if isinstance(value, str):
            yield value
        elif isinstance(value, list | tuple):
            stack += value
            if isinstance(value, list) and all(isinstance(word, str) for word in value):
                yield " ".join(value)


def _check(table: Access) -> None:
    if not _NAME.fullmatch(table.name):
        raise ValueError("a name has 1 to 64 letters, digits, dots, dashes or underscores")
    if not (table.models_allow or table.models_deny or table.of_tools):
        raise ValueError("it lists nothing; state one of models_allow, models_deny, tools_allow, tools_deny")
    for pattern in (table.org, table.team, table.key, table.agent):
        _check_pattern(pattern)
    for pattern in (*table.models_allow, *table.models_deny):
        _check_name(pattern, pattern)
    for pattern in (*table.tools_allow, *table.tools_deny):
        argued = _ARGUED.fullmatch(pattern)
        if argued is None:
            _check_name(pattern, pattern)
        elif pattern in table.tools_allow:
            raise ValueError(
                f"tools_allow has {pattern!r}: a pattern of arguments can only deny. A call may be worded so that one of its texts "
                "matches what is allowed, while another does what is not."
            )
        else:
            _check_name(argued[1], pattern)
            if not argued[2]:
                raise ValueError(f"{pattern!r} has nothing between its parentheses; without them it denies all calls of the tool")
            _check_pattern(argued[2])


def _check_name(name: str, pattern: str) -> None:
    if not name or any(letter.isspace() or letter in ",()" for letter in name):
        raise ValueError(f"{pattern!r} is no pattern of a name, as `mcp__github__*`, nor of a call, as `Bash(*rm -rf*)`")
    _check_pattern(name)


def _check_pattern(pattern: str) -> None:
    if not pattern:
        raise ValueError('a pattern is empty; "*" matches all')
    if "[" in _SET.sub("", pattern):
        raise ValueError(f"{pattern!r} has a [ without its ]; a [ itself is written [[]")
