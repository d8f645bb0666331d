"""A short race of builds: the same model, threads and flags, each build in a process of its own, one of them computing at a time.

Comes in: builds and a model file. Goes out: rows of figures. First a short heat for all, which also shows whether a build computes
what the built-in one does; then whole rounds for the built-in one and the two fastest, in turn, as many as the time allows.
Does not know: what is decided from it.
"""

import contextlib
import http.client
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from jevons.core.limits import (
    CHOOSE_BUDGET_S,
    CHOOSE_REQUEST_TIMEOUT_S,
    CHOOSE_ROUNDS_LEAST,
    CHOOSE_ROUNDS_MAX,
    ENGINE_START_TIMEOUT_S,
    ENGINE_STOP_GRACE_S,
    LOCAL_BATCH_TOKENS,
)
from jevons.engine.builds.build import BUILT_IN, Build
from jevons.engine.builds.choice import Row
from jevons.engine.builds.trial import TrialOrder, TrialReport
from jevons.engine.native.package import NativeError

HEAT = (64, 8)
"""Tokens of the prompt and of the answer: half a second, enough to tell a build that is half as fast."""
ROUND = (512, 64)
FINALISTS = 2
CONTEXT_TOKENS = 1024
TEXT = (
    "A gateway that meters tokens keeps an exact ledger: each call to a model has a price, and the price is known before the call is "
    "made. Agents read the same long prompt again and again, so what was computed once is kept, and only the new part is paid for. "
)
CANARY_TOKENS = 24
CANARY_PLACES = 5
"""The likeliest tokens of the built-in build whose log probabilities are compared, at each of CANARY_TOKENS steps."""
DIFFERENCE_MOST = 0.25
"""Nats, in the mean. Sums in another order (AVX-512 in place of AVX2) gave 0.06 on the packaged Q4_1 model, and 0 for the same
instructions; an operation that is taken for another one gives several."""

Step = tuple[int, dict[int, float]]
"""The token taken, and log probabilities of the likeliest."""


class Timing(msgspec.Struct, frozen=True):
    prefill_tok_s: float
    decode_tok_s: float


class Trial:
    """A running server with one build."""

    def __init__(self, build: Build, address: str) -> None:
        self.build = build
        parts = urlsplit(address)
        self._host, self._port = parts.hostname or "127.0.0.1", parts.port or 0

    def ask(self, path: str, body: dict[str, Any]) -> Any:
        """POST JSON. Raises NativeError."""
        connection = http.client.HTTPConnection(self._host, self._port, timeout=CHOOSE_REQUEST_TIMEOUT_S)
        try:
            connection.request("POST", path, msgspec.json.encode(body), {"content-type": "application/json"})
            answer = connection.getresponse()
            text = answer.read()
            if answer.status != 200:
                raise NativeError(f"{self.build.name} answered {answer.status} in its trial")
            return msgspec.json.decode(text)
        except (OSError, http.client.HTTPException, msgspec.DecodeError) as error:
            raise NativeError(f"{self.build.name} ended during its trial ({type(error).__name__})") from error
        finally:
            connection.close()

    def tokens(self, text: str) -> list[int]:
        found: list[int] = self.ask("/tokenize", {"content": text})["tokens"]
        return found

    def complete(self, prompt: list[int], answer_tokens: int, places: int = 0) -> Any:
        body = {"prompt": prompt, "n_predict": answer_tokens, "temperature": 0, "cache_prompt": False, "ignore_eos": True}
        return self.ask("/completion", body | ({"n_probs": places} if places else {}))

    def time(self, prompt: list[int], answer_tokens: int) -> Timing:
        """Rates by the server's own clock."""
        timings = self.complete(prompt, answer_tokens)["timings"]
        return Timing(float(timings["prompt_per_second"]), float(timings["predicted_per_second"]))

    def steps(self, prompt: list[int]) -> list[Step]:
        """What it would say, and how sure it is."""
        answer = self.complete(prompt, CANARY_TOKENS, 2 * CANARY_PLACES)
        return [
            (int(step["id"]), {int(place["id"]): float(place["logprob"]) for place in step["top_logprobs"]})
            for step in answer["completion_probabilities"]
        ]


def difference(own: list[Step], other: list[Step]) -> float:
    """Mean distance of log probabilities, in nats, at the built-in build's likeliest tokens, as long as both take the same ones.

    Where they part, the distance between the two tokens in the built-in build's eyes counts too: at a tie it is nothing.
    """
    distances = []
    for (token, sure), (other_token, other_sure) in zip(own, other, strict=True):
        least = min(other_sure.values())
        likeliest = sorted(sure, key=lambda place: -sure[place])[:CANARY_PLACES]
        distances += [abs(sure[place] - other_sure.get(place, least)) for place in likeliest]
        if token != other_token:
            distances.append(sure[token] - sure.get(other_token, min(sure.values())))
            break
    return statistics.fmean(distances)


def race(builds: Sequence[Build], model: Path, threads: int, say: Callable[[str], None] = lambda _: None) -> list[Row]:
    """Rows in the order of `builds`, of which the first is the built-in one. Raises NativeError if that one fails."""
    began = time.monotonic()
    with contextlib.ExitStack() as stack:
        trials: list[Trial] = []
        heats: dict[str, Timing] = {}
        rows: dict[str, Row] = {}
        own_steps: list[Step] = []
        prompt: list[int] = []
        for build in builds:
            say(f"starting {build.name}")
            try:
                trial = stack.enter_context(started(build, model, threads))
                prompt = prompt or fill(trial.tokens(TEXT), ROUND[0])
                steps = trial.steps(prompt[: HEAT[0]])
                own_steps = own_steps or steps
                apart = difference(own_steps, steps)
                heats[build.name] = trial.time(prompt[: HEAT[0]], HEAT[1])
            except NativeError as error:
                if build.name == BUILT_IN:
                    raise
                rows[build.name] = Row(build.name, build.kind, 0.0, 0.0, 0, 0.0, str(error))
                continue
            trials.append(trial)
            wrong = f"it computes something else: {apart:.2f} nats from the built-in build" if apart > DIFFERENCE_MOST else ""
            heat = heats[build.name]
            rows[build.name] = Row(build.name, build.kind, heat.prefill_tok_s, heat.decode_tok_s, 0, apart, wrong)
        able = [trial for trial in trials[1:] if not rows[trial.build.name].problem]
        able.sort(key=lambda trial: rows[trial.build.name].mix_ms)
        finalists = [trials[0], *able[:FINALISTS]]
        for name, timings in rounds(finalists, prompt, began, say).items():
            prefill = statistics.median(timing.prefill_tok_s for timing in timings)
            decode = statistics.median(timing.decode_tok_s for timing in timings)
            rows[name] = msgspec.structs.replace(rows[name], prefill_tok_s=prefill, decode_tok_s=decode, rounds=len(timings))
    return [rows[build.name] for build in builds]


def rounds(trials: Sequence[Trial], prompt: list[int], began: float, say: Callable[[str], None]) -> dict[str, list[Timing]]:
    """Whole rounds in turn, each beginning with another build, until the time is spent."""
    found: dict[str, list[Timing]] = {trial.build.name: [] for trial in trials}
    for number in range(CHOOSE_ROUNDS_MAX):
        start = time.monotonic()
        say(f"round {number + 1}: {', '.join(found)}")
        for place in range(len(trials)):
            trial = trials[(number + place) % len(trials)]
            found[trial.build.name].append(trial.time(prompt, ROUND[1]))
        now = time.monotonic()
        if number + 1 >= CHOOSE_ROUNDS_LEAST and now + (now - start) > began + CHOOSE_BUDGET_S:
            break
    return found


def fill(tokens: list[int], count: int) -> list[int]:
    """So many tokens, by repeating."""
    return (tokens * (count // len(tokens) + 1))[:count]


@contextlib.contextmanager
def started(build: Build, model: Path, threads: int) -> Iterator[Trial]:
    """A trial, ended with the context. Raises NativeError if it does not start."""
    starting = _program if build.kind == "program" else _child
    process, address = starting(build, model, threads)
    try:
        yield Trial(build, address)
    finally:
        _end(process)


def _child(build: Build, model: Path, threads: int) -> tuple["subprocess.Popen[bytes]", str]:
    variant = build.name if build.kind == "exchanged" else ""
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "jevons.engine.builds.trial"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    assert process.stdin
    assert process.stdout
    try:
        process.stdin.write(msgspec.json.encode(TrialOrder(str(model), threads, CONTEXT_TOKENS, variant)) + b"\n")
        process.stdin.flush()
        line = process.stdout.readline()
        report = msgspec.json.decode(line, type=TrialReport) if line else TrialReport(error="its process ended")
    except (OSError, msgspec.DecodeError) as error:
        report = TrialReport(error=f"its process ended ({error})")
    if not report.address:
        _end(process)
        raise NativeError(f"{build.name} does not start: {report.error}")
    return process, report.address


def _program(build: Build, model: Path, threads: int) -> tuple["subprocess.Popen[bytes]", str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    flags: dict[str, object] = {
        "--model": model,
        "--host": "127.0.0.1",
        "--port": port,
        "--parallel": 1,
        "--ctx-size": CONTEXT_TOKENS,
        "--batch-size": LOCAL_BATCH_TOKENS,
        "--ubatch-size": LOCAL_BATCH_TOKENS,
        "--threads": threads,
        "--threads-batch": threads,
    }
    command = [str(build.where), *(str(part) for flag in flags.items() for part in flag)]
    try:
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
    except OSError as error:
        raise NativeError(f"{build.where} does not start: {error.strerror}") from error
    deadline = time.monotonic() + ENGINE_START_TIMEOUT_S
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(OSError, http.client.HTTPException):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1)
            connection.request("GET", "/health")
            if connection.getresponse().status == 200:
                return process, f"http://127.0.0.1:{port}"
        time.sleep(0.1)
    _end(process)
    raise NativeError(f"{build.where} does not serve the model with llama.cpp's own flags")


def _end(process: "subprocess.Popen[bytes]") -> None:
    """Our child ends with its standard input; a program is told to."""
    assert process.stdin
    with contextlib.suppress(OSError):
        process.stdin.close()
    process.terminate()
    try:
        process.wait(ENGINE_STOP_GRACE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout:
        process.stdout.close()
