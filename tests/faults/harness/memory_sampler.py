"""Sampler of the memory of the stack's processes across restarts."""

import csv
import itertools
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

from script.support.processes import Process
from tests.faults.harness.memory_growth import ProcessSamples
from tests.faults.harness.process_info import descendants, private_bytes

SAMPLE_INTERVAL_S: Final = 5.0

WatchedProcesses = Callable[[], Mapping[str, Process]]


class MemorySampler:
    """Sample the memory of processes and of all their descendants, each by itself, until `close`.

    Args:
        watched: returns the current processes by name.
        file: CSV file for the samples.
        interval: seconds between two samples.
    """

    def __init__(self, watched: WatchedProcesses, file: Path, *, interval: float = SAMPLE_INTERVAL_S) -> None:
        self._watched = watched
        self._file = file
        self._interval = interval
        self._samples: dict[tuple[int, int], ProcessSamples] = {}
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="memory", daemon=True)
        self._thread.start()

    def close(self) -> list[ProcessSamples]:
        """Stop sampling; return the samples of each process."""
        self._closing.set()
        self._thread.join(10)
        return list(self._samples.values())

    def _run(self) -> None:
        began = time.monotonic()
        with self._file.open("w", encoding="utf-8", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(("seconds", "process", "pid", "bytes"))
            while not self._closing.wait(self._interval):
                now = round(time.monotonic() - began, 1)
                for name, process in self._processes():
                    try:
                        size = private_bytes(process.pid)
                    except (OSError, LookupError):
                        continue  # it has just exited
                    samples = self._samples.setdefault((process.pid, process.started), ProcessSamples(name))
                    samples.name = name  # a process may start as one program and become another
                    samples.samples.append((now, size))
                    rows.writerow((now, name, process.pid, size))
                file.flush()  # keeps the samples of an interrupted soak

    def _processes(self) -> Iterator[tuple[str, Process]]:
        for name, process in self._watched().items():
            yield name, process
            named = {process.pid: (name, command_line(process.pid))}
            for child in descendants(process.pid):
                parent = _parent(child.pid)
                above, its = named.get(parent, (name, ()))
                own = command_line(child.pid)
                called = f"{name}: {program_name(own)}" if own != its else f"{above}, worker"
                named[child.pid] = (called, own)
                yield called, child


def command_line(pid: int) -> tuple[str, ...]:
    """Return the command line of a process; empty if it has exited."""
    try:
        text = Path(f"/proc/{pid}/cmdline").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ()
    return tuple(text.rstrip("\0").split("\0"))


def program_name(argv: tuple[str, ...]) -> str:
    """Return the name of what a command line runs: the Python module or script, otherwise the program."""
    for before, after in itertools.pairwise(argv):
        if before == "-m" or after.endswith(".py"):
            return after.removesuffix(".py").rpartition("/")[2]
    return Path(argv[0].split(":")[0]).name if argv else "?"


def _parent(pid: int) -> int:
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return 0
    return int(text.rpartition(")")[2].split()[1])
