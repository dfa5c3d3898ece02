"""Processes that outlive the call that starts them: in their own session, known by pid and start time."""

import os
import signal
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from script.support.accounts import Account
from script.support.errors import StackError

RUN_VARIABLE: Final = "STRAIGHTLINE_RUN"
"""Environment variable that every process of a run carries, so that strays are found."""
_POLL_INTERVAL_S: Final = 0.05


@dataclass(frozen=True)
class Process:
    """A started process.

    Attributes:
        name: what we call it.
        pid: its id, which the system may give to another after it.
        started: clock ticks after boot at which it started, which tells it from a later owner of its id.
        log: where its output goes.
        stop_signal: number of the signal that asks it to end.
        tier: lower tiers are ended first; what others depend on has a higher one.
    """

    name: str
    pid: int
    started: int
    log: str
    stop_signal: int = signal.SIGTERM
    tier: int = 0

    def alive(self) -> bool:
        """Whether it still runs (a zombie does not)."""
        _collect(self.pid)
        return _started(self.pid) == self.started

    def tail(self, lines: int = 15) -> str:
        """Return the end of its log."""
        try:
            text = Path(self.log).read_text(encoding="utf-8", errors="replace")
        except OSError:
            return "(no log)"
        return "\n".join(text.splitlines()[-lines:]) or "(an empty log)"


def start(
    name: str,
    argv: Sequence[str],
    *,
    log: Path,
    cwd: Path,
    environment: Mapping[str, str],
    account: Account | None = None,
    stop_signal: signal.Signals = signal.SIGTERM,
    tier: int = 0,
) -> Process:
    """Start a process in the background, in its own session, its output in `log`.

    Raises:
        StackError: it cannot be started at all.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    other = account if account is not None and account.switch else None
    try:
        with log.open("ab") as output:
            child = subprocess.Popen(
                list(argv),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=cwd,
                env=dict(environment),
                start_new_session=True,
                user=other.uid if other else None,
                group=other.gid if other else None,
                extra_groups=[] if other else None,
            )
    except OSError as error:
        raise StackError(f"{name} cannot be started ({argv[0]}): {error}") from error
    child.returncode = 0  # we wait by pid ourselves: keep the interpreter from warning of a running child
    return Process(name, child.pid, _started(child.pid) or 0, str(log), int(stop_signal), tier)


def stop(processes: Iterable[Process], *, timeout: float = 15.0) -> list[str]:
    """End these processes together: asked first, killed where they are still there after `patience` seconds.

    Returns:
        the names of those that had to be killed.
    """
    waiting = [process for process in processes if process.alive()]
    for process in waiting:
        _signal(process.pid, process.stop_signal)
    _wait(waiting, timeout)
    killed = [process for process in waiting if process.alive()]
    for process in killed:
        _signal(process.pid, signal.SIGKILL)
    _wait(killed, 5.0)
    return [process.name for process in killed]


def stop_strays(run: str) -> list[int]:
    """Kill whatever still carries the mark of the run; return their pids."""
    mark = f"{RUN_VARIABLE}={run}".encode()
    found = [pid for pid in _pids() if pid != os.getpid() and mark in _environment(pid)]
    for pid in found:
        _signal(pid, signal.SIGKILL)
    deadline = time.monotonic() + 5
    while any(mark in _environment(pid) for pid in found) and time.monotonic() < deadline:
        time.sleep(_POLL_INTERVAL_S)
    return found


def _wait(processes: Sequence[Process], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and any(process.alive() for process in processes):
        time.sleep(_POLL_INTERVAL_S)


def _started(pid: int) -> int | None:
    """Read when a process started, None where there is none or it is a zombie."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else int(fields[19])


def _pids() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def _environment(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return []


def _signal(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def _collect(pid: int) -> None:
    """Take the exit status of a dead child of ours, so that it does not stay a zombie."""
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return  # started by another process: whoever adopted it collects it


def this_process() -> Process:
    """Describe the calling process."""
    return Process("owner", os.getpid(), _started(os.getpid()) or 0, "")
