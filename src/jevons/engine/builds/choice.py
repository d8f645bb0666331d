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


class Row(msgspec.Struct, frozen=True):
    """One build's figures: medians over rounds that all finalists took in turn."""

    build: str
    kind: str
    prefill_tok_s: float = 0.0
    """0 = it was not measured."""
    decode_tok_s: float = 0.0
    rounds: int = 0
    """0 = it left after the first, short heat, which its figures are of."""
    difference_nats: float = 0.0
    """Mean difference of its log probabilities from the built-in build's on a fixed text."""
    problem: str = ""
    """Why it cannot be taken; empty if it can."""

    @property
    def mix_ms(self) -> float:
        """Milliseconds for one token answered and the prompt tokens that go with it: what is compared."""
        if not (self.prefill_tok_s and self.decode_tok_s):
            return math.inf
        return 1000 * (PROMPT_PER_ANSWER / self.prefill_tok_s + 1 / self.decode_tok_s)


class Choice(msgspec.Struct, frozen=True):
    build: str
    """ "built-in", or a variant's name."""
    why: str
    gain: float
    """Of the build over the built-in one, on the mix."""
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


def decide(rows: list[Row]) -> tuple[str, float, str]:
    """The build to take, its gain over the built-in one, and why. `rows` has the built-in build; programs are never taken."""
    own = next(row for row in rows if row.build == BUILT_IN)
    able = [row for row in rows if row.kind == "exchanged" and row.rounds and not row.problem]
    best = min(able, key=lambda row: row.mix_ms, default=own)
    gain = own.mix_ms / best.mix_ms
    if best is own:
        return BUILT_IN, 1.0, "there was no other that could be taken"
    if gain < GAIN_LEAST:
        return (
            BUILT_IN,
            1.0,
            f"the best other, {best.build}, is {gain:.2f} × as fast; less than {GAIN_LEAST} × is not worth a change",
        )
    return best.build, gain, f"{gain:.2f} × as fast as the built-in one on {PROMPT_PER_ANSWER} prompt tokens per token answered"


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
