"""One stream in one dialect, told in the other, event by event.

In: the upstream's server-sent events, already split. Out: the client's, as bytes. It knows no socket and no clock. It never
ends an answer that the upstream did not end: the last event comes only from `take_terminal`, after the upstream's own end.
"""

from collections.abc import Iterator

from jevons.core.ask import Dialect
from jevons.wire.body import BAD_JSON
from jevons.wire.neutral import Event, Failure, Stop
from jevons.wire.translate.broken import BrokenAnswer
from jevons.wire.translate.chat_stream import ChatStreamReader, ChatStreamWriter
from jevons.wire.translate.messages_stream import MessagesStreamReader, MessagesStreamWriter


class StreamTranslator:
    """Tells a stream of dialect `source` (the upstream's) in dialect `target` (the client's).

    An error inside a stream looks like `data: {"error": {"message", "type", "code"}}` in Chat Completions and like
    `event: error`, `data: {"type": "error", "error": {"type", "message"}}` in Messages. Either sets `error`; nothing is written
    for it, as the gateway says it in the client's dialect and closes.
    """

    def __init__(
        self, source: Dialect, target: Dialect, *, model: str, answer_id: str, created_s: int, include_usage: bool
    ) -> None:
        """`created_s` in Unix seconds; `include_usage`: the chat client asked for the usage chunk."""
        self._reader = ChatStreamReader(answer_id) if source is Dialect.CHAT else MessagesStreamReader()
        self._writer = (
            ChatStreamWriter(model, answer_id, created_s, include_usage)
            if target is Dialect.CHAT
            else MessagesStreamWriter(model, answer_id)
        )
        self._terminal_taken = False
        self.terminal = False
        """The upstream's answer has ended."""
        self.error: tuple[str, str] | None = None
        """(type, message) once the upstream has sent an error, or something that is not its dialect."""

    def feed(self, event_name: str | None, data: bytes) -> bytes:
        """Bytes for the client after one upstream event: often none, never the last event. After an error or the end: none.

        An event without data, as a comment is, says nothing; its name says nothing that its data does not.
        """
        if self.terminal or self.error or not data:
            return b""
        return self._write(self._reader.read(data))

    def finish(self) -> bytes:
        """To be called when the upstream closes: bytes for the client that waited for that.

        A chat stream that has given its finish reason is whole even without `[DONE]`. Any other that has not ended is broken:
        `error` says so.
        """
        return b"" if self.terminal or self.error else self._write(self._reader.close())

    def _write(self, events: Iterator[Event | Failure]) -> bytes:
        out = bytearray()
        try:
            for event in events:
                if isinstance(event, Failure):
                    self.error = (event.type, event.message)
                else:
                    out += self._writer.write(event)
                    self.terminal = isinstance(event, Stop)
        except (BrokenAnswer, *BAD_JSON) as error:
            self.error = ("upstream_error", f"The upstream's stream is broken: {error}")
        return bytes(out)

    def take_terminal(self) -> bytes:
        """The client's last event, once, and only if the upstream's answer has ended."""
        if not self.terminal or self._terminal_taken:
            return b""
        self._terminal_taken = True
        return self._writer.terminal
