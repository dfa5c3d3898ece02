"""Process information from /proc: descendants, session members, memory."""

from collections.abc import Iterator
from pathlib import Path

from script.support.processes import Process


def descendants(pid: int) -> list[Process]:
    """Return all running processes below `pid`."""
    children: dict[int, list[Process]] = {}
    for process, parent, _ in _all():
        children.setdefault(parent, []).append(process)
    found: list[Process] = []
    pending = [pid]
    while pending:
        below = children.get(pending.pop(), [])
        found += below
        pending += [process.pid for process in below]
    return found


def session(leader: int) -> list[Process]:
    """Return the processes of the session of `leader`, which may have exited; zombies are left out."""
    return [process for process, _, its in _all() if its == leader and process.alive()]


def resident_bytes(pid: int) -> int:
    """Return the resident memory of a process in bytes; 0 if it has exited."""
    try:
        return int(status_field(pid, "VmRSS")) * 1024
    except (OSError, LookupError):
        return 0


def private_bytes(pid: int) -> int:
    """Return the memory of a process in bytes without file-backed pages, which the kernel drops at will.

    Raises:
        OSError, LookupError: the process has exited.
    """
    return 1024 * sum(int(status_field(pid, name)) for name in ("RssAnon", "RssShmem", "VmSwap"))


def status_field(pid: int, name: str) -> str:
    """Return a field of /proc/PID/status, without its unit.

    Raises:
        OSError, LookupError: the process has exited.
    """
    with open(f"/proc/{pid}/status", encoding="ascii") as status:  # noqa: PTH123 - a file of the kernel
        for line in status:
            if line.startswith(f"{name}:"):
                return line.split()[1]
    raise LookupError(name)


def _all() -> Iterator[tuple[Process, int, int]]:
    """Yield each process with its parent and its session's leader."""
    for place in Path("/proc").glob("[0-9]*"):
        try:
            fields = (place / "stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
        except OSError:
            continue
        yield Process(place.name, int(place.name), int(fields[19]), ""), int(fields[1]), int(fields[3])
