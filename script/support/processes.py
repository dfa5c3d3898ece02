"""Background processes in sessions of their own, identified by pid and start time."""

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
"""Environment variable of every process of a run, by which strays are found."""
_POLL_INTERVAL_S: Final = 0.05


@dataclass(frozen=True)
class Process:
    """A started process.

    Attributes:
        name: our name for it.
        pid: process id, which the system may reuse.
        started: start time in clock ticks after boot, which distinguishes it from a later process of that id.
        log: file of its output.
        stop_signal: number of the signal that stops it.
        tier: order of stopping, lowest first; a process has a higher tier than those that use it.
    """

    name: str
    pid: int
    started: int
    log: str
    stop_signal: int = signal.SIGTERM
    tier: int = 0

    def alive(self) -> bool:
        """Whether it is running; a zombie is not."""
        _collect(self.pid)
        return _started(self.pid) == self.started

    def tail(self, lines: int = 15) -> str:
        """Return the last lines of its log."""
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
    """Start a background process in its own session, with its output in `log`.

    Raises:
        StackError: it cannot be started.
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
        raise StackError(f"{name} cannot be started: {argv[0]}: {error}") from error
    child.returncode = 0  # waited for by pid; avoids the warning about a running child
    return Process(name, child.pid, _started(child.pid) or 0, str(log), int(stop_signal), tier)


def stop(processes: Iterable[Process], *, timeout: float = 15.0) -> list[str]:
    """Stop processes together: signal them, and kill those still running after `timeout` seconds.

    Returns:
        names of the processes that had to be killed.
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
    """Kill all processes that still have the run's variable; return their pids."""
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
    """Return the start time of a process; None if there is none or it is a zombie."""
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
    """Reap a child process that has exited."""
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return  # not our child: its parent reaps it


def this_process() -> Process:
    """Return the calling process."""
    return Process("owner", os.getpid(), _started(os.getpid()) or 0, "")
