"""Which processes a process has started, and those in turn."""

from pathlib import Path

from script.stack.processes import Process


def descendants(pid: int) -> list[Process]:
    """Return every process below `pid` that is there now."""
    children: dict[int, list[Process]] = {}
    for place in Path("/proc").glob("[0-9]*"):
        try:
            fields = (place / "stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
        except OSError:
            continue
        child = Process(place.name, int(place.name), int(fields[19]), "")
        children.setdefault(int(fields[1]), []).append(child)
    found: list[Process] = []
    waiting = [pid]
    while waiting:
        below = children.get(waiting.pop(), [])
        found += below
        waiting += [process.pid for process in below]
    return found
