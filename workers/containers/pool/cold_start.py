"""One cold start."""

from threading import Event

from straightline.contracts import ModelSpec
from workers.containers.pool.driver import Driver
from workers.containers.pool.readiness import wait_until_ready
from workers.containers.pool.warm_server import WarmServer
from workers.protocol.v2_http import V2Client


def start_server(driver: Driver, model: ModelSpec, timeout: float, stopping: Event) -> WarmServer:
    """Start a server and wait until it is ready; remove it if that fails.

    Args:
        driver: starts it.
        model: the model that it serves.
        timeout: seconds to become ready.
        stopping: set when the server is no longer needed.

    Raises:
        BackendFault: the server could not be started or did not become ready.
    """
    server = driver.start(model)
    warm = WarmServer(server, V2Client(server.url))
    try:
        wait_until_ready(server, warm.client, timeout, stopping)
    except BaseException:
        warm.remove()
        raise
    return warm
