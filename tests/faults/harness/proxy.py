"""TCP proxy that injects network faults into connections."""

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Coroutine
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, Final

CHUNK_BYTES: Final = 64 * 1024
NARROW_INTERVAL_S: Final = 0.1
"""Time between two slices on a narrow link."""


class LinkState(Enum):
    """Treatment of the data on a link; see `Proxy.set_state`."""

    CLEAR = auto()
    RESET = auto()
    BLACKHOLE = auto()
    HALF_OPEN = auto()
    SLOW = auto()
    NARROW = auto()
    CUT = auto()


@dataclass(eq=False)
class Connection:
    """One connection through the proxy; `half_open` once its server side was closed."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter
    half_open: bool = False


class Proxy:
    """Listen on a free loopback port and forward all connections to `target`.

    Args:
        target: port of the loopback interface.
        latency: delay that `SLOW` adds in each direction, in seconds.
        rate: throughput of `NARROW` in each direction, in bytes per second.
    """

    def __init__(self, target: int, *, latency: float = 0.2, rate: int = 1000) -> None:
        self._target = target
        self._latency = latency
        self._rate = rate
        self._weather = LinkState.CLEAR
        self._connections: set[Connection] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=f"proxy-{target}", daemon=True)
        self._thread.start()
        self._changed = asyncio.Event()
        self._server: asyncio.Server = self._do(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.port: int = self._server.sockets[0].getsockname()[1]

    @property
    def connections(self) -> int:
        """Number of open connections."""
        return len(self._connections)

    def set_state(self, state: LinkState) -> None:
        """Set the state for present and new connections.

        `RESET` resets present connections and refuses new ones. `BLACKHOLE` drops all data. `HALF_OPEN`
        closes the server side of present connections and leaves the client side open and silent for good.
        `CUT` breaks each connection within the next message.
        """
        self._do(self._set_state(state))

    def close(self) -> None:
        """Reset all connections and stop."""
        self._do(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()

    def _do(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _set_state(self, state: LinkState) -> None:
        was, self._weather = self._weather, state
        if state is LinkState.RESET or was is LinkState.BLACKHOLE:
            # Dropped data is gone: a real connection would not continue in the middle of a frame either.
            for connection in list(self._connections):
                _reset(connection.client)
                _reset(connection.server)
        if state is LinkState.HALF_OPEN:
            for connection in list(self._connections):
                connection.half_open = True
                _reset(connection.server)
        self._changed.set()
        self._changed = asyncio.Event()

    async def _stop(self) -> None:
        self._server.close()
        await self._set_state(LinkState.RESET)
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        if self._weather is LinkState.RESET:
            _reset(client)
            return
        try:
            from_server, server = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            _reset(client)
            return
        connection = Connection(client, server)
        self._connections.add(connection)
        try:
            ends = [
                asyncio.ensure_future(self._pump(connection, reader, server)),
                asyncio.ensure_future(self._pump(connection, from_server, client)),
            ]
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            if connection.half_open:
                await ends[0]  # until the client gives up: it receives nothing
            elif self._weather is LinkState.BLACKHOLE:
                await self._changed.wait()
            for end in ends:
                end.cancel()
        finally:
            self._connections.discard(connection)
            for writer in (client, server):
                with contextlib.suppress(Exception):
                    writer.close()

    async def _pump(
        self, connection: Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(CHUNK_BYTES):
                if not connection.half_open:
                    await self._pass_on(data, writer)

    async def _pass_on(self, data: bytes, writer: asyncio.StreamWriter) -> None:
        match self._weather:
            case LinkState.BLACKHOLE | LinkState.HALF_OPEN:
                return
            case LinkState.SLOW:
                await asyncio.sleep(self._latency)
            case LinkState.NARROW:
                await self._trickle(data, writer)
                return
            case LinkState.CUT:
                writer.write(data[: max(1, len(data) // 2)])
                await writer.drain()
                raise ConnectionResetError
        writer.write(data)
        await writer.drain()

    async def _trickle(self, data: bytes, writer: asyncio.StreamWriter) -> None:
        part = max(1, int(self._rate * NARROW_INTERVAL_S))
        while data:
            if self._weather is LinkState.NARROW:
                await asyncio.sleep(NARROW_INTERVAL_S)
            else:
                part = len(data)
            writer.write(data[:part])
            await writer.drain()
            data = data[part:]


def _reset(writer: asyncio.StreamWriter) -> None:
    """Abort a connection with RST."""
    endpoint = writer.get_extra_info("socket")
    if endpoint is not None:
        with contextlib.suppress(OSError):
            endpoint.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
