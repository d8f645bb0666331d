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
import threading
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
from jevons.engine.builds.choice import Row, Timing
from jevons.engine.builds.trial import TrialOrder, TrialReport
from jevons.engine.native.package import NativeError

HEAT = (64, 24)
"""Tokens of the prompt and of the answer: under a second, enough to tell which are worth whole rounds, and what a build computes."""
ROUND = (128, 16)
"""Small, so that there are many: what else the machine does then meets all builds alike, and their ratio within a round stands."""
FINALISTS = 2
CONTEXT_TOKENS = 1024
TEXT = (
    "A gateway that meters tokens keeps an exact ledger: each call to a model has a price, and the price is known before the call is "
    "made. Agents read the same long prompt again and again, so what was computed once is kept, and only the new part is paid for. "
)
CANARY_PLACES = 5
"""The likeliest tokens of the built-in build whose log probabilities are compared, at each token of a heat's answer."""
DIFFERENCE_MOST = 0.25
"""Nats, in the mean. Sums in another order (AVX-512 in place of AVX2) gave 0.06 on the packaged Q4_1 model, and 0 for the same
instructions; an operation that is taken for another one gives several."""

Step = tuple[int, dict[int, float]]
"""The token taken, and log probabilities of the likeliest."""


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

    def time(self, prompt: list[int]) -> Timing:
        """One whole round's rates, by the server's own clock."""
        return _timing(self.complete(prompt, ROUND[1]))

    def heat(self, prompt: list[int], own: list[Step] | None) -> tuple[list[Step], Row]:
        """A short answer: what it says and how sure it is, how fast, and how far that is from the built-in build's (None: it is that)."""
        answer = self.complete(prompt[: HEAT[0]], HEAT[1], 2 * CANARY_PLACES)
        steps = [
            (int(step["id"]), {int(place["id"]): float(place["logprob"]) for place in step["top_logprobs"]})
            for step in answer["completion_probabilities"]
        ]
        apart = difference(own or steps, steps)
        wrong = f"it computes something else: {apart:.2f} nats from the built-in build" if apart > DIFFERENCE_MOST else ""
        timing = _timing(answer)
        row = Row(
            timing.prefill_tok_s,
            timing.decode_tok_s,
            build=self.build.name,
            kind=self.build.kind,
            difference_nats=apart,
            problem=wrong,
        )
        return steps, row


def _timing(answer: Any) -> Timing:
    timings = answer["timings"]
    return Timing(float(timings["prompt_per_second"]), float(timings["predicted_per_second"]))


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
    rows: dict[str, Row] = {}
    trials: list[Trial] = []
    with contextlib.ExitStack() as stack:
        say("starting the built-in build")
        own = stack.enter_context(started(builds[0], model, threads))
        prompt = fill(own.tokens(TEXT), ROUND[0])
        own_steps, rows[BUILT_IN] = own.heat(prompt, None)
        for build in builds[1:]:
            if time.monotonic() - began > CHOOSE_BUDGET_S / 2:
                rows[build.name] = Row(build=build.name, kind=build.kind, problem="the time was over before it was measured")
                continue
            say(f"starting {build.name}")
            try:
                trial = stack.enter_context(started(build, model, threads))
                _, rows[build.name] = trial.heat(prompt, own_steps)
                trials.append(trial)
            except NativeError as error:
                rows[build.name] = Row(build=build.name, kind=build.kind, problem=str(error))
            except (KeyError, TypeError, ValueError, IndexError):  # a server of another version
                rows[build.name] = Row(build=build.name, kind=build.kind, problem="it answers in another form than is known")
        able = [trial for trial in trials if not rows[trial.build.name].problem]
        able.sort(key=lambda trial: rows[trial.build.name].mix_ms)
        found = rounds([own, *able[:FINALISTS]], prompt, began, say)
        for name, timings in found.items():
            rows[name] = msgspec.structs.replace(
                rows[name],
                prefill_tok_s=statistics.median(timing.prefill_tok_s for timing in timings),
                decode_tok_s=statistics.median(timing.decode_tok_s for timing in timings),
                gain=statistics.median(
                    before.mix_ms / timing.mix_ms for before, timing in zip(found[BUILT_IN], timings, strict=True)
                ),
                rounds=len(timings),
            )
    return [rows[build.name] for build in builds]


def rounds(trials: Sequence[Trial], prompt: list[int], began: float, say: Callable[[str], None]) -> dict[str, list[Timing]]:
    """Whole rounds in turn, each beginning with another build, until the time is spent."""
    found: dict[str, list[Timing]] = {trial.build.name: [] for trial in trials}
    for number in range(CHOOSE_ROUNDS_MAX):
        start = time.monotonic()
        say(f"round {number + 1}: {', '.join(found)}")
        for place in range(len(trials)):
            trial = trials[(number + place) % len(trials)]
            found[trial.build.name].append(trial.time(prompt))
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
    patience = threading.Timer(ENGINE_START_TIMEOUT_S, process.kill)
    patience.start()
    try:
        process.stdin.write(msgspec.json.encode(TrialOrder(str(model), threads, CONTEXT_TOKENS, variant)) + b"\n")
        process.stdin.flush()
        line = process.stdout.readline()
        report = msgspec.json.decode(line, type=TrialReport) if line else TrialReport(error="its process ended")
    except (OSError, msgspec.DecodeError) as error:
        report = TrialReport(error=f"its process ended ({error})")
    finally:
        patience.cancel()
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
        if _healthy(port):
            return process, f"http://127.0.0.1:{port}"
        time.sleep(0.1)
    _end(process)
    raise NativeError(f"{build.where} does not serve the model with llama.cpp's own flags")


def _healthy(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


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
