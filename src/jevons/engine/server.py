"""The child process: `python -m jevons.engine.server`. One line of JSON in (`ServeOrder`), one out (`Report`), then it serves.

llama.cpp's server runs on threads of its own and a port of its own; before it stands the front, which gives requests their slots and parks
conversations (jevons.engine.front). Both bind 127.0.0.1 only, on ports that the kernel picks, and answer nothing but `/health` without the
key of the order. It ends when its standard input ends, which happens when its parent stops it or dies, however it dies: no orphan keeps a core.
Does not know: who calls it, nor what a call costs.
"""

import asyncio
import importlib
import importlib.metadata
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
import uvicorn
import uvloop

from jevons.core.limits import ENGINE_STOP_GRACE_S, LOCAL_BATCH_TOKENS
from jevons.engine.builds.exchange import apply
from jevons.engine.front.app import Front
from jevons.engine.front.inner import Inner
from jevons.engine.front.placing import Placing
from jevons.engine.native.package import VERSION
from jevons.engine.park.opening import open_park
from jevons.engine.park.park import Park
from jevons.engine.park.transit import Transit, open_transit
from jevons.engine.settings import Report, ServeOrder

log = logging.getLogger("jevons.engine")
LOG_ERRORS = 1
"""llama.cpp's verbosity. At 2 (warnings) it would log refused requests with parts of their content, which must not reach a disk."""
KV_TYPE_NAMES = {"f16": "GGML_TYPE_F16", "q8_0": "GGML_TYPE_Q8_0", "q4_0": "GGML_TYPE_Q4_0"}


def parameters(engine: Any, order: ServeOrder, transit: Transit | None) -> Any:
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
    params.cache_type_k = params.cache_type_v = engine.ggml_type[KV_TYPE_NAMES[order.kv_type]]
    params.cache_ram_mib = 0  # llama.cpp's own cache knows no tenants; the park does
    if transit is not None:
        params.slot_save_path = f"{transit.folder}/"
    # The front sends a request per slot, and moves one state at a time; the health probe needs a thread too.
    params.n_threads_http = order.slots + 4
    params.ui = False
    params.endpoint_metrics = True
    params.verbosity = LOG_ERRORS
    return params


async def serve(order: ServeOrder, report: Callable[[Report], object], end: "End") -> None:
    """Run llama.cpp's server with the front before it until `end` is told."""
    transit = _transit() if order.park.ram_bytes else None
    try:
        applied = apply(Path(order.builds) if order.builds else None)
        engine = importlib.import_module("xllamacpp")
        server = engine.Server(parameters(engine, order, transit))
        inner = Inner(urlsplit(server.listening_address).port or 0, order.api_key)
        async with _placing(order, inner, transit, applied.build) as (placing, park):
            sock = socket.create_server(("127.0.0.1", 0))
            config = uvicorn.Config(
                Front(inner, placing, park, order.api_key),
                loop="none",
                http="httptools",
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                date_header=False,
                timeout_graceful_shutdown=1,
            )
            door = uvicorn.Server(config)
            end.tell(asyncio.get_running_loop(), door)
            report(Report(port=sock.getsockname()[1], build=applied.said))
            await door._serve([sock])
    finally:
        if transit is not None:
            transit.close()


def _transit() -> Transit | None:
    try:
        return open_transit()
    except OSError as error:
        log.warning("conversations are not parked: their states need a file system in memory to pass through (%s)", error)
        return None


@asynccontextmanager
async def _placing(
    order: ServeOrder, inner: Inner, transit: Transit | None, build: str
) -> AsyncIterator[tuple[Placing, Park | None]]:
    library = f"xllamacpp {importlib.metadata.version('xllamacpp')}, {build} of {VERSION}"
    park = open_park(order, transit.folder, library) if transit is not None else None
    placing = Placing(inner, order.slots, park)
    idle = asyncio.create_task(placing.park_idle()) if park is not None and park.outlives else None
    try:
        yield placing, park
    finally:
        if idle is not None:
            idle.cancel()
        await placing.close()
        if park is not None:
            park.close()


class End:
    """The order to end: standard input closed, or a signal. Parking what is in the slots then has ENGINE_STOP_GRACE_S."""

    def __init__(self) -> None:
        self._door: tuple[asyncio.AbstractEventLoop, uvicorn.Server] | None = None
        threading.Thread(target=self._with_stdin, daemon=True).start()

    def tell(self, loop: asyncio.AbstractEventLoop, door: uvicorn.Server) -> None:
        """Whom to tell; before that an order to end is carried out at once."""
        self._door = loop, door
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, setattr, door, "should_exit", True)

    def _with_stdin(self) -> None:
        sys.stdin.buffer.read()
        if self._door is None:
            os._exit(0)
        loop, door = self._door
        loop.call_soon_threadsafe(setattr, door, "should_exit", True)
        threading.Event().wait(ENGINE_STOP_GRACE_S)
        os._exit(0)


def main() -> int:
    # The real standard output belongs to the report; anything that native code prints goes to the log.
    reports = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    order = msgspec.json.decode(sys.stdin.buffer.readline(), type=ServeOrder)
    end = End()
    try:
        uvloop.run(serve(order, lambda report: reports.write(msgspec.json.encode(report) + b"\n"), end))
    except (ImportError, RuntimeError) as error:
        reports.write(msgspec.json.encode(Report(error=str(error))) + b"\n")
        return 1
    sys.stderr.flush()
    os._exit(0)  # llama.cpp's destructors would wait for running generations


if __name__ == "__main__":
    sys.exit(main())
