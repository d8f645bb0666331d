"""Runs one function in a process of its own, because native code that meets a fault of its own ends the process it is in.

Comes in: a function at the top of a module, and arguments that can be pickled. Goes out: its result, its exception, or a NativeError
with the last lines that the process wrote. Does not know: what the function does.
"""

import importlib
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from jevons.engine.native.package import NativeError

P = ParamSpec("P")
R = TypeVar("R")
LINES_KEPT = 4


def apart(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """`function(*args, **kwargs)`, computed by another process with our interpreter. Raises what it raises, and NativeError if the
    process ends without an answer.
    """
    order = pickle.dumps((function.__module__, function.__qualname__, sys.path, args, kwargs))
    # Without a backtrace: llama.cpp would look for a debugger and start it.
    environment = {**os.environ, "GGML_NO_BACKTRACE": "1"}
    done = subprocess.run([sys.executable, "-P", "-m", __name__], input=order, capture_output=True, env=environment, check=False)
    if not done.stdout:
        lines = [line for line in done.stderr.decode("utf-8", "replace").splitlines() if line.strip()]
        raise NativeError(
            f"{function.__name__} ended without an answer ({_end(done.returncode)}): {' '.join(lines[-LINES_KEPT:])}"
        )
    answer, error = pickle.loads(done.stdout)  # from our own child
    if error is not None:
        raise error
    result: R = answer
    return result


def _end(code: int) -> str:
    try:
        return signal.Signals(-code).name if code < 0 else f"status {code}"
    except ValueError:
        return f"status {code}"


def main() -> None:
    """The other process: what native code prints goes to standard error, the pickled answer to standard output."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    module, name, sys.path[:], args, kwargs = pickle.load(sys.stdin.buffer)
    result: tuple[Any, BaseException | None]
    try:
        result = (getattr(importlib.import_module(module), name)(*args, **kwargs), None)
    except Exception as error:  # noqa: BLE001 - raised again by the caller
        result = (None, error)
    answers.write(pickle.dumps(result))
    answers.close()


if __name__ == "__main__":
    main()
