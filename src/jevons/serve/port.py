"""The port: bound before anything else is started, served until a stop signal, then every call is settled.

Comes in: where to listen, an ASGI application. Goes out: answers. Does not know: what is served.
"""

import asyncio
import logging
import signal
import socket
from collections.abc import Callable

import uvicorn

from jevons.config import Config, ConfigError
from jevons.core.limits import SHUTDOWN_GRACE_S, SHUTDOWN_SETTLE_S
from jevons.gateway.app import App

STOPS = (signal.SIGINT, signal.SIGTERM)


def listen(config: Config) -> socket.socket:
    """Bind before anything else is started, so that a taken port is said at once."""
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((config.host, config.port))
    except OSError as error:
        sock.close()
        raise ConfigError(
            f"Cannot listen on {config.host}:{config.port} ({error.strerror}). Set JEVONS_PORT to a free port."
        ) from None
    return sock


def shown(host: str) -> str:
    return {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)


async def run(app: App, sock: socket.socket, stopping: Callable[[], None]) -> None:
    """Serve until a signal. `stopping` is called at the first: what would stay open for ever ends."""
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)  # a stream that we cut on purpose is no news
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            loop="none",
            http="httptools",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            date_header=False,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=int(SHUTDOWN_GRACE_S),
        )
    )
    with_signals = asyncio.get_running_loop()

    def stop(number: int) -> None:
        stopping()
        server.handle_exit(number, None)

    for number in STOPS:
        with_signals.add_signal_handler(number, stop, number)
    await server._serve([sock])
    await _cut_off(server.server_state.tasks)


async def _cut_off(calls: set[asyncio.Task[None]]) -> None:
    """Calls that outlived the grace, or a second signal: each is cancelled and settled before the ledger closes."""
    for call in calls:
        if not call.cancelling():  # once is enough: a second would strike what settles it
            call.cancel()
    if calls:
        await asyncio.wait(calls, timeout=SHUTDOWN_SETTLE_S)
