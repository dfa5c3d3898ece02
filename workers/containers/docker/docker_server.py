"""One model server in a container of a Docker engine."""

import contextlib
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Final

from docker import DockerClient
from docker.errors import APIError, NotFound

from workers.containers.docker.engine import Engine
from workers.containers.pool.diagnosis import MAX_LOG_LINES
from workers.containers.pool.driver import Exit
from workers.protocol.errors import BackendFault

_ENDED: Final = frozenset({"exited", "dead"})


class DockerServer:
    """A container that was made; its `url` is set when it is started.

    Args:
        engine: where it is.
        container: its id.
        title: what people call it.
        released: called when it is not in use any more.
    """

    def __init__(self, engine: Engine, container: str, title: str, released: Callable[[], None]) -> None:
        self.id = container
        self.title = title
        self.url = ""
        self._engine = engine
        self._released = released

    def exit(self) -> Exit | None:
        """Say how it ended; see `Server.exit`."""
        with self._engine.session() as client:
            try:
                state = client.api.inspect_container(self.id)["State"]
            except NotFound:
                return Exit(code=137, out_of_memory=False, last_lines="(somebody removed the container)")
            if state["Status"] not in _ENDED:
                return None
        return Exit(
            code=state["ExitCode"], out_of_memory=bool(state["OOMKilled"]), last_lines=self.last_lines()
        )

    def memory_ran_out(self, since: float) -> bool:
        """Look for the engine's word that the kernel killed a process inside."""
        wanted = {"container": self.id, "event": "oom"}
        # Until a time that has come: the engine then answers at once, and does not wait for more.
        span: Any = {"since": f"{since:.6f}", "until": f"{time.time():.6f}"}  # more exact than its type knows
        with contextlib.suppress(BackendFault), self._engine.session() as client:
            return any(True for _ in client.api.events(**span, filters=wanted, decode=True))
        return False

    def last_lines(self) -> str:
        """Return the end of what it wrote."""
        with contextlib.suppress(BackendFault), self._engine.session() as client:
            log: bytes = client.api.logs(self.id, tail=MAX_LOG_LINES)
            return log.decode(errors="replace")
        return ""

    def remove(self) -> None:
        """Kill and remove it; see `Server.remove`."""
        self._released()
        with self._engine.session() as client:
            remove_container(client, self.id)


def remove_container(client: DockerClient, container: str) -> None:
    """Kill and remove a container; one that is gone, or that another is removing, is no fault."""
    try:
        # It keeps nothing, so it needs no time to end well.
        client.api.remove_container(container, v=True, force=True)
    except NotFound:
        return
    except APIError as error:
        if error.status_code != HTTPStatus.CONFLICT:
            raise
