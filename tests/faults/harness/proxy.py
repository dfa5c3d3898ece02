"""A TCP proxy between two parties that does to their connections what networks do."""

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Coroutine
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, Final

CHUNK: Final = 64 * 1024
SLICE: Final = 0.1
"""Seconds between two helpings of a narrow line."""


class Weather(Enum):
    """What a line does to what is sent over it."""

    CLEAR = auto()
    RESET = auto()
    BLACKHOLE = auto()
    HALF_OPEN = auto()
    SLOW = auto()
    NARROW = auto()
    CUT = auto()


@dataclass(eq=False)
class Line:
    """One connection through the proxy: its client's and its server's end; deaf, where it stays half open."""

    near: asyncio.StreamWriter
    far: asyncio.StreamWriter
    deaf: bool = False


class Proxy:
    """Listens on a free port of the loopback interface and passes everything on to `target`.

    Args:
        target: port of the loopback interface.
        latency: seconds that `SLOW` adds in each direction.
        rate: bytes per second that `NARROW` lets through in each direction.
    """

    def __init__(self, target: int, *, latency: float = 0.2, rate: int = 1000) -> None:
        self._target = target
        self._latency = latency
        self._rate = rate
        self._weather = Weather.CLEAR
        self._lines: set[Line] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=f"proxy-{target}", daemon=True)
        self._thread.start()
        self._changed = asyncio.Event()
        self._server: asyncio.Server = self._do(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.port: int = self._server.sockets[0].getsockname()[1]

    @property
    def lines(self) -> int:
        """How many connections there are."""
        return len(self._lines)

    def turn(self, weather: Weather) -> None:
        """Change the weather, for the connections there are and those to come.

        `RESET` breaks what there is and refuses what comes; `HALF_OPEN` closes the server's ends and leaves
        the clients' open and silent, for good: only the client can end that; `CUT` breaks each connection
        within the next message.
        """
        self._do(self._turn(weather))

    def close(self) -> None:
        """Break all connections and stop."""
        self._do(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()

    def _do(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _turn(self, weather: Weather) -> None:
        was, self._weather = self._weather, weather
        if weather is Weather.RESET or was is Weather.BLACKHOLE:
            # What was swallowed is gone: a real line would not carry on in the middle of a frame either.
            for line in list(self._lines):
                _reset(line.near)
                _reset(line.far)
        if weather is Weather.HALF_OPEN:
            for line in list(self._lines):
                line.deaf = True
                _reset(line.far)
        self._changed.set()
        self._changed = asyncio.Event()

    async def _stop(self) -> None:
        self._server.close()
        await self._turn(Weather.RESET)
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, near: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        if self._weather is Weather.RESET:
            _reset(near)
            return
        try:
            from_far, far = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            _reset(near)
            return
        line = Line(near, far)
        self._lines.add(line)
        try:
            ends = [
                asyncio.ensure_future(self._pump(line, reader, far)),
                asyncio.ensure_future(self._pump(line, from_far, near)),
            ]
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            if line.deaf:
                await ends[0]  # until the client gives up: it hears nothing
            elif self._weather is Weather.BLACKHOLE:
                await self._changed.wait()
            for end in ends:
                end.cancel()
        finally:
            self._lines.discard(line)
            for writer in (near, far):
                with contextlib.suppress(Exception):
                    writer.close()

    async def _pump(self, line: Line, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(CHUNK):
                if not line.deaf:
                    await self._pass_on(data, writer)

    async def _pass_on(self, data: bytes, writer: asyncio.StreamWriter) -> None:
        match self._weather:
            case Weather.BLACKHOLE | Weather.HALF_OPEN:
                return
            case Weather.SLOW:
                await asyncio.sleep(self._latency)
            case Weather.NARROW:
                await self._trickle(data, writer)
                return
            case Weather.CUT:
                writer.write(data[: max(1, len(data) // 2)])
                await writer.drain()
                raise ConnectionResetError
        writer.write(data)
        await writer.drain()

    async def _trickle(self, data: bytes, writer: asyncio.StreamWriter) -> None:
        helping = max(1, int(self._rate * SLICE))
        while data:
            if self._weather is Weather.NARROW:
                await asyncio.sleep(SLICE)
            else:
                helping = len(data)
            writer.write(data[:helping])
            await writer.drain()
            data = data[helping:]


def _reset(writer: asyncio.StreamWriter) -> None:
    """Break a connection off with RST."""
    endpoint = writer.get_extra_info("socket")
    if endpoint is not None:
        with contextlib.suppress(OSError):
            endpoint.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
