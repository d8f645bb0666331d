"""The child process: `python -m jevons.engine.server`. One line of JSON in (`ServeOrder`), one out (`Report`), then it serves.

It ends when its standard input ends, which happens when its parent stops it or dies, however it dies: no orphan keeps a core.
It binds 127.0.0.1 only, on a port that the kernel picks, and answers nothing but `/health` without the key of its order.
Does not know: who calls it, nor what a call costs.
"""

import importlib
import os
import sys
import threading
from typing import Any
from urllib.parse import urlsplit

import msgspec

from jevons.core.limits import LOCAL_BATCH_TOKENS, LOCAL_PROMPT_CACHE_MIB, LOCAL_QUEUE_MAX
from jevons.engine.settings import Report, ServeOrder

LOG_ERRORS = 1
"""llama.cpp's verbosity. At 2 (warnings) it would log refused requests with parts of their content, which must not reach a disk."""


def parameters(engine: Any, order: ServeOrder) -> Any:
    """llama.cpp's parameters for this order; whatever is not named here keeps llama.cpp's default."""
    params = engine.CommonParams()
    params.model.path = order.model
    params.model_alias = {order.alias}
    params.hostname = "127.0.0.1"
    params.port = 0
    params.api_keys = [order.api_key]
    params.n_parallel = order.slots
    # Divided among the slots (kv_unified is off), so that four long requests cannot take each other's room.
    params.n_ctx = order.context_tokens * order.slots
    params.n_batch = params.n_ubatch = LOCAL_BATCH_TOKENS
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = order.threads
    params.cache_ram_mib = LOCAL_PROMPT_CACHE_MIB
    # A waiting request keeps an HTTP thread; the health probe needs one too, or a full queue would look like a hung engine.
    params.n_threads_http = LOCAL_QUEUE_MAX + order.slots + 2
    params.ui = False
    params.endpoint_metrics = True
    params.verbosity = LOG_ERRORS
    return params


def end_with_stdin() -> None:
    sys.stdin.buffer.read()
    os._exit(0)  # a clean-up would wait for running generations; there is nothing to save


def main() -> int:
    # The real standard output belongs to the report; anything that native code prints goes to the log.
    reports = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    order = msgspec.json.decode(sys.stdin.buffer.readline(), type=ServeOrder)
    watch = threading.Thread(target=end_with_stdin, daemon=True)
    watch.start()
    try:
        engine = importlib.import_module("xllamacpp")
        server = engine.Server(parameters(engine, order))
    except (ImportError, RuntimeError) as error:
        reports.write(msgspec.json.encode(Report(error=str(error))) + b"\n")
        return 1
    reports.write(msgspec.json.encode(Report(port=urlsplit(server.listening_address).port or 0)) + b"\n")
    watch.join()
    return 0


if __name__ == "__main__":
    sys.exit(main())
