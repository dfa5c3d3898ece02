"""Private Docker engine: its own data, socket and bridge, without packet filter rules."""

import json
import os
import secrets
import shutil
import subprocess
import tempfile
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import docker
import requests
from docker.errors import DockerException

from script.docker_engine.bridge import add_bridge, remove_bridge
from script.docker_engine.engine_packages import PROGRAM_PATH
from script.support import processes
from script.support.errors import StackError
from script.support.readiness import wait_until

NAME: Final = "the Docker engine"
_START_TIMEOUT_S: Final = 60.0
_API_TIMEOUT_S: Final = 5


@dataclass(frozen=True)
class Engine:
    """A started engine.

    Attributes:
        url: value for DOCKER_HOST.
        mark: random word in the environment of its processes.
        bridge: its network interface.
        exec_root: directory of its sockets and runtime state.
        process: the daemon.
    """

    url: str
    mark: str
    bridge: str
    exec_root: str
    process: processes.Process

    def write(self, file: Path) -> None:
        """Write the record with which the engine can be stopped."""
        file.write_text(json.dumps(asdict(self), indent=1), encoding="utf-8")

    @classmethod
    def read(cls, file: Path) -> "Engine | None":
        """Read the record; None if there is none."""
        try:
            record = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return cls(**{**record, "process": processes.Process(**record["process"])})


def answers(url: str | None) -> bool:
    """Whether an engine answers at `url`; None is the default of Docker's client."""
    try:
        client = (
            docker.DockerClient(base_url=url, timeout=_API_TIMEOUT_S)
            if url
            else docker.from_env(timeout=_API_TIMEOUT_S)
        )
        client.close()
    except (DockerException, requests.RequestException, OSError):
        return False
    return True


def start(home: Path) -> Engine:
    """Start an engine with its data below `home` and wait until it answers.

    Raises:
        StackError: it cannot run; the message has the end of its log.
    """
    if os.geteuid() != 0:
        raise StackError("a private Docker engine needs root. Or set DOCKER_HOST to a running engine")
    mark = secrets.token_hex(4)
    # A socket's path is limited to 107 bytes, and a checkout may be deeper.
    exec_root = tempfile.mkdtemp(prefix="straightline-engine-", dir=_run_directory())
    bridge = f"slbr-{mark}"
    try:
        add_bridge(bridge)
        return launch(home, mark, bridge, exec_root)
    except BaseException:
        remove_bridge(bridge)
        shutil.rmtree(exec_root, ignore_errors=True)
        raise


def launch(home: Path, mark: str, bridge: str, exec_root: str) -> Engine:
    """Start the daemon on an existing bridge and directory and wait until it answers.

    Raises:
        StackError: it did not start; no process of it remains.
    """
    log = home / "dockerd.log"
    log.unlink(missing_ok=True)
    (home / "daemon.json").write_text("{}\n", encoding="ascii")
    process = processes.start(
        NAME, _command(home, Path(exec_root), bridge), log=log, cwd=home, environment=_environment(mark)
    )
    engine = Engine(f"unix://{exec_root}/docker.sock", mark, bridge, exec_root, process)
    try:
        engine.write(home / "engine.json")
        wait_until(lambda: answers(engine.url), what=NAME, seconds=_START_TIMEOUT_S, watched=(process,))
    except BaseException:
        stop(engine, home)
        raise
    return engine


def stop(engine: Engine, home: Path) -> None:
    """Remove its containers, mounts and bridge and stop it; its images stay in `home`."""
    _remove_containers(engine.url)
    processes.stop((engine.process,))
    processes.stop_strays(engine.mark)
    for mounted in _mounts_below(home / "data", Path(engine.exec_root)):
        subprocess.run(["umount", "--lazy", mounted], check=False, capture_output=True)
    remove_bridge(engine.bridge)
    shutil.rmtree(engine.exec_root, ignore_errors=True)
    (home / "engine.json").unlink(missing_ok=True)


def _command(home: Path, exec_root: Path, bridge: str) -> list[str]:
    return [
        "dockerd",
        f"--data-root={home / 'data'}",
        f"--exec-root={exec_root}",
        f"--pidfile={exec_root / 'docker.pid'}",
        f"--host=unix://{exec_root}/docker.sock",
        f"--bridge={bridge}",
        # Docker's proxy publishes ports on the loopback interface: packet filter and forwarding stay
        # unchanged, and containers reach only this machine.
        *("--iptables=false", "--ip6tables=false", "--ip-masq=false", "--ip-forward=false"),
        "--userland-proxy=true",
        f"--config-file={home / 'daemon.json'}",  # not the machine's
    ]


def _environment(mark: str) -> dict[str, str]:
    return {"PATH": PROGRAM_PATH, "LANG": "C.UTF-8", "HOME": str(Path.home()), processes.RUN_VARIABLE: mark}


def _remove_containers(url: str) -> None:
    with suppress(DockerException, requests.RequestException):
        client = docker.DockerClient(base_url=url, timeout=_API_TIMEOUT_S)
        for container in client.containers.list(all=True, ignore_removed=True):
            container.remove(v=True, force=True)
        client.close()


def _mounts_below(*directories: Path) -> list[str]:
    """Return the mount points below the directories, innermost first."""
    lines = Path("/proc/self/mounts").read_text(encoding="utf-8", errors="replace").splitlines()
    points = [line.split()[1] for line in lines]
    return sorted(
        (point for point in points if any(Path(point).is_relative_to(one) for one in directories)),
        key=len,
        reverse=True,
    )


def _run_directory() -> str:
    return "/run" if Path("/run").is_dir() else tempfile.gettempdir()
