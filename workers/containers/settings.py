"""What the gpu-container pool reads from the environment."""

from pathlib import Path
from typing import Annotated, Literal

import msgspec

Seconds = Annotated[float, msgspec.Meta(gt=0)]
Count = Annotated[int, msgspec.Meta(ge=1)]
Cpus = Annotated[float, msgspec.Meta(gt=0)]


class ContainerSettings(msgspec.Struct, frozen=True):
    """Read once, where the worker starts; each name after `STRAIGHTLINE_`.

    Attributes:
        container_driver: `docker`, or `process` for machines without an engine; never chosen by itself.
        container_image: the image of a model; `{model}` and `{version}` are filled in.
        container_digests: digests of the images that may be run, apart by commas; empty allows every image.
        container_max: servers that may exist at once, of all models.
        container_busy: requests at each server of a model from which on another one is started, where its
            `[warm]` allows several.
        container_idle: seconds without a request after which a server is removed; a model's `[warm]` may have
            its own.
        container_gpus: ids of the GPUs that containers get, apart by commas, the least loaded first; empty
            gives each of them all, where the engine has NVIDIA's runtime.
        container_start: seconds that a server has to become ready.
        container_memory: bytes that one container may have; it has no swap.
        container_cpus: processors that one container may have.
        container_pids: processes and threads that one container may have.
        container_tmp: bytes of its only writable directory, which is memory.
        container_user: uid:gid that it runs under, whatever the image says.
        container_port: where the server listens inside.
        container_network: a network of the engine that this worker is attached to, for a worker that runs in
            a container itself; without it the port is published on the loopback interface.
        container_owner: this worker's name on the containers it owns; empty takes `gpu-container@<host>`.
        engine_timeout: seconds that one call of the engine may take.
        run: the deployment that the containers belong to; others' are left alone.
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
