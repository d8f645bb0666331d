"""What was measured and chosen, as it stands in JEVONS_HOME/engine.json.

Comes in: rows of figures. Goes out: which build is taken and why. Does not know: how anything is measured.
"""

import hashlib
import math
import platform
from pathlib import Path

import msgspec

from jevons.engine.builds.build import BUILT_IN
from jevons.engine.native.package import NativeError

PROMPT_PER_ANSWER = 4
"""Prompt tokens that are computed for each token answered. An agent's prompt is hundreds of times its answer, but with its prefix
kept only the new part is computed: a tool's result of some hundred tokens before an answer of some hundred."""
GAIN_LEAST = 1.05
"""A build must be this much faster than the built-in one; below it the difference is the machine's mood."""


class Timing(msgspec.Struct, frozen=True):
    """Rates of one build; 0 = not measured."""

    prefill_tok_s: float = 0.0
    decode_tok_s: float = 0.0

    @property
    def mix_ms(self) -> float:
        """Milliseconds for one token answered and the prompt tokens that go with it: what is compared."""
        if not (self.prefill_tok_s and self.decode_tok_s):
            return math.inf
        return 1000 * (PROMPT_PER_ANSWER / self.prefill_tok_s + 1 / self.decode_tok_s)


class Row(Timing, frozen=True, kw_only=True):
    """One build's figures: medians over rounds that all finalists took in turn."""

    build: str
    kind: str
    gain: float = 0.0
    """Over the built-in build on the mix: the median of the rounds' ratios. 0 = it took no whole round."""
    rounds: int = 0
    """0 = it left after the first, short heat, which its figures are of."""
    difference_nats: float = 0.0
    """Mean difference of its log probabilities from the built-in build's on a fixed text."""
    problem: str = ""
    """Why it cannot be taken; empty if it can."""


class Choice(msgspec.Struct, frozen=True):
    build: str
    """ "built-in", or a variant's name."""
    why: str
    processor: str
    server: str
    """Version of the server that it was measured in."""
    model: str
    threads: int
    measured: str
    """UTC, "2026-11-22T09:12Z"."""
    rows: list[Row]

    @classmethod
    def read(cls, file: Path) -> "Choice":
        """Raises NativeError if it cannot be read."""
        try:
            return msgspec.json.decode(file.read_bytes(), type=cls)
        except (OSError, msgspec.MsgspecError) as error:
            raise NativeError(f"{file} cannot be read ({error}); run: jevons engine choose") from error


def decide(rows: list[Row]) -> tuple[Row, str]:
    """The build to take, and why. `rows` has the built-in build; programs are never taken."""
    own = next(row for row in rows if row.build == BUILT_IN)
    able = [row for row in rows if row.kind == "exchanged" and row.rounds and not row.problem]
    best = max(able, key=lambda row: row.gain, default=None)
    if best is None:
        return own, "no other can be taken"
    if best.gain < GAIN_LEAST:
        return (
            own,
            f"the best other, {best.build}, is {best.gain:.2f} × as fast, and less than {GAIN_LEAST} × is not worth a change",
        )
    return best, f"{best.gain:.2f} × as fast as the built-in one on {PROMPT_PER_ANSWER} prompt tokens per token answered"


def processor() -> str:
    """Which processor this is, with a hash of its instruction sets: a virtual machine may keep the name and lose a set."""
    name, flags = platform.processor() or platform.machine(), ""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                name = value.strip()
            elif key.strip() == "flags":
                flags = " ".join(sorted(value.split()))
                break
    except OSError:
        pass
    return f"{name} ({hashlib.sha256(flags.encode()).hexdigest()[:8]})"
