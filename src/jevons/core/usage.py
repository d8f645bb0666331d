"""What one attempt used: token counts by kind, and billed units.

Kinds are disjoint, so that lines can sum: `input` is the uncached part only. `reasoning` is the one exception: it is a part
*of* `output`, kept for people, and billed as output unless a price says otherwise. Rarer kinds (audio, image, video tokens,
searches, requests, seconds, pages) are in `other`, named by genai-prices' usage keys.
"""

import msgspec

INPUT = "input"
CACHE_READ = "cache_read"
CACHE_WRITE_5M = "cache_write_5m"
CACHE_WRITE_1H = "cache_write_1h"
OUTPUT = "output"
REASONING = "reasoning"
REQUESTS = "requests"
"""One unit for each call, where a provider bills calls; no provider reports it."""

INPUT_KINDS = (INPUT, CACHE_READ, CACHE_WRITE_5M, CACHE_WRITE_1H)
TOKEN_KINDS = (*INPUT_KINDS, OUTPUT)


class Usage(msgspec.Struct, frozen=True, gc=False):
    """Token counts of one attempt; every count >= 0 and `reasoning` <= `output`."""

    input: int = 0
    cache_read: int = 0
    cache_write_5m: int = 0
    cache_write_1h: int = 0
    output: int = 0
    reasoning: int = 0
    other: tuple[tuple[str, int], ...] = ()
    """(kind, count) of rarer kinds, disjoint from the fields above; e.g. ("input_audio", 40), ("web_searches", 2)."""

    def __post_init__(self) -> None:
        if min(self.input, self.cache_read, self.cache_write_5m, self.cache_write_1h, self.output, self.reasoning) < 0:
            raise ValueError(f"negative token count in {self!r}")
        if self.other and min(n for _, n in self.other) < 0:
            raise ValueError(f"negative token count in {self!r}")
        if self.reasoning > self.output:
            raise ValueError(f"more reasoning than output in {self!r}")

    @property
    def input_total(self) -> int:
        """All input tokens, cached and written ones and other input modalities included: what context tiers look at."""
        plain = self.input + self.cache_read + self.cache_write_5m + self.cache_write_1h
        if not self.other:
            return plain
        return plain + sum(n for kind, n in self.other if kind in INPUT_MODALITIES)

    def counts(self) -> list[tuple[str, int]]:
        """(kind, count) of every billed kind that is not zero, in a fixed order."""
        pairs = []
        if self.input:
            pairs.append((INPUT, self.input))
        if self.cache_read:
            pairs.append((CACHE_READ, self.cache_read))
        if self.cache_write_5m:
            pairs.append((CACHE_WRITE_5M, self.cache_write_5m))
        if self.cache_write_1h:
            pairs.append((CACHE_WRITE_1H, self.cache_write_1h))
        if self.output:
            pairs.append((OUTPUT, self.output))
        pairs += [pair for pair in self.other if pair[1]]
        return pairs


INPUT_MODALITIES = frozenset(
    {
        "input_audio",
        "input_image",
        "input_video",
        "input_tool",
        "cache_audio_read",
        "cache_image_read",
        "cache_video_read",
        "cache_audio_write",
        "cache_image_write",
        "cache_video_write",
    }
)
"""Kinds in `Usage.other` that are input tokens: of another modality, or a tool's (genai-prices' names without `_tokens`)."""

OUTPUT_PARTS = frozenset({"output_audio", "output_image", "output_video", "output_citation"})
"""Kinds in `Usage.other` that are output tokens. Other kinds there are billed units: pages, seconds, searches, requests."""
