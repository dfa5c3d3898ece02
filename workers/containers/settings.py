"""Settings of the gpu-container pool, read from the environment."""

from pathlib import Path
from typing import Annotated, Literal

import msgspec

Seconds = Annotated[float, msgspec.Meta(gt=0)]
Count = Annotated[int, msgspec.Meta(ge=1)]
Cpus = Annotated[float, msgspec.Meta(gt=0)]


class ContainerSettings(msgspec.Struct, frozen=True):
    """Read once when the worker starts; each variable has the prefix `STRAIGHTLINE_`.

    Attributes:
        container_driver: `docker`, or `process` for machines without an engine; never chosen automatically.
        container_image: name of a model's image; `{model}` and `{version}` are filled in.
        container_digests: allowlist of image digests, separated by commas; empty allows every image.
        container_max: number of servers that may exist at once, over all models.
        container_busy: requests on each server of a model from which on another server is started, if the
            model's `[warm]` allows several.
        container_idle: seconds without a request after which a server is removed; a model's `[warm]` may have
            its own.
        container_gpus: ids of the GPUs for containers, separated by commas, the least loaded one first; empty
            gives all GPUs to each container, if the engine has NVIDIA's runtime.
        container_start: seconds for a server to become ready.
        container_memory: bytes of memory of one container; it has no swap.
        container_cpus: processors of one container.
        container_pids: processes and threads of one container.
        container_tmp: bytes of its only writable directory, which is in memory.
        container_user: uid:gid of its processes, whatever the image says.
        container_port: port on which the server listens inside.
        container_network: an engine network to which this worker is attached, for a worker that runs in a
            container itself; without it the port is published on the loopback interface.
        container_owner: name of this worker on its containers; empty for `gpu-container@<host>`.
        engine_timeout: seconds for one call of the engine.
        run: the deployment to which the containers belong; those of others are left alone.
        models_dir: directory of the bundles, for the driver `process`.
    """

    models_dir: Path
    container_driver: Literal["docker", "process"] = "docker"
    container_image: str = "straightline/{model}:{version}"
    container_digests: str = ""
    container_max: Count = 4
    container_busy: Count = 4
    container_idle: Seconds = 300.0
    container_start: Seconds = 60.0
    container_memory: Annotated[int, msgspec.Meta(ge=16 * 1024 * 1024)] = 2 * 1024**3
    container_cpus: Cpus = 2.0
    container_pids: Annotated[int, msgspec.Meta(ge=8)] = 256
    container_tmp: Count = 64 * 1024**2
    container_user: Annotated[str, msgspec.Meta(pattern=r"^[1-9][0-9]*(:[0-9]+)?$")] = "65532:65532"
    container_port: Annotated[int, msgspec.Meta(ge=1, le=65535)] = 8080
    container_network: str | None = None
    container_owner: str = ""
    container_gpus: str = ""
    engine_timeout: Count = 10
    run: str = ""
