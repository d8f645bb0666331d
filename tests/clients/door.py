"""Where clients knock, what they bring back, and the list of all conversations."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

CONVERSATIONS: "dict[str, Conversation]" = {}
"""Every conversation by name, in order of definition."""


@dataclass(frozen=True)
class Door:
    """Something that speaks OpenAI's or Anthropic's API. `base_url` has no `/v1`."""

    base_url: str
    key: str
    model: str
    scripted: bool = True
    """A stand-in provider is behind it, which obeys scripts in prompts (tests/provider/script.py)."""
    headers: dict[str, str] = field(default_factory=dict)
    """Sent along by the SDKs."""
    embedding_model: str = "text-embedding-3-small"

    @property
    def openai_url(self) -> str:
        """What the openai SDK wants as its base URL."""
        return self.base_url + "/v1"

    def prompt(self, text: str, **script: Any) -> str:
        """What the user says; to a stand-in, with a script for its answer."""
        return f"{text} @@{json.dumps(script)}" if self.scripted else text

    def heard(self, text: str, reply: str) -> str:
        """The text, checked: exact from a stand-in, not empty from a model."""
        assert text == reply if self.scripted else text.strip(), f"expected {reply!r}, heard {text!r}"
        return text


@dataclass(frozen=True)
class Said:
    """What a client understood: the last text, the requests it made, and the tokens it was told of in all of them."""

    text: str
    requests: int = 1
    input_tokens: int | None = None
    """All input, cached or not; None if the client was not told."""
    output_tokens: int | None = None


@dataclass(frozen=True)
class Conversation:
    """One way to talk. `door` is chat, responses, messages, embeddings or count_tokens."""

    name: str
    door: str
    hold: Callable[[Door], Said]
    tools: bool
    """Needs a model that calls tools or obeys schemas: a stand-in, or a large one."""
    portable: bool
    """Can be translated to the other chat dialect (Chat <-> Messages)."""


def conversation(
    door: str, tools: bool = False, portable: bool = True
) -> Callable[[Callable[[Door], Said]], Callable[[Door], Said]]:
    """Adds a function to CONVERSATIONS."""

    def add(hold: Callable[[Door], Said]) -> Callable[[Door], Said]:
        CONVERSATIONS[hold.__name__] = Conversation(hold.__name__, door, hold, tools, portable)
        return hold

    return add
