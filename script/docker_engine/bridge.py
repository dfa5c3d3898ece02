"""Private network bridge for the containers of a private engine or the hosts of a test."""

import fcntl
import ipaddress
import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from script.docker_engine.engine_packages import PROGRAM_PATH
from script.support.errors import StackError

_ADDRESS_RANGE: Final = ipaddress.IPv4Network("172.31.192.0/18")
"""End of a private range that few networks use; the first free /24 is taken."""
_LOCK: Final = Path("/run/lock/straightline-bridge")
"""Held while an address is chosen and assigned, since other runs do the same."""
_ENVIRONMENT: Final = {"PATH": PROGRAM_PATH, "LANG": "C.UTF-8"}


def add_bridge(name: str) -> ipaddress.IPv4Network:
    """Create the bridge in an unused network of this machine; its address is the network's first.

    Raises:
        StackError: the kernel or the sandbox does not allow it.
    """
    with _locked():
        return _add(name)


def _add(name: str) -> ipaddress.IPv4Network:
    used = [ipaddress.IPv4Network(route, strict=False) for route in _routes()]
    free = (
        part for part in _ADDRESS_RANGE.subnets(new_prefix=24) if not any(part.overlaps(net) for net in used)
    )
    network = next(free, None)
    if network is None:
        raise StackError(f"no free network for a bridge: all of {_ADDRESS_RANGE} is in use")
    _ip("link", "add", "name", name, "type", "bridge")
    _ip("address", "add", f"{network[1]}/{network.prefixlen}", "dev", name)
    _ip("link", "set", name, "up")
    return network


@contextmanager
def _locked() -> Iterator[None]:
    _LOCK.parent.mkdir(parents=True, exist_ok=True)
    with _LOCK.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield


def remove_bridge(name: str) -> None:
    """Remove the bridge; a missing one is not an error."""
    subprocess.run(["ip", "link", "delete", name], check=False, capture_output=True, env=_ENVIRONMENT)


def _routes() -> list[str]:
    found = json.loads(_ip("-4", "-json", "route", "show", "table", "all") or "[]")
    return [route["dst"] for route in found if route.get("dst", "default") != "default"]


def _ip(*arguments: str) -> str:
    done = subprocess.run(["ip", *arguments], check=False, capture_output=True, text=True, env=_ENVIRONMENT)
    if done.returncode != 0:
        raise StackError(
            f"creating a network for containers failed (ip {' '.join(arguments)}): {done.stderr.strip()}"
        )
    return done.stdout
