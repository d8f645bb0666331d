"""Allow and deny lists of models and tools at the door: what a caller may name, offer and be told to do.

Comes in: `[[access]]` tables, a request, a tool call of an answer. Goes out: the request without the tools that are denied, or a Refusal.
Does not know: limits, money.
"""

from collections.abc import Callable

from jevons.core.ask import Ask
from jevons.core.refusal import Kind, Refusal
from jevons.policy.access import Access, Denied, denying, judge_call, judge_model, judge_tool, judges_tools
from jevons.policy.rules import Who
from jevons.wire.parse import parse
from jevons.wire.tool_calls import ToolCall
from jevons.wire.tools import tool_names, without_tools

Note = Callable[[str, str, dict[str, object]], None]
"""(action, table, detail) for the audit log."""
_WHAT_CHARS_MAX = 200
"""Of the name of a model or tool, in the audit log: clients choose them, of any length, and no text of theirs is to come to the disk."""


class Fence:
    """The tables of an installation."""

    def __init__(self, tables: tuple[Access, ...]) -> None:
        self.tables = tables
        self._denying = denying(tables)

    def allows_model(self, who: Who, model: str) -> bool:
        """May the caller use it? Nothing is noted."""
        denied = judge_model(self.tables, who, model)
        return denied is None or not denied.enforced

    def allows_target(self, who: Who, model: str) -> bool:
        """Is it denied under its own name? Nothing is noted."""
        denied = judge_model(self._denying, who, model)
        return denied is None or not denied.enforced

    def check_model(self, who: Who, model: str, note: Note) -> None:
        """Raises Refusal (403) for a model that the caller may not ask for."""
        _check(judge_model(self.tables, who, model) if self.tables else None, model, note)

    def check_target(self, who: Who, model: str, note: Note) -> None:
        """Raises Refusal (403) for a model that is denied under its own name: an alias, or `upstream/model`, is no way around."""
        _check(judge_model(self._denying, who, model) if self._denying else None, model, note)

    def sift(self, ask: Ask, who: Who, note: Note) -> tuple[Ask, tuple[str, ...]]:
        """(the request without the tools that the caller may not use, their names). Raises Refusal (403) where one of them is forced."""
        if not self.tables or not judges_tools(self.tables, who):
            return ask, ()
        denied = {name: found for name in tool_names(ask) if (found := judge_tool(self.tables, who, name)) is not None}
        removed = tuple([name for name, found in denied.items() if _enforced(found, f"tool {name}", note)])
        return (parse(ask.dialect, without_tools(ask, removed)), removed) if removed else (ask, ())

    def call_judge(self, who: Who, note: Note) -> Callable[[ToolCall], Refusal | None] | None:
        """What judges the tool calls of this caller's answers; None = nothing to judge."""
        if not self.tables or not judges_tools(self.tables, who):
            return None

        def judge(call: ToolCall) -> Refusal | None:
            denied = judge_call(self.tables, who, call.name, call.arguments)
            if denied is None or not _enforced(denied, f"call {call.name}", note):
                return None
            return Refusal(
                Kind.PERMISSION,
                403,
                f"The model called the tool {call.name!r}, which is not allowed here: {_by(denied)}. The call was not passed on.",
                code="tool_not_allowed",
                detail={"reason": "access", "access": denied.access, "pattern": denied.pattern, "tool": call.name},
            )

        return judge


def _check(denied: Denied | None, model: str, note: Note) -> None:
    if denied is not None and _enforced(denied, f"model {model}", note):
        raise Refusal(
            Kind.PERMISSION,
            403,
            f"Model {model!r} is not allowed here: {_by(denied)}. Ask for another, or have the table changed.",
            code="model_not_allowed",
            param="model",
            detail={"reason": "access", "access": denied.access, "pattern": denied.pattern},
        )


def _enforced(denied: Denied, what: str, note: Note) -> bool:
    note(
        "denied" if denied.enforced else "would-deny",
        denied.access,
        {"reason": "access", "what": what[:_WHAT_CHARS_MAX], "pattern": denied.pattern},
    )
    return denied.enforced


def _by(denied: Denied) -> str:
    which = f"denies {denied.pattern!r}" if denied.pattern else "lists what is allowed, and this is not there"
    return f"[[access]] {denied.access!r} {which}"
