"""Hosts: network namespaces on one bridge, each with a model server and a pool of the local form."""

import ipaddress
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

from script.docker_engine.bridge import add_bridge, remove_bridge
from script.docker_engine.engine_packages import PROGRAM_PATH
from script.support import processes
from script.support.errors import StackError
from script.support.processes import Process
from script.support.run import Run

ROOT: Final = Path(__file__).resolve().parents[3]
SLOTS: Final = 4
_PORT: Final = 8080
"""The same on every host: each has a loopback interface of its own."""


@dataclass
class Host:
    """A namespace with a cable to the bridge.

    Attributes:
        name: of the host, and of its pool after the `@`.
        space: of the network namespace.
        cable: of its end of the cable that is at the bridge.
        run: records what is started.
        environment: of its processes.
    """

    name: str
    space: str
    cable: str
    run: Run
    environment: dict[str, str]
    server: Process | None = None
    pool: Process | None = None

    @property
    def worker(self) -> str:
        """Name of its pool."""
        return f"local@{self.name}"

    def start(self) -> None:
        """Start what does not run: model server and pool."""
        self.start_server()
        if self.pool is None:
            command = ("celery", "-A", "workers", "worker", "-Q", "straightline.local")
            self.pool = self._start("pool", *command, "-n", self.worker, "-c", str(SLOTS), "-l", "INFO")

    def start_server(self) -> None:
        """Start the model server, where it does not run."""
        if self.server is None:
            configuration = "python:model_server.gunicorn_conf"
            self.server = self._start("server", "gunicorn", "-c", configuration, "model_server.app:create()")

    def kill_server(self) -> None:
        """Kill the model server, its workers included."""
        _kill(self.server)
        self.server = None

    def kill(self) -> None:
        """Kill everything on it."""
        _kill(self.pool)
        self.pool = None
        self.kill_server()

    def unplug(self) -> None:
        """Cut its network: whoever is connected hears nothing any more."""
        ip("link", "set", self.cable, "down")

    def plug(self) -> None:
        """Bring its network back."""
        ip("link", "set", self.cable, "up")

    def log(self, what: str) -> str:
        """Return what its server or pool has written."""
        return self.run.log(f"{what}-{self.name}").read_text(encoding="utf-8", errors="replace")

    def _start(self, what: str, *command: str) -> Process:
        process = processes.start(
            f"{what}-{self.name}",
            ("ip", "netns", "exec", self.space, sys.executable, "-m", *command),
            log=self.run.log(f"{what}-{self.name}"),
            cwd=ROOT,
            environment=self.environment,
        )
        self.run.add(process)
        return process


@dataclass
class Network:
    """A bridge, and the hosts on it.

    Attributes:
        bridge: its name.
        addresses: its first is this machine's, where the hosts find the broker.
    """

    bridge: str
    addresses: ipaddress.IPv4Network
    hosts: list[Host] = field(default_factory=list)

    @classmethod
    @contextmanager
    def laid(cls, run: Run) -> Iterator[Self]:
        """Create a bridge with an unused name and address; remove it with all hosts at the end.

        Raises:
            StackError: the kernel or the sandbox does not allow it.
        """
        bridge = f"sl-{run.name}"
        try:
            network = cls(bridge, add_bridge(bridge))
            try:
                yield network
            finally:
                for host in network.hosts:
                    host.kill()
                    # First the cable: connections that are yet to end keep a namespace for a while.
                    ip("link", "delete", host.cable)
                    ip("netns", "delete", host.space)
        finally:
            remove_bridge(bridge)

    @property
    def address(self) -> str:
        """Where the hosts find this machine."""
        return str(self.addresses[1])

    def add(self, run: Run, environment: dict[str, str]) -> Host:
        """Make another host; nothing runs there yet."""
        number = len(self.hosts) + 1
        name = f"host{number}"
        space, cable = f"sl-{run.name}-{number}", f"sl{run.name}{number}"
        ip("netns", "add", space)
        host = Host(
            name,
            space,
            cable,
            run,
            {
                **{key: value for key, value in os.environ.items() if key in ("HOME", "LANG")},
                "PATH": PROGRAM_PATH,
                "PYTHONPATH": str(ROOT),
                "PYTHONUNBUFFERED": "1",
                processes.RUN_VARIABLE: run.name,
                "STRAIGHTLINE_SERVE_BIND": f"127.0.0.1:{_PORT}",
                "STRAIGHTLINE_LOCAL_URL": f"http://127.0.0.1:{_PORT}",
                **environment,
            },
        )
        self.hosts.append(host)
        ip("link", "add", cable, "type", "veth", "peer", "name", "eth0", "netns", space)
        ip("link", "set", cable, "master", self.bridge, "up")
        inside = ("-n", space)
        ip(
            *inside,
            "address",
            "add",
            f"{self.addresses[1 + number]}/{self.addresses.prefixlen}",
            "dev",
            "eth0",
        )
        ip(*inside, "link", "set", "eth0", "up")
        ip(*inside, "link", "set", "lo", "up")
        return host


def ip(*arguments: str) -> None:
    """Run iproute2's `ip`.

    Raises:
        StackError: it failed; the message is what it said.
    """
    done = subprocess.run(["ip", *arguments], check=False, capture_output=True, text=True)
    if done.returncode != 0:
        raise StackError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")


def _kill(process: Process | None) -> None:
    if process is not None and process.alive():
        os.killpg(process.pid, signal.SIGKILL)
