"""Which processes a process has started, and those in turn; which are of its session."""

from collections.abc import Iterator
from pathlib import Path

from script.support.processes import Process


def descendants(pid: int) -> list[Process]:
    """Return every process below `pid` that is there now."""
    children: dict[int, list[Process]] = {}
    for process, parent, _ in _all():
        children.setdefault(parent, []).append(process)
    found: list[Process] = []
    waiting = [pid]
    while waiting:
        below = children.get(waiting.pop(), [])
        found += below
        waiting += [process.pid for process in below]
    return found


def session(leader: int) -> list[Process]:
    """Return every process of the session that `leader` leads, or has led until it died, but for zombies."""
    return [process for process, _, its in _all() if its == leader and process.alive()]


def _all() -> Iterator[tuple[Process, int, int]]:
    """Yield each process with its parent and its session's leader."""
    for place in Path("/proc").glob("[0-9]*"):
        try:
            fields = (place / "stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
        except OSError:
            continue
        yield Process(place.name, int(place.name), int(fields[19]), ""), int(fields[1]), int(fields[3])
