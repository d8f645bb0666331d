"""Translation between OpenAI Chat Completions and Anthropic Messages, both ways, through the neutral model of `wire.neutral`.

Pure functions: no I/O, no clock; ids and times come in. What a dialect cannot say is a 400 that names the field (`table`).
"""

from jevons.core.ask import Dialect
from jevons.core.refusal import Kind, Refusal, invalid
from jevons.wire.neutral import Conversation, Role
from jevons.wire.translate.broken import BrokenAnswer
from jevons.wire.translate.chat_answer import read_chat_answer, write_chat_answer
from jevons.wire.translate.chat_in import read_chat_request
from jevons.wire.translate.chat_out import write_chat_request
from jevons.wire.translate.messages_answer import read_messages_answer, write_messages_answer
from jevons.wire.translate.messages_in import read_messages_request
from jevons.wire.translate.messages_out import write_messages_request
from jevons.wire.translate.stream import StreamTranslator
from jevons.wire.translate.table import ROWS, Row, Verdict

__all__ = ["ROWS", "BrokenAnswer", "Row", "StreamTranslator", "Verdict", "translate_answer", "translate_request"]


def translate_request(
    body: bytes,
    source: Dialect,
    target: Dialect,
    model: str,
    output_cap: int,
    *,
    chat_cap_field: str = "max_completion_tokens",
) -> bytes:
    """The client's body in `source` as the upstream's body in `target`, asking `model` for at most `output_cap` tokens.

    `chat_cap_field`: where a chat upstream reads its cap; older ones know only `max_tokens`.
    Raises Refusal 400 that names the field which cannot be said.
    """
    talk = read_chat_request(body) if source is Dialect.CHAT else read_messages_request(body)
    _require_open_turn(talk)
    if target is Dialect.CHAT:
        return write_chat_request(talk, model, output_cap, chat_cap_field)
    return write_messages_request(talk, model, output_cap)


def _require_open_turn(talk: Conversation) -> None:
    """The last turn must be the client's. An answer begun by the client goes on in Messages, and is history in chat."""
    last = next((turn for turn in reversed(talk.turns) if turn.role is not Role.SYSTEM), None)
    if last is None:
        raise invalid("messages holds no message to answer", param="messages")
    if last.role is Role.ASSISTANT:
        raise invalid(
            "messages ends with an assistant message: a begun answer (prefill) cannot be translated between dialects",
            param="messages",
        )


def translate_answer(body: bytes, source: Dialect, target: Dialect, *, model: str, answer_id: str, created_s: int) -> bytes:
    """The upstream's answer (status 200, not streamed) in `source` as the client's in `target`. `created_s` in Unix seconds.

    Raises Refusal 502 if the upstream's answer is not of its dialect.
    """
    try:
        answer = read_chat_answer(body, answer_id) if source is Dialect.CHAT else read_messages_answer(body)
    except BrokenAnswer as error:
        raise Refusal(Kind.UPSTREAM, 502, f"The upstream's answer could not be translated: {error}") from None
    if target is Dialect.CHAT:
        return write_chat_answer(answer, model, answer_id, created_s)
    return write_messages_answer(answer, model, answer_id)
