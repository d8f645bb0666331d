"""The few facts that metering needs of a whole, non-streamed answer, without decoding the rest.

Comes in: the dialect and the body of a 2xx answer. Goes out: `AnswerFacts`. Never raises: a body that is not what the dialect
promises gives empty facts, and the caller settles it like any answer without usage.
Does not know: what the usage means (usage.py), prices, errors.
"""

from collections.abc import Iterable

import msgspec

from jevons.core.ask import Dialect

_NO_USAGE = msgspec.Raw(b"")


class AnswerFacts(msgspec.Struct, frozen=True):
    """What an answer says of itself; empty strings where it says nothing."""

    usage_raw: bytes = b""
    """The `usage` member as the provider wrote it; empty if there is none or it is null."""
    id: str = ""
    model: str = ""
    """The model that answered: often a dated snapshot of the one asked for."""
    finish: str = ""
    """`finish_reason` of the first choice, `stop_reason`, or a response's status ("incomplete:max_output_tokens")."""
    service_tier: str = ""
    units: tuple[tuple[str, int], ...] = ()
    """Billed units that only the answer's items show: (("web_searches", 2),)."""


class _Choice(msgspec.Struct, gc=False):
    finish_reason: str | None = None


class _Chat(msgspec.Struct, gc=False):
    usage: msgspec.Raw = _NO_USAGE
    id: str | None = None
    model: str | None = None
    choices: list[_Choice] | None = None
    service_tier: str | None = None


class _Incomplete(msgspec.Struct, gc=False):
    reason: str | None = None


class _Action(msgspec.Struct, gc=False):
    type: str | None = None


class _Item(msgspec.Struct, gc=False):
    type: str | None = None
    action: _Action | None = None


class _Responses(msgspec.Struct, gc=False):
    usage: msgspec.Raw = _NO_USAGE
    id: str | None = None
    model: str | None = None
    status: str | None = None
    incomplete_details: _Incomplete | None = None
    service_tier: str | None = None
    output: list[_Item] | None = None


class _MessagesUsage(msgspec.Struct, gc=False):
    service_tier: str | None = None


class _Messages(msgspec.Struct, gc=False):
    usage: msgspec.Raw = _NO_USAGE
    id: str | None = None
    model: str | None = None
    stop_reason: str | None = None


_decode_chat = msgspec.json.Decoder(_Chat).decode
_decode_responses = msgspec.json.Decoder(_Responses).decode
_decode_messages = msgspec.json.Decoder(_Messages).decode
_decode_tier = msgspec.json.Decoder(_MessagesUsage).decode
_decode_any = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def answer_facts(dialect: Dialect, body: bytes) -> AnswerFacts:
    """Facts of a whole 2xx answer. Embeddings are read like Chat. Never raises; see the module's text."""
    try:
        if dialect is Dialect.MESSAGES:
            return _of_messages(_decode_messages(body))
        if dialect is Dialect.RESPONSES:
            return _of_responses(_decode_responses(body))
        return _of_chat(_decode_chat(body))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return _usage_only(body)


def searches(items: Iterable[tuple[str | None, str | None]]) -> tuple[tuple[str, int], ...]:
    """Billed units among (item type, action type) of a response's output.

    Only the action `search` of a web search call is billed, not `open_page` or `find_in_page` (OpenAI, web search guide);
    older answers have no action. Each file search call is billed (OpenAI, pricing: tools).
    """
    kinds = [kind for kind, action in items if action in (None, "search")]
    counts = (("web_searches", kinds.count("web_search_call")), ("storage_searches", kinds.count("file_search_call")))
    return tuple([pair for pair in counts if pair[1]])


def _of_chat(answer: _Chat) -> AnswerFacts:
    finish = (answer.choices[0].finish_reason or "") if answer.choices else ""
    return AnswerFacts(_some(answer.usage), answer.id or "", answer.model or "", finish, answer.service_tier or "")


def _of_responses(answer: _Responses) -> AnswerFacts:
    finish = answer.status or ""
    if answer.incomplete_details and answer.incomplete_details.reason:
        finish = f"{finish}:{answer.incomplete_details.reason}"
    units = searches([(item.type, item.action.type if item.action else None) for item in answer.output or ()])
    return AnswerFacts(_some(answer.usage), answer.id or "", answer.model or "", finish, answer.service_tier or "", units)


def _of_messages(answer: _Messages) -> AnswerFacts:
    usage = _some(answer.usage)
    tier = _decode_tier(usage).service_tier if b"service_tier" in usage else None
    return AnswerFacts(usage, answer.id or "", answer.model or "", answer.stop_reason or "", tier or "")


def _usage_only(body: bytes) -> AnswerFacts:
    """A member has another type than promised (a numeric id, say): the usage still counts."""
    try:
        fields = _decode_any(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return AnswerFacts()
    return AnswerFacts(_some(fields.get("usage", _NO_USAGE)))


def _some(raw: msgspec.Raw) -> bytes:
    usage = bytes(raw)
    return b"" if usage == b"null" else usage
