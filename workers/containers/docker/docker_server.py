"""A model server in a container of a Docker engine."""

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
    """A created container; its `url` is set when it is started.

    Args:
        engine: on which it runs.
        container: its id.
        title: its name in logs and errors.
        on_remove: called before it is removed.
    """

    def __init__(self, engine: Engine, container: str, title: str, on_remove: Callable[[], None]) -> None:
        self.id = container
        self.title = title
        self.url = ""
        self._engine = engine
        self._on_remove = on_remove

    def exit(self) -> Exit | None:
        """Return how it exited; see `Server.exit`."""
        with self._engine.session() as client:
            try:
                state = client.api.inspect_container(self.id)["State"]
            except NotFound:
                return Exit(code=137, out_of_memory=False, last_lines="(the container was removed)")
            if state["Status"] not in _ENDED:
                return None
        return Exit(
            code=state["ExitCode"], out_of_memory=bool(state["OOMKilled"]), last_lines=self.last_lines()
        )

    def memory_ran_out(self, since: float) -> bool:
        """Return whether the engine has an out-of-memory event of it; see `Server.memory_ran_out`."""
        wanted = {"container": self.id, "event": "oom"}
        # With an end in the past the engine answers at once, and does not wait for more events.
        span: Any = {"since": f"{since:.6f}", "until": f"{time.time():.6f}"}  # more precise than its type
        with contextlib.suppress(BackendFault), self._engine.session() as client:
            return any(True for _ in client.api.events(**span, filters=wanted, decode=True))
        return False

    def last_lines(self) -> str:
        """Return the end of its log."""
        with contextlib.suppress(BackendFault), self._engine.session() as client:
            log: bytes = client.api.logs(self.id, tail=MAX_LOG_LINES)
            return log.decode(errors="replace")
        return ""

    def remove(self) -> None:
        """Kill and remove it; see `Server.remove`."""
        self._on_remove()
        with self._engine.session() as client:
            remove_container(client, self.id)


def remove_container(client: DockerClient, container: str) -> None:
    """Kill and remove a container, unless it is gone or under removal."""
    try:
        # It keeps no state, so it needs no graceful stop.
        client.api.remove_container(container, v=True, force=True)
    except NotFound:
        return
    except APIError as error:
        if error.status_code != HTTPStatus.CONFLICT:
            raise
