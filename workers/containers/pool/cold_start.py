"""One cold start: a server started and awaited, or nothing left of it."""

from threading import Event

from straightline.contracts import ModelSpec
from workers.containers.pool.driver import Driver
from workers.containers.pool.readiness import wait_until_ready
from workers.containers.pool.warm_server import WarmServer
from workers.protocol.v2_http import V2Client


def start_server(driver: Driver, model: ModelSpec, patience: float, stopping: Event) -> WarmServer:
    """Start a server and wait until it is ready.

    Args:
        driver: what starts it.
        model: which one.
        patience: seconds that it has.
        stopping: set when nobody needs it any more.

    Raises:
        BackendFault: it could not be started or did not become ready; it was removed again.
    """
    server = driver.start(model)
    warm = WarmServer(server, V2Client(server.url))
    try:
        wait_until_ready(server, warm.client, patience, stopping)
    except BaseException:
        warm.remove()
        raise
    return warm
