"""The backend of a pool, chosen by the queue that it consumes."""

from collections.abc import Callable, Collection, Mapping
from importlib import import_module
from typing import Final, cast

from straightline.errors import ConfigurationError
from straightline.names import BACKENDS, Backend, backend_queue
from workers.protocol.base import Backend as BackendProtocol

_MODULES: Final[Mapping[Backend, str]] = {
    "local": "workers.backends.local",
    "serverless": "workers.backends.serverless",
    "gpu-container": "workers.backends.gpu_container",
}
_BY_QUEUE: Final = {backend_queue(backend): backend for backend in BACKENDS}


def backend_of_queues(queues: Collection[str]) -> Backend:
    """Return the backend whose queue a worker consumes.

    Raises:
        ConfigurationError: the worker does not consume exactly one of the pools' queues.
    """
    if len(queues) == 1:
        (queue,) = queues
        if queue in _BY_QUEUE:
            return _BY_QUEUE[queue]
    raise ConfigurationError(
        f"cannot choose a backend: the worker consumes {', '.join(sorted(queues)) or 'no queue'}. start it "
        f"with -Q and exactly one of {', '.join(_BY_QUEUE)}"
    )


def make_backend(backend: Backend, environ: Mapping[str, str]) -> BackendProtocol:
    """Return the backend that the environment configures; only its own module and libraries are imported.

    Raises:
        ConfigurationError: a setting of that backend is missing or wrong.
    """
    create = cast("Callable[[Mapping[str, str]], BackendProtocol]", import_module(_MODULES[backend]).create)
    return create(environ)
