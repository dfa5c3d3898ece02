"""A warm model server, its slot in the pool, and the lease for one call."""

from concurrent.futures import Future
from dataclasses import dataclass, field

from straightline.contracts import ModelSpec
from straightline.support.event_log import EventLogger
from workers.containers.policy.scaling import ModelKey
from workers.containers.pool.driver import Server
from workers.protocol.errors import BackendFault
from workers.protocol.v2_http import V2Client

_log = EventLogger(__name__)


@dataclass(eq=False, frozen=True)
class WarmServer:
    """A ready server with the connections to it."""

    server: Server
    client: V2Client

    def remove(self) -> None:
        """Remove the server; never raises: a failure is logged and left to the reaper's next sweep."""
        self.client.close()
        try:
            self.server.remove()
        except BackendFault as fault:
            _log.warning("server_not_removed", server=self.server.title, error=fault)
        # Otherwise its slot would never be freed.
        except Exception:  # noqa: BLE001
            _log.exception("server_removal_failed", server=self.server.title)


@dataclass(frozen=True)
class Lease:
    """The right to call a server once.

    Attributes:
        warm: the server.
        cold_start: seconds that this request waited for the server's start; None if it was warm.
    """

    warm: WarmServer
    cold_start: float | None


@dataclass(eq=False)
class Slot:
    """The slot of one server: first its pending start, then the server.

    Attributes:
        model: the model that it serves.
        last_used: when a request last came or went, on the pool's clock.
        users: number of requests that wait for it or use it.
        warm: the server, once it is ready.
        started: the same for the waiting requests, or the fault that prevented it.
    """

    model: ModelSpec
    last_used: float
    users: int = 0
    warm: WarmServer | None = None
    started: Future[WarmServer] = field(default_factory=Future)

    @property
    def key(self) -> ModelKey:
        """Name and version of the model."""
        return (self.model.name, self.model.version)

    @property
    def ready(self) -> bool:
        """Whether the server has started."""
        return self.warm is not None

    @property
    def unused(self) -> bool:
        """Whether the server may be removed now."""
        return self.warm is not None and self.users == 0
