"""Memory of the components of a run, read from /proc."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from script.support.run import Run


class Memory(NamedTuple):
    """Memory in MiB.

    Attributes:
        total: with shared pages counted once over all processes that share them.
        own: anonymous pages only: no files, no shared buffers.
    """

    total: float
    own: float

    def __add__(self, other: "Memory") -> "Memory":  # type: ignore[override]  # a tuple's means another thing
        """Return the sum of both."""
        return Memory(self.total + other.total, self.own + other.own)


Snapshot = dict[str, Memory]
"""Memory by component."""


def snapshot(run: Run, also: dict[str, int]) -> Snapshot:
    """Return the memory of every component of a run, each with its children, and of the processes `also`."""
    named = {process.pid: process.name for process in run.started} | {pid: name for name, pid in also.items()}
    parents = dict(_parents())
    found: defaultdict[str, Memory] = defaultdict(lambda: Memory(0.0, 0.0))
    for pid in parents:
        ancestor: int | None = pid
        while ancestor is not None and ancestor not in named:
            ancestor = parents.get(ancestor)
        memory = _memory(pid) if ancestor is not None else None
        if ancestor is not None and memory is not None:
            found[named[ancestor]] += memory
    return dict(found)


def _parents() -> Iterator[tuple[int, int]]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            fields = dict(_fields(entry / "status"))
            if "PPid" in fields:
                yield int(entry.name), int(fields["PPid"])


def _memory(pid: int) -> Memory | None:
    fields = dict(_fields(Path(f"/proc/{pid}/smaps_rollup")))
    if "Pss" not in fields:
        return None  # it has ended, or has no memory of its own
    return Memory(*(int(fields[name].split()[0]) / 1024 for name in ("Pss", "Anonymous")))


def _fields(file: Path) -> Iterable[tuple[str, str]]:
    try:
        lines = file.read_text(errors="replace").splitlines()
    except OSError:
        return
    for line in lines:
        name, colon, value = line.partition(":")
        if colon:
            yield name, value.strip()
