"""The place of one model in the pool, and what is put there."""

import logging
from concurrent.futures import Future
from dataclasses import dataclass, field

from straightline.contracts import ModelSpec
from workers.containers.pool.driver import Server
from workers.protocol.errors import BackendFault
from workers.protocol.v2_http import V2Client

ModelKey = tuple[str, str]
"""A model's name and version."""
_log = logging.getLogger(__name__)


@dataclass(eq=False, frozen=True)
class WarmServer:
    """A server that became ready, with the connections to it."""

    server: Server
    client: V2Client

    def remove(self) -> None:
        """End the server; never raises: what cannot be removed now is logged and left to the next sweep."""
        self.client.close()
        try:
            self.server.remove()
        except BackendFault as fault:
            _log.warning("%s could not be removed: %s", self.server.title, fault)
        # Its place in the pool would be lost for ever.
        except Exception:  # noqa: BLE001
            _log.exception("%s could not be removed", self.server.title)


@dataclass(frozen=True)
class Lease:
    """The right to ask a server once.

    Attributes:
        warm: the server.
        cold_start: seconds that this request waited for its start; None where it was warm.
    """

    warm: WarmServer
    cold_start: float | None


@dataclass(eq=False)
class Slot:
    """The place of one server of a model: first a start that is awaited, then the server.

    Attributes:
        model: which one.
        last_used: when a request last came or went, on the pool's clock.
        users: requests that wait for it or use it.
        warm: the server, once it is ready.
        ready: the same for those who wait, or the fault that prevented it.
    """

    model: ModelSpec
    last_used: float
    users: int = 0
    warm: WarmServer | None = None
    ready: Future[WarmServer] = field(default_factory=Future)

    @property
    def key(self) -> ModelKey:
        """Name and version of the model."""
        return (self.model.name, self.model.version)

    @property
    def unused(self) -> bool:
        """Whether it may be removed without anybody missing it now."""
        return self.warm is not None and self.users == 0
