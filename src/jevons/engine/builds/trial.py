"""The child process of one build's trial: `python -m jevons.engine.builds.trial`. One line of JSON in, one out, then it serves.

A server with nothing but what is measured: one slot, no kept prompts. It ends when its standard input ends.
Does not know: what it is compared with.
"""

import importlib
import os
import sys
import threading

import msgspec

from jevons.core.limits import LOCAL_BATCH_TOKENS
from jevons.engine.builds.exchange import exchange
from jevons.engine.native.package import NativeError, folder


class TrialOrder(msgspec.Struct, frozen=True):
    model: str
    threads: int
    context_tokens: int
    variant: str
    """Empty = the built-in back end."""


class TrialReport(msgspec.Struct, frozen=True):
    address: str = ""
    error: str = ""


def main() -> int:
    reports = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    order = msgspec.json.decode(sys.stdin.buffer.readline(), type=TrialOrder)
    threading.Thread(target=lambda: (sys.stdin.buffer.read(), os._exit(0)), daemon=True).start()
    try:
        if order.variant:
            exchange(folder(), order.variant)
        engine = importlib.import_module("xllamacpp")
        params = engine.CommonParams()
        params.model.path = order.model
        params.hostname = "127.0.0.1"
        params.port = 0
        params.n_parallel = 1
        params.n_ctx = order.context_tokens
        params.n_batch = params.n_ubatch = LOCAL_BATCH_TOKENS
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = order.threads
        params.cache_ram_mib = 0
        params.ui = False
        params.verbosity = 1
        server = engine.Server(params)
    except (ImportError, RuntimeError, NativeError) as error:
        reports.write(msgspec.json.encode(TrialReport(error=str(error))) + b"\n")
        return 1
    reports.write(msgspec.json.encode(TrialReport(address=server.listening_address)) + b"\n")
    threading.Event().wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
