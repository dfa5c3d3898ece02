"""The interface of a driver, which runs model servers in containers or as child processes."""

from collections.abc import Mapping
from typing import Protocol

import msgspec

from straightline.contracts import ModelSpec
from workers.protocol.base import Health


class Exit(msgspec.Struct, frozen=True, kw_only=True):
    """How a server exited.

    Attributes:
        code: its exit code; 128 + n for signal n.
        out_of_memory: whether the kernel killed it for exceeding its memory limit.
        last_lines: the end of its log.
    """

    code: int
    out_of_memory: bool
    last_lines: str


class Server(Protocol):
    """A started model server; it may not be ready yet, and it may have exited.

    Attributes:
        title: its name in logs and errors.
        url: base URL of its V2 protocol.
    """

    title: str
    url: str

    def exit(self) -> Exit | None:
        """Return how it exited; None while it runs.

        Raises:
            BackendFault: `unreachable`, if the engine does not answer.
        """
        ...

    def memory_ran_out(self, since: float) -> bool:
        """Return whether a process inside was killed for memory after `since` (seconds since the epoch).

        The server may still run: its parent process replaces the killed one. Never raises.
        """
        ...

    def last_lines(self) -> str:
        """Return the end of its log; never raises."""
        ...

    def remove(self) -> None:
        """Stop it and remove all of it; idempotent.

        Raises:
            BackendFault: `unreachable`, if the engine does not answer; the server may still exist.
        """
        ...


class Driver(Protocol):
    """Starts model servers. Thread-safe; constructing one does no I/O."""

    def start(self, model: ModelSpec) -> Server:
        """Start a server of that model, and return without waiting until it is ready.

        Raises:
            BackendFault: `unreachable`, `not_deployed`, `cold_start_failed` or, if it exited at once, as in
                `workers.containers.pool.diagnosis`.
        """
        ...

    def health(self) -> Health:
        """Return whether servers can be started, within a second; never raises."""
        ...

    def models(self) -> list[str] | None:
        """Return the names of the models that can be started; None if unknown. Never raises."""
        ...

    def update_images(self, images: Mapping[tuple[str, str], str]) -> None:
        """Replace the ids of the deployed images, by name and version of their model.

        They are allowed in addition to the configured digests, and no other image is used for those versions.
        """
        ...

    def remove_orphans(self) -> list[str]:
        """Remove the servers of dead workers, and return their titles.

        Raises:
            BackendFault: `unreachable`.
        """
        ...

    def close(self) -> None:
        """Close the connections; the servers are removed before."""
        ...
