"""KV caches in few bits: what the model's predictions lose, ours beside llama.cpp's own; prints a table and, as its last line, one JSON object.

One library, one model, the same threads and flags everywhere. Of every text the first tokens are the context; the tokens after them are
predicted over it, and each prediction is held against the one over the context as it is in half precision (mean and p99 KLD; the exponent of the
mean loss is the perplexity). Ours: the context is read in half precision, parked, and taken back. llama.cpp's own q8_0 and q4_0 caches hold
everything in their type from the first token on, so the context is also *read* over coded keys and values, and what follows is coded too: theirs
is the harder task. Both ways are measured: `parked` puts llama.cpp's rotated q4_0 where our codec stands, and `while reading` codes our context
block by block as it is read, so that each block is computed over the coded blocks before it (what follows stays in half precision).

A seed is a text and a rotation. Intervals are 95 % of Student's t over seeds. Plans come from the shipped sensitivities, which were measured on
other texts. Bits per element are those of the whole payload: codes, scales, means, the first token, the heads of blocks and their token ids.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from bench.gateway import machine
from bench.kv_quality import needle, texts
from bench.kv_quality.baselines import Q4, LastBit
from jevons.core.limits import PARK_BLOCK_TOKENS
from jevons.engine.models import find_model
from jevons.engine.native.context import Context
from jevons.engine.native.library import open_library
from jevons.engine.native.model import Model
from jevons.engine.native.package import NativeError
from jevons.engine.park.codec import Codec
from jevons.engine.park.plan import Plan, known, plan_for
from jevons.engine.park.probe import Probe, coded, divergences, losses
from jevons.engine.park.states import Layout, read_memory
from jevons.engine.park.turbo import Turbo

BUDGETS = {"4_25": 4.25, "3_5": 3.5, "3": 3.0, "2_5": 2.5}
"""Bits per element, everything included."""
OWN = {"q8_0": 8.5, "q4_0_rotated": 4.5, "q4_0_unrotated": 4.5}
ROTATION_OFF = "LLAMA_ATTN_ROT_DISABLE"
T_95 = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131,
    2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
)  # fmt: skip
"""Student's t, two-sided 95 %, of 1 to 30 degrees of freedom: of one seed more than that."""
BATCH_TOKENS = 512
TIMED_TOKENS = 1500
TIMED_ROUNDS = 5


@dataclass
class Row:
    """What was measured of one way to hold a context."""

    bits: float
    kld: list[NDArray[np.float64]] = field(default_factory=list)
    loss: list[float] = field(default_factory=list)
    right: list[bool] = field(default_factory=list)

    def take(self, logits: NDArray[np.float32], reference: NDArray[np.float32], follows: NDArray[np.int32]) -> None:
        """Logits after each of the tokens that follow; the last one's have nothing to be held against but the reference."""
        self.kld.append(divergences(reference, logits))
        self.loss.append(float(losses(logits[:-1], follows[1:]).mean()))

    @property
    def means(self) -> NDArray[np.float64]:
        return np.array([part.mean() for part in self.kld])


class Bench:
    def __init__(self, model: Model, options: argparse.Namespace) -> None:
        self.model, self.options = model, options
        self.contexts = {"f16": self.context("f16"), "q8_0": self.context("q8_0"), "q4_0_rotated": self.context("q4_0")}
        os.environ[ROTATION_OFF] = "1"
        self.contexts["q4_0_unrotated"] = self.context("q4_0")
        del os.environ[ROTATION_OFF]
        self.rows = {"f16": Row(16.0), "last_bit": Row(16.0)} | {name: Row(bits) for name, bits in OWN.items()}
        self.elements = 0.0

    def context(self, kind: str) -> Context:
        room = self.options.tokens + self.options.follow
        batch = min(BATCH_TOKENS, room)
        return Context(self.model, room, batch_tokens=batch, type_k=kind, type_v=kind, threads=self.options.threads)

    def row(self, name: str, bits: float) -> Row:
        return self.rows.setdefault(name, Row(bits))

    def continuations(self, seed: int) -> None:
        """One text's predictions, every way."""
        read, follow = self.options.tokens, self.options.follow
        tokens = self.model.tokens(texts.text(seed))[: read + follow]
        if len(tokens) < read + follow:
            sys.exit(f"Text {seed} has {len(tokens)} tokens only; choose fewer: --tokens, --follow")
        probe = Probe(self.contexts["f16"], tokens, read)
        self.elements = probe.layout.bytes_per_token / 2
        self.rows["f16"].take(probe.reference, probe.reference, probe.follows)
        self.rows["last_bit"].take(probe.logits(LastBit(probe.layout)), probe.reference, probe.follows)
        for name, codec in self.codecs(probe.layout, seed):
            self.row(name, self.bits(probe, codec)).take(probe.logits(codec), probe.reference, probe.follows)
            if name in ("4_25", "3"):
                logits = self.read_in_blocks(codec, tokens[:read], probe.follows)
                self.row(f"{name}_while_reading", self.rows[name].bits).take(logits, probe.reference, probe.follows)
        for name in OWN:
            self.contexts[name].decode(tokens[:read], logits="none", position=0)
            logits = self.contexts[name].decode(probe.follows, logits="all")
            self.rows[name].take(logits, probe.reference, probe.follows)

    def codecs(self, layout: Layout, seed: int) -> Iterator[tuple[str, Codec]]:
        for name, bits in BUDGETS.items():
            yield name, Turbo(layout, self.plan(layout, bits, seed))
        yield "q4_0_rotated_parked", Q4(layout, self.model.head_width)

    def plan(self, layout: Layout, bits: float, seed: int) -> Plan:
        """The best plan whose payloads take no more than so many bits an element at this length, the first token and all heads included."""
        elements, blocks = layout.bytes_per_token / 2, -(-self.options.tokens // PARK_BLOCK_TOKENS)
        sensitivities = known(self.options.sha256)
        if sensitivities is None:
            sys.exit("The sensitivities of this model are not shipped; measure them: python -m bench.kv_quality.sensitivities")
        fixed = layout.bytes_per_token + blocks * 64
        plan = plan_for(layout, sensitivities, bytes_per_token=bits * elements / 8 - 4 - fixed / self.options.tokens)
        return Plan(plan.head, plan.bits, seed)

    def bits(self, probe: Probe, codec: Codec) -> float:
        """Per element, of the payloads as they are; a codec that only pretends says what its format takes."""
        if not isinstance(codec, Turbo):
            return 8 * codec.bytes_per_token / (probe.layout.bytes_per_token / 2)
        state = probe.state()
        return 8 * coded(state, codec) / sum(rows.size // 2 for rows in state.rows)

    def read_in_blocks(self, codec: Codec, tokens: NDArray[np.int32], follows: NDArray[np.int32]) -> NDArray[np.float32]:
        """Each block is computed over what decoding made of the blocks before it."""
        context = self.contexts["f16"]
        context.truncate(0)
        for start in range(0, len(tokens), PARK_BLOCK_TOKENS):
            context.decode(tokens[start : start + PARK_BLOCK_TOKENS], logits="none")
            memory = bytearray(context.state())
            coded(read_memory(memory, tokens[: start + PARK_BLOCK_TOKENS]), codec, start)
            context.restore(bytes(memory))
        return context.decode(follows, logits="all")

    def needles(self, seed: int) -> None:
        """One haystack, asked every way."""
        hay = needle.haystack(self.model, texts.text(len(BUDGETS) + 2 * self.options.seeds + seed), self.options.tokens, seed)
        for name in ("f16", *OWN):
            context = self.contexts[name]
            context.decode(hay.tokens, logits="none", position=0)
            if name == "f16":
                memory = context.state()
            self.rows[name].right += needle.found(context, hay)
        context = self.contexts["f16"]
        layout = read_memory(bytearray(memory), hay.tokens).layout
        for name, codec in self.codecs(layout, seed):
            back = bytearray(memory)
            coded(read_memory(back, hay.tokens), codec)
            context.restore(bytes(back))
            self.rows[name].right += needle.found(context, hay)

    def speed(self) -> dict[str, float]:
        """Milliseconds to encode and to decode 1,500 tokens of a real state with the plan of 4.25 bits, on one core; the best of some rounds."""
        tokens = np.resize(self.model.tokens(texts.text(0)), self.options.tokens)
        context = self.contexts["f16"]
        context.decode(tokens, logits="none", position=0)
        state = read_memory(bytearray(context.state()), tokens)
        long = np.resize(tokens, TIMED_TOKENS)
        rows = [np.ascontiguousarray(np.resize(own, (TIMED_TOKENS, own.shape[1]))) for own in state.rows]
        codec = Turbo(state.layout, self.plan(state.layout, BUDGETS["4_25"], 0))
        parts = [slice(start, start + PARK_BLOCK_TOKENS) for start in range(0, TIMED_TOKENS, PARK_BLOCK_TOKENS)]
        payloads: list[bytes] = []

        def encode() -> None:
            payloads[:] = [codec.encode(long[part], [own[part] for own in rows], part.start) for part in parts]

        def decode() -> None:
            for part, payload in zip(parts, payloads, strict=True):
                codec.decode_into(payload, [own[part] for own in rows])

        return {"encode_ms_1500": best_ms(encode), "decode_ms_1500": best_ms(decode)}


def best_ms(work: Callable[[], None]) -> float:
    """Of this thread's CPU time, so that others on the machine count little."""
    times = []
    for _ in range(TIMED_ROUNDS):
        before = time.thread_time()
        work()
        times.append(1000 * (time.thread_time() - before))
    return round(min(times), 1)


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--seeds", type=int, default=8)
    arguments.add_argument("--tokens", type=int, default=512, help="of a context")
    arguments.add_argument("--follow", type=int, default=96, help="tokens predicted over it")
    arguments.add_argument("--threads", type=int, default=1)
    options = arguments.parse_args()
    if not 2 <= options.seeds <= len(T_95) + 1:
        sys.exit(f"One seed has no interval: --seeds is 2 to {len(T_95) + 1}")
    if options.tokens % PARK_BLOCK_TOKENS:
        sys.exit(f"Bits are counted for full blocks: --tokens is a multiple of {PARK_BLOCK_TOKENS}")
    found = find_model()
    if found is None:
        sys.exit("The local model is not installed: jevons engine install")
    options.sha256 = found.sha256
    try:
        with Model(open_library(), found.path) as model:
            bench = Bench(model, options)
            for seed in range(options.seeds):
                before = time.monotonic()
                bench.continuations(seed)
                bench.needles(seed)
                kld = bench.rows
                print(
                    f"seed {seed}: 4.25 bits {kld['4_25'].means[-1]:.4f}, q4_0 rotated {kld['q4_0_rotated'].means[-1]:.4f} nats; "
                    f"{time.monotonic() - before:.0f} s",
                    flush=True,
                )
            report(bench, bench.speed())
    except NativeError as error:
        sys.exit(str(error))


def half_width(values: NDArray[np.float64]) -> float:
    """Of the 95 % interval of the mean."""
    return float(T_95[len(values) - 2] * values.std(ddof=1) / np.sqrt(len(values)))


def label(name: str) -> str:
    """ "4_25_while_reading" as people read it."""
    for budget, bits in sorted(BUDGETS.items(), reverse=True):
        if name == budget or name.startswith(f"{budget}_while"):
            return f"{bits} bits{name.removeprefix(budget).replace('_', ' ')}"
    return name.replace("_", " ").replace("q4 0", "q4_0").replace("q8 0", "q8_0")


def report(bench: Bench, speed: dict[str, float]) -> None:
    options, rows = bench.options, bench.rows
    print(
        f"\n{options.tokens} tokens of context, {options.follow} predicted, {options.seeds} seeds; bits per element, everything included\n"
    )
    print(f"{'':28}{'bits':>5}  {'mean KLD, nats':>19}  {'p99':>7}  {'perplexity':>10}  needles")
    figures: dict[str, object] = {}
    for name, row in rows.items():
        mean, width = float(row.means.mean()), half_width(row.means)
        p99 = float(np.quantile(np.concatenate(row.kld), 0.99))
        perplexity = float(np.exp(np.mean(row.loss)))
        found = f"{sum(row.right)} of {len(row.right)}" if row.right else ""
        print(f"{label(name):28}{row.bits:5.2f}  {mean:9.5f} ± {width:7.5f}  {p99:7.4f}  {perplexity:10.4f}  {found}")
        figures |= {f"kld_{name}": round(mean, 6), f"kld_{name}_ci95": round(width, 6), f"kld_p99_{name}": round(p99, 5)}
        figures |= {f"ppl_{name}": round(perplexity, 4), f"bits_{name}": round(row.bits, 3)}
        figures |= {f"bytes_per_token_{name}": round(row.bits * bench.elements / 8)}
        figures |= {f"needle_{name}": round(sum(row.right) / len(row.right), 4)} if row.right else {}
    for other in ("q4_0_rotated", "q4_0_rotated_parked"):
        figures[f"seeds_4_25_below_{other}"] = int((rows["4_25"].means < rows[other].means).sum())
    print(
        f"\n1,500 tokens on one core: encoded in {speed['encode_ms_1500']} ms, decoded in {speed['decode_ms_1500']} ms (CPU time)"
    )
    facts = {"seeds": options.seeds, "tokens": options.tokens, "follow": options.follow, "threads": options.threads}
    print(json.dumps({**figures, **speed, **facts, "variant": bench.model.library.variant, "machine": machine.facts()}))


if __name__ == "__main__":
    main()
