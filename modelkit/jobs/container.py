"""The runtime `docker`: jobs in isolated containers."""

import contextlib
import json
import os
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import docker
import requests
from docker.errors import APIError, DockerException, ImageNotFound, NotFound
from docker.types import DeviceRequest, LogConfig, Mount

from modelkit.docker_engine import connected_engine
from modelkit.jobs.job import Job, JobRefused, JobResult, Listener
from modelkit.jobs.stream import OutputParser
from modelkit.package.code import copy_code

LABEL: Final = "straightline.job"
ENGINE_TIMEOUT_S: Final = 60
_ENGINE_HINT: Final = "{error}. Start it, set DOCKER_HOST to another one, or use --runtime local"
KILL_GRACE_S: Final = 10.0
"""Time beyond the job's own limit after which its container is killed."""
_TMP: Final = "/tmp"  # noqa: S108 - inside the container


class ContainerRuntime:
    """Runs each job in a container of its own, and removes it afterwards.

    Args:
        image: image with `python3` and the imports of the entry point.
        environ: environment with DOCKER_HOST.
        setting: option or variable that names the image, for messages.
        tmp: bytes that a job may write to /tmp; they count as memory.
    """

    name: Final = "docker"

    def __init__(self, image: str, environ: Mapping[str, str], setting: str, tmp: int) -> None:
        self._image = image
        self._environ = dict(environ)
        self._setting = setting
        self._tmp = tmp

    def run(self, job: Job, listener: Listener) -> JobResult:
        """Run a job; see `Runtime.run`."""
        with (
            connected_engine(
                self._environ, ENGINE_TIMEOUT_S, error_type=JobRefused, hint=_ENGINE_HINT
            ) as client,
            tempfile.TemporaryDirectory(prefix="straightline-job-") as code,
        ):
            copy_code(Path(code) / "code", also=("job_runtime",))
            container = self._create(client, job, Path(code) / "code")
            try:
                return self._follow(client, container, job, listener)
            finally:
                with contextlib.suppress(NotFound):
                    client.api.remove_container(container, v=True, force=True)

    def _create(self, client: docker.DockerClient, job: Job, code: Path) -> str:
        info = client.info()
        if job.step.gpus and "nvidia" not in (info.get("Runtimes") or {}):
            raise JobRefused(
                f"{job.title} needs {job.step.gpus} GPU(s), and the engine has no NVIDIA runtime. Install "
                f"NVIDIA's container toolkit, or set gpus = 0 in [{job.kind}]"
            )
        try:
            created = client.containers.create(
                self._image,
                ["python3", "-u", "/code/modelkit/job_runtime/runner.py", json.dumps(_runner_argument(job))],
                entrypoint=[],
                labels={LABEL: f"{os.getpid()}"},
                environment={"HOME": _TMP, "PYTHONDONTWRITEBYTECODE": "1"},
                working_dir="/output",
                mounts=_mounts(job, code),
                network_mode="bridge" if job.step.network else "none",
                **_sandbox_options(job, float(info["NCPU"]), self._tmp),
            )
        except ImageNotFound as error:
            raise JobRefused(
                f"the engine has no image {self._image}. Pull or build it, or choose another one with "
                f"{self._setting}"
            ) from error
        return str(created.id)

    def _follow(self, client: docker.DockerClient, container: str, job: Job, listener: Listener) -> JobResult:
        stream = OutputParser(listener)
        began = time.monotonic()
        try:
            client.api.start(container)
        except APIError as error:
            raise JobRefused(
                f"{job.title} could not be started in {self._image}: {error.explanation or error}. Check "
                "that the image has python3, and that the engine can mount this machine's directories"
            ) from error
        timed_out = threading.Event()
        timer = threading.Timer(job.step.timeout + KILL_GRACE_S, self._kill, (client, container, timed_out))
        timer.daemon = True
        timer.start()
        try:
            for chunk in client.api.logs(container, stream=True, follow=True):
                stream.feed(chunk)
            stream.close()
            client.api.wait(container)
        finally:
            timer.cancel()
        state = client.api.inspect_container(container)["State"]
        return stream.result(
            code=state["ExitCode"],
            out_of_memory=bool(state["OOMKilled"]),
            timed_out=timed_out.is_set(),
            seconds=time.monotonic() - began,
        )

    def _kill(self, client: docker.DockerClient, container: str, timed_out: threading.Event) -> None:
        timed_out.set()
        with contextlib.suppress(DockerException, requests.RequestException):
            client.api.kill(container)


def _sandbox_options(job: Job, processors: float, tmp: int) -> dict[str, Any]:
    options: dict[str, Any] = {
        "user": f"{os.getuid()}:{os.getgid()}",  # so that its output belongs to the caller
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true"],
        "read_only": True,
        "tmpfs": {_TMP: f"rw,nosuid,nodev,size={tmp},mode=1777"},
        "pids_limit": 4096,
        "log_config": LogConfig(type="json-file", config={"max-size": "16m", "max-file": "2"}),
        "nano_cpus": int(min(job.step.cpus or processors, processors) * 1e9),
    }
    if job.memory_bytes is not None:
        options |= {"mem_limit": job.memory_bytes, "memswap_limit": job.memory_bytes}  # no swap
    if job.step.gpus:
        options["device_requests"] = [DeviceRequest(count=job.step.gpus, capabilities=[["gpu"]])]
    return options


def _mounts(job: Job, code: Path) -> list[Mount]:
    readable = {"/code": code, "/project": job.project, "/inputs": job.inputs, "/bundle": job.bundle}
    mounts = [
        Mount(target, str(source), type="bind", read_only=True)
        for target, source in readable.items()
        if source is not None
    ]
    return [*mounts, Mount("/output", str(job.output), type="bind")]


def _runner_argument(job: Job) -> dict[str, object]:
    return {
        "kind": job.kind,
        "entry": job.step.entry,
        "project": "/project",
        "output": "/output",
        "inputs": None if job.inputs is None else "/inputs",
        "bundle": None if job.bundle is None else "/bundle",
        "code": "/code",
        "timeout": job.step.timeout,
        "memory": None,  # the container has the limit
    }
