"""A request of any dialect as the stand-in sees it, and what it costs: the token rule and the prompt caches.

The rule: one token per whitespace-separated word, in every text of tools, system and messages, plus 1 per message, 8 per tool and
85 per image or file. It can be counted by eye, and it never exceeds what OpenAI's tokenizers count, so a hold that was computed
with an exact tokenizer is never too small. A tool call costs 4 plus the words of its arguments.

Caches are simulated by remembering prefixes per (credential, model):
- OpenAI: the longest prefix of whole messages seen before, at least 1,024 tokens, rounded down to 128. Writes are free.
- Anthropic: at each `cache_control` breakpoint, what is not yet cached is written (5m or 1h), the longest cached prefix within 20
  blocks before a breakpoint is read; prefixes under 1,024 tokens are never cached. An hour behind five minutes is refused.
"""

import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tests.provider.script import Script, at_turn, script_in

MEDIA_TOKENS = 85
TOOL_TOKENS = 8
MESSAGE_TOKENS = 1
CALL_TOKENS = 4
CACHED_TOKENS_MIN = 1024
OPENAI_CACHE_STEP = 128
LOOKBACK_BLOCKS = 20
TTL_S = {"5m": 300.0, "1h": 3600.0}
OPENAI_TTL_S = 600.0


def tokens(text: str) -> int:
    """Tokens of a text by the stand-in's rule."""
    return len(text.split())


def compact(value: object) -> str:
    """JSON as providers write it in streams: no spaces, UTF-8 as it is."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


@dataclass(frozen=True)
class Segment:
    """A piece of the prompt in the order of caching: a tool, a system block, a message or one of its blocks."""

    content: str
    tokens: int
    ttl: str | None = None
    """Set where a cache breakpoint stands: "5m" or "1h"."""


@dataclass(frozen=True)
class Message:
    """One message: its role, its own text, and the results of tools it brings."""

    role: str
    text: str
    results: tuple[str, ...] = ()


@dataclass(frozen=True)
class Tool:
    """A tool that was offered."""

    name: str
    schema: dict[str, Any]


@dataclass(frozen=True)
class Prompt:
    """What an answer depends on. `cap` is the output limit in tokens per choice; `must_call` a tool's name, or "*" for any."""

    model: str
    stream: bool
    segments: tuple[Segment, ...]
    messages: tuple[Message, ...]
    cap: int | None = None
    choices: int = 1
    tools: tuple[Tool, ...] = ()
    must_call: str | None = None
    schema: dict[str, Any] | None = None
    thinking: bool = False
    service_tier: str | None = None
    media: int = 0
    """Images and files in it."""

    @property
    def input_tokens(self) -> int:
        """All tokens of the prompt, cached or not."""
        return sum(segment.tokens for segment in self.segments)

    @property
    def last_user_text(self) -> str:
        """Text of the last user message that has any."""
        return next((m.text for m in reversed(self.messages) if m.role == "user" and m.text.strip()), "")

    def script(self) -> Script | None:
        """The script in the last user text, advanced by the assistant's turns since. Raises ScriptError."""
        turns = 0
        for message in reversed(self.messages):
            if message.role == "assistant":
                turns += 1
            elif message.role == "user" and message.text.strip():
                script = script_in(message.text)
                return at_turn(script, turns) if script is not None else None
        return None

    def results_since_user(self) -> list[str]:
        """Results of tools after the last user text, in order."""
        found: list[str] = []
        for message in reversed(self.messages):
            found[:0] = message.results
            if message.role == "user" and message.text.strip():
                break
        return found


@dataclass(frozen=True)
class CacheUse:
    """How the caches split a prompt's input tokens."""

    read: int = 0
    written_5m: int = 0
    written_1h: int = 0


class PrefixMemory:
    """Which prefixes a provider still has in its cache."""

    def __init__(self) -> None:
        self._expiry: dict[str, float] = {}

    def openai(self, scope: str, segments: Sequence[Segment]) -> CacheUse:
        """Automatic caching."""
        now, known = time.monotonic(), 0
        for name, total in _prefixes("openai/" + scope, segments):
            if self._expiry.get(name, 0.0) > now:
                known = total
            self._expiry[name] = now + OPENAI_TTL_S
        known -= known % OPENAI_CACHE_STEP
        return CacheUse(read=known if known >= CACHED_TOKENS_MIN else 0)

    def anthropic(self, scope: str, segments: Sequence[Segment]) -> CacheUse:
        """Explicit breakpoints."""
        now = time.monotonic()
        prefixes = _prefixes("anthropic/" + scope, segments)
        breakpoints = [i for i, segment in enumerate(segments) if segment.ttl and prefixes[i][1] >= CACHED_TOKENS_MIN]
        if not breakpoints:
            return CacheUse()
        hit, read = -1, 0
        for point in reversed(breakpoints):
            window = range(point, max(-1, point - LOOKBACK_BLOCKS - 1), -1)
            hit = next((i for i in window if self._expiry.get(prefixes[i][0], 0.0) > now), -1)
            if hit >= 0:
                read = prefixes[hit][1]
                break
        written, start = {"5m": 0, "1h": 0}, read
        for point in breakpoints:
            ttl = segments[point].ttl or "5m"
            name, total = prefixes[point]
            if point > hit:
                written[ttl] += total - start
                start = total
            self._expiry[name] = max(self._expiry.get(name, 0.0), now + TTL_S[ttl])
        return CacheUse(read, written["5m"], written["1h"])


def _prefixes(scope: str, segments: Sequence[Segment]) -> list[tuple[str, int]]:
    """(name, tokens) of the prefix that ends with each segment."""
    digest, total, out = hashlib.sha256(scope.encode()), 0, []
    for segment in segments:
        digest.update(segment.content.encode("utf-8", "surrogatepass") + b"\0")
        total += segment.tokens
        out.append((digest.hexdigest(), total))
    return out
