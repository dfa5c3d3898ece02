"""A network bridge of our own for the containers of a private engine."""

import ipaddress
import json
import subprocess
from typing import Final

from script.stack.engine_packages import SEARCHED
from script.stack.failure import StackError

_POOL: Final = ipaddress.ip_network("172.31.192.0/18")
"""At the end of a private range, where few networks lie; the first free part of it is taken."""
_ENVIRONMENT: Final = {"PATH": SEARCHED, "LANG": "C.UTF-8"}


def add_bridge(name: str) -> None:
    """Make the bridge with an address that no other network of this machine has.

    Raises:
        StackError: the kernel or the sandbox does not allow it.
    """
    used = [ipaddress.ip_network(route, strict=False) for route in _routes()]
    free = (part for part in _POOL.subnets(new_prefix=24) if not any(part.overlaps(net) for net in used))
    network = next(free, None)
    if network is None:
        raise StackError(f"all of {_POOL} is in use: there is no address left for a bridge")
    _ip("link", "add", "name", name, "type", "bridge")
    _ip("address", "add", f"{network[1]}/{network.prefixlen}", "dev", name)
    _ip("link", "set", name, "up")


def remove_bridge(name: str) -> None:
    """Remove the bridge; a missing one is no fault."""
    subprocess.run(["ip", "link", "delete", name], check=False, capture_output=True, env=_ENVIRONMENT)


def _routes() -> list[str]:
    found = json.loads(_ip("-4", "-json", "route", "show", "table", "all") or "[]")
    return [route["dst"] for route in found if route.get("dst", "default") != "default"]


def _ip(*arguments: str) -> str:
    done = subprocess.run(["ip", *arguments], check=False, capture_output=True, text=True, env=_ENVIRONMENT)
    if done.returncode != 0:
        raise StackError(
            f"a network for containers cannot be made (ip {' '.join(arguments)}): {done.stderr.strip()}"
        )
    return done.stdout
