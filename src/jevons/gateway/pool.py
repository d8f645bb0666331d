"""The connections to one upstream: at most so many, the last used first, and whoever has to wait waits in turn.

Comes in: an origin. Goes out: an open connection that nobody else uses, or NotSent.
Does not know: requests.
"""

import asyncio
import ssl
from collections import deque
from collections.abc import Callable

from jevons.core.limits import KEEPALIVE_IDLE_S
from jevons.gateway.failures import NotSent
from jevons.gateway.http1 import Connection, Origin


class Pool:
    """`tls` makes the context for https, when one is first needed."""

    def __init__(self, connections_max: int, connect_timeout_s: float, tls: Callable[[], ssl.SSLContext]) -> None:
        self._connections_max = connections_max
        self._connect_timeout_s = connect_timeout_s
        self._tls = tls
        self._places = 0
        """Taken places: connections that are open or being opened."""
        self._connections: set[Connection] = set()
        self._idle: dict[Origin, list[Connection]] = {}
        self._waiters: deque[tuple[Origin, asyncio.Future[Connection | None]]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def idle(self, origin: Origin) -> Connection | None:
        """An open connection that rests, if there is one."""
        resting = self._idle.get(origin)
        while resting:
            connection = resting.pop()
            if connection.ready():
                return connection
            connection.drop()
        return None

    async def connection(self, origin: Origin) -> Connection:
        """One that rests, a new one, or the next that becomes free. Raises NotSent, at the latest after the connect time-out."""
        try:
            async with asyncio.timeout(self._connect_timeout_s):
                return await self._take(origin)
        except TimeoutError:
            full = self._places >= self._connections_max
            what = f"all {self._connections_max} connections are in use" if full else "no connection"
            raise NotSent(f"{what} after {self._connect_timeout_s:g} s") from None

    def close(self) -> None:
        """Drop all connections."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._idle.clear()
        for connection in list(self._connections):
            connection.drop()

    async def _take(self, origin: Origin) -> Connection:
        while True:
            connection = self.idle(origin)
            if connection is not None:
                return connection
            if self._places < self._connections_max:
                self._places += 1
                return await self._connect(origin)
            self._drop_elsewhere(origin)
            connection = await self._turn(origin)
            if connection is None:
                return await self._connect(origin)
            if connection.ready():
                return connection
            connection.drop()

    async def _turn(self, origin: Origin) -> Connection | None:
        """Wait for a connection that becomes free, or (None) a place for a new one."""
        waiter: asyncio.Future[Connection | None] = asyncio.get_running_loop().create_future()
        self._waiters.append((origin, waiter))
        try:
            return await waiter
        except BaseException:
            if not waiter.done() or waiter.cancelled():
                self._waiters = deque(one for one in self._waiters if one[1] is not waiter)
            elif (connection := waiter.result()) is not None:
                self._released(connection)
            else:
                self._free_place()
            raise

    async def _connect(self, origin: Origin) -> Connection:
        """Open one on a place that is taken already."""
        connection = Connection(origin, self._released, self._lost)
        self._connections.add(connection)
        secure = origin.scheme == "https"
        try:
            await asyncio.get_running_loop().create_connection(
                lambda: connection,
                origin.host,
                origin.port,
                ssl=self._tls() if secure else None,
                server_hostname=origin.host if secure else None,
            )
            if not connection.usable:
                raise NotSent("the connection was closed as soon as it was made")
        except BaseException as error:
            connection.drop()
            self._lost(connection)  # uvloop forgets to say so when the cancellation crosses the connection's making
            if isinstance(error, OSError | ValueError) and not isinstance(error, TimeoutError):
                raise NotSent(getattr(error, "strerror", None) or str(error) or type(error).__name__) from None
            raise
        return connection

    def _released(self, connection: Connection) -> None:
        if not connection.rest():
            connection.drop()
            return
        while self._waiters:
            origin, waiter = self._waiters[0]
            if waiter.done():
                self._waiters.popleft()
            elif origin == connection.origin:
                self._waiters.popleft()
                waiter.set_result(connection)
                return
            else:
                connection.drop()  # its place is the waiter's
                return
        self._idle.setdefault(connection.origin, []).append(connection)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(KEEPALIVE_IDLE_S, self._sweep)

    def _lost(self, connection: Connection) -> None:
        if connection in self._connections:
            self._connections.remove(connection)
            resting = self._idle.get(connection.origin)
            if resting and connection in resting:
                resting.remove(connection)
            self._free_place()

    def _free_place(self) -> None:
        while self._waiters:
            _, waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)  # the place changes hands
                return
        self._places -= 1

    def _drop_elsewhere(self, origin: Origin) -> None:
        """An address that is not called now gives a place to one that is."""
        for other, resting in self._idle.items():
            if other != origin and resting:
                resting.pop(0).drop()
                return

    def _sweep(self) -> None:
        """Close what has rested for too long, and look again when the next is due."""
        self._timer = None
        due = KEEPALIVE_IDLE_S
        for origin, resting in list(self._idle.items()):
            for connection in [one for one in resting if one.idle_s() >= KEEPALIVE_IDLE_S]:
                resting.remove(connection)
                connection.drop()
            if resting:
                due = min(due, KEEPALIVE_IDLE_S - resting[0].idle_s())
            else:
                del self._idle[origin]
        if self._idle:
            self._timer = asyncio.get_running_loop().call_later(due, self._sweep)
