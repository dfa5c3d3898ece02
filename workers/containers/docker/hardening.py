"""The security options of a container, all in one place for review."""

from collections.abc import Sequence
from typing import Any, Final

from docker.types import DeviceRequest, LogConfig

from straightline.contracts.model import Resources
from workers.containers.settings import ContainerSettings

NO_REQUESTS: Final = Resources()
"""The resources of a model that requests none."""
_MIB: Final = 1024**2
TMP: Final = "/tmp"  # noqa: S108 - inside the container, in its own memory


def hardening_options(
    settings: ContainerSettings, processors: float, wanted: Resources = NO_REQUESTS
) -> dict[str, Any]:
    """Return the options of `containers.create` that confine a container.

    Args:
        settings: the limits.
        processors: number on the engine, which refuses a container that requests more.
        wanted: the model's resources; they may lower the limits and not raise them.
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
        "memswap_limit": memory,  # the same: no swap
        "nano_cpus": int(cpus * 1e9),
        "pids_limit": settings.container_pids,
        "ipc_mode": "private",
        # A server with a large log must not fill the host's disk.
        "log_config": LogConfig(type="json-file", config={"max-size": "1m", "max-file": "2"}),
    }


def gpu_options(runtimes: object, chosen: Sequence[str] = ()) -> dict[str, Any]:
    """Return the options that give a container GPUs, if the engine has NVIDIA's runtime.

    Args:
        runtimes: of the engine.
        chosen: ids of the devices; none gives all.
    """
    if not isinstance(runtimes, dict) or "nvidia" not in runtimes:
        return {}
    if chosen:
        return {"device_requests": [DeviceRequest(device_ids=list(chosen), capabilities=[["gpu"]])]}
    return {"device_requests": [DeviceRequest(count=-1, capabilities=[["gpu"]])]}


def network_options(settings: ContainerSettings) -> dict[str, Any]:
    """Return the options that make a container reachable from this worker and from no other machine."""
    if settings.container_network:
        return {"network": settings.container_network}
    return {"ports": {f"{settings.container_port}/tcp": ("127.0.0.1", None)}}
