"""Whose container is it: the labels that say so, and whether its worker is dead."""

import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Self

import msgspec

_PREFIX: Final = "straightline.owner."
OWNER_LABEL: Final = f"{_PREFIX}node"
"""The label that every container of every worker has."""


class Owner(msgspec.Struct, frozen=True, kw_only=True):
    """A worker process, told apart from every other one that ever was.

    Attributes:
        node: the worker's name.
        run: the deployment that it belongs to.
        scope: where its process id means something: one boot of one kernel, and one namespace of ids.
        pid: its process id there.
        started: clock ticks after boot at which it started.
    """

    node: str
    run: str
    scope: str
    pid: str
    started: str

    @classmethod
    def this_process(cls, node: str, run: str) -> Self:
        """Return the identity of this process; an empty `node` takes the pool's usual name."""
        return cls(
            node=node or f"gpu-container@{socket.gethostname()}",
            run=run,
            scope=_scope(),
            pid=str(os.getpid()),
            started=start_ticks(os.getpid()) or "",
        )

    @classmethod
    def of_labels(cls, labels: Mapping[str, str]) -> Self | None:
        """Read the labels of a container; None where they are not all there."""
        values = {name: labels.get(_PREFIX + name) for name in cls.__struct_fields__}
        return None if None in values.values() else msgspec.convert(values, cls)

    def labels(self) -> dict[str, str]:
        """Return the labels for a container."""
        return {_PREFIX + name: value for name, value in msgspec.to_builtins(self).items()}


def is_orphan(owner: Owner, me: Owner) -> bool:
    """Whether the worker that owns a container is dead, as far as `me` can know.

    Where the process id can be looked up, that decides. Elsewhere only an earlier life of `me` is known to be
    dead: a node's name is given once in a deployment. Everybody else counts as alive.
    """
    if owner == me:
        return False
    if owner.scope == me.scope:
        return start_ticks(int(owner.pid)) != owner.started
    return (owner.node, owner.run) == (me.node, me.run)


def start_ticks(pid: int) -> str | None:
    """Read when a process started, in clock ticks after boot; None where there is none, or a dead one."""
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
        # Without /proc no process can be looked up either: a scope that equals no other.
        return f"{socket.gethostname()}/{os.getpid()}"
