"""Ownership of containers: the labels with their worker, and whether that worker is dead."""

import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Self

import msgspec

_PREFIX: Final = "straightline.owner."
OWNER_LABEL: Final = f"{_PREFIX}node"
"""The label of all workers' containers."""


class Owner(msgspec.Struct, frozen=True, kw_only=True):
    """The unique identity of a worker process.

    Attributes:
        node: the worker's name.
        run: its deployment.
        scope: in which its process id is unique: one boot of a kernel, and one namespace of process ids.
        pid: its process id.
        started: its start in clock ticks after boot.
    """

    node: str
    run: str
    scope: str
    pid: str
    started: str

    @classmethod
    def this_process(cls, node: str, run: str) -> Self:
        """Return the identity of this process; an empty `node` stands for the default name."""
        return cls(
            node=node or f"gpu-container@{socket.gethostname()}",
            run=run,
            scope=_scope(),
            pid=str(os.getpid()),
            started=start_ticks(os.getpid()) or "",
        )

    @classmethod
    def of_labels(cls, labels: Mapping[str, str]) -> Self | None:
        """Return the owner in a container's labels; None if one is missing."""
        values = {name: labels.get(_PREFIX + name) for name in cls.__struct_fields__}
        return None if None in values.values() else msgspec.convert(values, cls)

    def labels(self) -> dict[str, str]:
        """Return the labels for a container of this owner."""
        return {_PREFIX + name: value for name, value in msgspec.to_builtins(self).items()}


def is_orphan(owner: Owner, me: Owner) -> bool:
    """Return whether a container's owner is dead, as far as `me` can know.

    In the same scope its process id decides. In another scope only an earlier process of `me` is known to be
    dead, since a node's name is unique in a deployment; all other owners count as alive.
    """
    if owner == me:
        return False
    if owner.scope == me.scope:
        return start_ticks(int(owner.pid)) != owner.started
    return (owner.node, owner.run) == (me.node, me.run)


def start_ticks(pid: int) -> str | None:
    """Return a process's start in clock ticks after boot; None if it does not exist or is dead."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else fields[19]


def _scope() -> str:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot}/{Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        # Without /proc no process can be looked up either: use a scope that equals no other.
        return f"{socket.gethostname()}/{os.getpid()}"
