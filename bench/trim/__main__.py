"""What trimming tool output saves, in tokens and in dollars with the provider's prompt cache in play; prints a table and one JSON object.

Every conversation is billed four ways, request by request: as it came, trimmed when first sent (ours: the very functions that serve), the same
crushers applied to outputs once they are older than the last three (naive: each changes a prefix that was cached), and older outputs
replaced by a line (masking). The cache is taken to hold whatever was sent, for ever: that is the best case for leaving a history alone. Only input
is billed, at the price book's rates; output is the same in all. Milliseconds are of CPU.
"""

import argparse
import json
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from fractions import Fraction
from functools import cache
from hashlib import blake2b
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bench.gateway import machine
from bench.trim.texts import Conversation, Message, made, recorded
from jevons.cache.settings import TrimSettings
from jevons.core.limits import TRIM_REF_DIGITS
from jevons.core.price import Price
from jevons.core.usage import CACHE_READ, CACHE_WRITE_5M, INPUT
from jevons.meter.pricebook import open_book
from jevons.meter.tokens import count_text
from jevons.policy.trim import Fate, Sent, fate, is_worth
from jevons.wire.trimming.crush import ALL, Form, crush
from jevons.wire.trimming.crushed import marked

MODELS = (("anthropic", "claude-sonnet-4-5"), ("openai", "gpt-5"))
ENCODING = "o200k_base"
CACHED_MIN = 1_024
"""A shorter prompt is not cached, by both providers."""
KEPT_WHOLE = 3
"""Latest outputs that naive trimming and masking leave alone."""
CONVERSATIONS, SEED = 60, 1865
ROUNDS = 5
MASK = "[Old tool output left out]"
Sending = Callable[[Conversation, int], list[str]]
"""(a conversation, messages of this request) -> the texts that are sent."""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--conversations", type=int, default=CONVERSATIONS, help="of those made from this machine's commands")
    parser.add_argument("--min-tokens", type=int, default=TrimSettings().min_tokens)
    parser.add_argument("--min-share", type=float, default=TrimSettings().min_share)
    options = parser.parse_args()
    way = Ways(options.min_tokens, options.min_share)
    sets = {"tau": recorded(), "commands": made(options.conversations, SEED)}
    figures: dict[str, Any] = {}
    totals: dict[str, Fraction] = defaultdict(Fraction)
    with TemporaryDirectory(prefix="jevons-bench-") as folder:
        book = open_book(Path(folder))
        for name, conversations in sets.items():
            print(f"\n{name}: {len(conversations)} conversations, {sum(map(requests, conversations))} requests")
            figures |= prefixed(name, outputs(conversations, way))
            for provider, model in MODELS:
                price = book.price(provider, model, int(time.time() * 1000))
                assert price is not None, model
                bills = {label: sum(bill(one, send, price) for one in conversations) for label, send in way.all.items()}
                figures |= prefixed(f"{name}_{provider}", shown(bills, model))
                if provider == MODELS[0][0]:
                    for label, nusd in bills.items():
                        totals[label] += nusd
    came, sent = (
        figures["tau_tokens"] + figures["commands_tokens"],
        figures["tau_tokens_sent"] + figures["commands_tokens_sent"],
    )
    speeds = speed([message.text for one in sets["commands"] for message in one if message.role == "tool"])
    figures |= {
        "trim_tokens_saved_pct": pct(came - sent, came),
        "trim_net_saved_pct": pct(totals["as it came"] - totals["ours"], totals["as it came"]),
        "naive_net_saved_pct": pct(totals["as it came"] - totals["naive"], totals["as it came"]),
        "masking_net_saved_pct": pct(totals["as it came"] - totals["masking"], totals["as it came"]),
        **speeds,
    }
    print(
        f"\nmade shorter in {speeds['trim_ms_per_100kb']} ms per 100 KB (median; 95th percentile {speeds['trim_ms_per_100kb_p95']})"
    )
    print(json.dumps({"bench": "trim", **figures, "machine": machine.facts()}))


class Ways:
    """The four ways to send a conversation."""

    def __init__(self, min_tokens: int, min_share: float) -> None:
        self._least = (min_tokens, min_share)
        self.all: dict[str, Sending] = {"as it came": whole, "ours": self.ours, "naive": self.naive, "masking": masking}

    def small(self, message: Message) -> str:
        """What the gateway would send in place of an output; itself where that is not worth it."""
        return small(message.text, message.file, *self._least)

    def ours(self, messages: Conversation, end: int) -> list[str]:
        """Each output when it is first sent, and the same bytes from then on."""
        texts = []
        for message in messages[:end]:
            trims = message.role == "tool" and fate(Sent.UNKNOWN, fresh=True, failed=False) is Fate.TRIM
            texts.append(self.small(message) if trims else message.text)
        return texts

    def naive(self, messages: Conversation, end: int) -> list[str]:
        """The same, but of outputs that are no longer among the latest."""
        late = latest(messages, end)
        return [
            self.small(message) if message.role == "tool" and place not in late else message.text
            for place, message in enumerate(messages[:end])
        ]


def whole(messages: Conversation, end: int) -> list[str]:
    return [message.text for message in messages[:end]]


def masking(messages: Conversation, end: int) -> list[str]:
    late = latest(messages, end)
    return [
        MASK if message.role == "tool" and place not in late else message.text for place, message in enumerate(messages[:end])
    ]


def latest(messages: Conversation, end: int) -> set[int]:
    return set([place for place, message in enumerate(messages[:end]) if message.role == "tool"][-KEPT_WHOLE:])


@cache
def small(text: str, file: bool, min_tokens: int, min_share: float) -> str:
    crushed = crush(text, frozenset({Form.LOG}) if file else ALL)
    if crushed is None or tokens(text) < min_tokens:
        return text
    digest = blake2b(text.encode(), digest_size=8).digest()
    made = marked(crushed, f"{int.from_bytes(digest) % 10**TRIM_REF_DIGITS:0{TRIM_REF_DIGITS}}")
    return made if is_worth(tokens(text), tokens(made), min_share) else text


@cache
def tokens(text: str) -> int:
    return count_text(text, ENCODING)


def requests(messages: Conversation) -> int:
    return len(ends(messages))


def ends(messages: Conversation) -> list[int]:
    """Where the agent asked: before each answer of the model."""
    return [place for place, message in enumerate(messages) if message.role == "assistant"]


def bill(messages: Conversation, send: Sending, price: Price) -> Fraction:
    """Nano-dollars of the input of all its requests: what begins as an earlier request did is read, the rest is written."""
    nums = price.tier(0).nums
    plain, read, write = nums[INPUT], nums[CACHE_READ], nums.get(CACHE_WRITE_5M, nums[INPUT])
    seen: set[bytes] = set()
    total = 0
    for end in ends(messages):
        texts = send(messages, end)
        sizes = [tokens(text) for text in texts]
        if sum(sizes) < CACHED_MIN:
            total += plain * sum(sizes)
            continue
        links = chained(texts)
        known = next((place for place in range(len(links), 0, -1) if links[place - 1] in seen), 0)
        total += read * sum(sizes[:known]) + write * sum(sizes[known:])
        seen.update(links)
    return Fraction(total, price.den)


def chained(texts: Iterable[str]) -> list[bytes]:
    links, link = [], b""
    for text in texts:
        link = blake2b(link + blake2b(text.encode()).digest(), digest_size=16).digest()
        links.append(link)
    return links


def outputs(conversations: list[Conversation], way: Ways) -> dict[str, Any]:
    """Tokens of the tools' outputs before and after, each output once; by what printed them."""
    sums: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    for message in {message for one in conversations for message in one if message.role == "tool"}:
        made = way.small(message)
        row = sums[message.sort]
        for place, n in enumerate((1, made != message.text, tokens(message.text), tokens(made))):
            row[place] += n
    print(f"  {'output of':28}{'texts':>7}{'trimmed':>9}{'tokens':>10}{'sent':>10}{'saved':>8}")
    for sort, (texts, trimmed, came, sent) in sorted(sums.items(), key=lambda item: -item[1][2]):
        print(f"  {sort:28}{texts:7,}{trimmed:9,}{came:10,}{sent:10,}{pct(came - sent, came):7.1f}%")
    came, sent = (sum(row[place] for row in sums.values()) for place in (2, 3))
    print(f"  {'all':28}{'':16}{came:10,}{sent:10,}{pct(came - sent, came):7.1f}%")
    return {"tokens": came, "tokens_sent": sent, "tokens_saved_pct": pct(came - sent, came)}


def shown(bills: dict[str, Fraction], model: str) -> dict[str, float]:
    came = bills["as it came"]
    print(f"  input of all requests, {model}:")
    for label, nusd in bills.items():
        print(f"    {label:26}${float(nusd) / 1e9:10.4f}{pct(came - nusd, came):8.1f}% saved")
    return {f"{label}_net_saved_pct": pct(came - nusd, came) for label, nusd in bills.items() if label != "as it came"}


def speed(texts: list[str]) -> dict[str, float]:
    """CPU milliseconds per 100 KB, over texts of 10 KB and more, the least of some rounds each."""
    found = []
    for text in dict.fromkeys(texts):
        if len(text) < 10_000:
            continue
        least = float("inf")
        for _ in range(ROUNDS):
            begun_ns = time.process_time_ns()
            crush(text)
            least = min(least, time.process_time_ns() - begun_ns)
        found.append(least / 1e6 / len(text.encode()) * 1e5)
    found.sort()
    return {
        "trim_ms_per_100kb": round(statistics.median(found), 2),
        "trim_ms_per_100kb_p95": round(found[int(0.95 * (len(found) - 1))], 2),
        "trim_ms_per_100kb_max": round(found[-1], 2),
    }


def prefixed(name: str, figures: dict[str, Any]) -> dict[str, Any]:
    return {f"{name}_{key}": value for key, value in figures.items()}


def pct(part: Fraction | int, whole_of: Fraction | int) -> float:
    return round(float(Fraction(part) / Fraction(whole_of)) * 100, 1) if whole_of else 0.0


if __name__ == "__main__":
    main()
