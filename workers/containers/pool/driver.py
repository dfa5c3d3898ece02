"""What the pool needs of whatever runs model servers: a container engine, or child processes."""

from collections.abc import Mapping
from typing import Protocol

import msgspec

from straightline.contracts import ModelSpec
from workers.protocol.base import Health


class Exit(msgspec.Struct, frozen=True, kw_only=True):
    """How a server ended.

    Attributes:
        code: its exit code; 128 + n for signal n.
        out_of_memory: whether the kernel killed it for the memory it took.
        last_lines: the end of its log.
    """

    code: int
    out_of_memory: bool
    last_lines: str


class Server(Protocol):
    """One model server that was started; it may not be ready yet, and it may have ended.

    Attributes:
        title: what people call it.
        url: base URL of its V2 protocol.
    """

    title: str
    url: str

    def exit(self) -> Exit | None:
        """Say how it ended; None while it runs.

        Raises:
            BackendFault: `unreachable`, where that cannot be found out.
        """
        ...

    def memory_ran_out(self, since: float) -> bool:
        """Whether a process inside was killed for memory after `since` (seconds since the epoch).

        The server may live on: its parent process replaces the one that was killed. Never raises.
        """
        ...

    def last_lines(self) -> str:
        """Return the end of its log; never raises."""
        ...

    def remove(self) -> None:
        """End it and leave nothing of it; one that is gone already is no fault.

        Raises:
            BackendFault: `unreachable`, where the engine does not answer; the server may still be there.
        """
        ...


class Driver(Protocol):
    """Starts model servers. Safe to use from several threads; making one does no I/O."""

    def start(self, model: ModelSpec) -> Server:
        """Start a server of that model and return at once, without waiting until it is ready.

        Raises:
            BackendFault: `unreachable`, `not_deployed`, `cold_start_failed` or, where it ended at once, as
                in `workers.containers.pool.diagnosis`.
        """
        ...

    def health(self) -> Health:
        """Say whether servers can be started: a second at most, never raises."""
        ...

    def models(self) -> list[str] | None:
        """Names of the models that can be started; None where that is not known. Never raises."""
        ...

    def learn(self, images: Mapping[tuple[str, str], str]) -> None:
        """Take the ids of the images that were deployed, by name and version of their model.

        They may be run, beside those of the settings, and no other for those versions.
        """
        ...

    def remove_orphans(self) -> list[str]:
        """Remove servers whose worker is dead, and return their titles.

        Raises:
            BackendFault: `unreachable`.
        """
        ...

    def close(self) -> None:
        """Give back connections; servers are removed one by one before."""
        ...
