"""How a container is confined: all of it in one place, to be read against what the engine says of it."""

from collections.abc import Sequence
from typing import Any, Final

from docker.types import DeviceRequest, LogConfig

from straightline.contracts.model import Resources
from workers.containers.settings import ContainerSettings

NO_REQUESTS: Final = Resources()
"""Of a model that asks for nothing in particular."""
_MIB: Final = 1024**2
TMP: Final = "/tmp"  # noqa: S108 - inside of the container, in its own memory


def hardening_options(
    settings: ContainerSettings, processors: float, wanted: Resources = NO_REQUESTS
) -> dict[str, Any]:
    """Return the options of `containers.create` that confine it.

    Args:
        settings: the limits.
        processors: how many the engine has; it refuses a container that asks for more.
        wanted: what the model asks for; it may have less than the limits and not more.
    """
    memory = min(settings.container_memory, (wanted.memory or settings.container_memory) * _MIB)
    cpus = min(settings.container_cpus, wanted.cpus or settings.container_cpus, processors)
    return {
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true"],
        "read_only": True,
        "tmpfs": {TMP: f"rw,noexec,nosuid,nodev,size={settings.container_tmp},mode=1777"},
        "user": settings.container_user,
        "mem_limit": memory,
        "memswap_limit": memory,  # the same: no swap on top
        "nano_cpus": int(cpus * 1e9),
        "pids_limit": settings.container_pids,
        "ipc_mode": "private",
        # A server that writes much must not fill the host's disk.
        "log_config": LogConfig(type="json-file", config={"max-size": "1m", "max-file": "2"}),
    }


def gpu_options(runtimes: object, chosen: Sequence[str] = ()) -> dict[str, Any]:
    """Return the options that give it GPUs, where the engine has NVIDIA's runtime.

    Args:
        runtimes: of the engine.
        chosen: ids of the devices; none gives all of them.
    """
    if not isinstance(runtimes, dict) or "nvidia" not in runtimes:
        return {}
    if chosen:
        return {"device_requests": [DeviceRequest(device_ids=list(chosen), capabilities=[["gpu"]])]}
    return {"device_requests": [DeviceRequest(count=-1, capabilities=[["gpu"]])]}


def network_options(settings: ContainerSettings) -> dict[str, Any]:
    """Return the options that let the worker, and no other machine, reach it."""
    if settings.container_network:
        return {"network": settings.container_network}
    return {"ports": {f"{settings.container_port}/tcp": ("127.0.0.1", None)}}
