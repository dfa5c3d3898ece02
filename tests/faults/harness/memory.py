"""The memory of the stack's processes, sampled as they run, die and are started anew."""

import csv
import itertools
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

from script.support.processes import Process
from tests.faults.harness.deaths import private
from tests.faults.harness.growth import Life
from tests.faults.harness.tree import descendants

EVERY: Final = 5.0
"""Seconds between two samples."""

Watched = Callable[[], Mapping[str, Process]]


class Memory:
    """Samples the memory of processes and of all that they have started, each for itself, until `close`.

    Args:
        watched: asked each time for the processes there are, by name.
        file: where to write each sample, for analysis.
        every: seconds between two samples.
    """

    def __init__(self, watched: Watched, file: Path, *, every: float = EVERY) -> None:
        self._watched = watched
        self._file = file
        self._every = every
        self._lives: dict[tuple[int, int], Life] = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="memory", daemon=True)
        self._thread.start()

    def close(self) -> list[Life]:
        """Stop sampling; return the samples of each process."""
        self._over.set()
        self._thread.join(10)
        return list(self._lives.values())

    def _run(self) -> None:
        began = time.monotonic()
        with self._file.open("w", encoding="utf-8", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(("seconds", "process", "pid", "bytes"))
            while not self._over.wait(self._every):
                now = round(time.monotonic() - began, 1)
                for name, process in self._processes():
                    try:
                        size = private(process.pid)
                    except (OSError, LookupError):
                        continue  # it has just ended
                    life = self._lives.setdefault((process.pid, process.started), Life(name))
                    life.name = name  # one that starts as another program than it becomes has two
                    life.samples.append((now, size))
                    rows.writerow((now, name, process.pid, size))
                file.flush()  # what was seen stays when the soak is broken off

    def _processes(self) -> Iterator[tuple[str, Process]]:
        for name, process in self._watched().items():
            yield name, process
            named = {process.pid: (name, command(process.pid))}
            for child in descendants(process.pid):
                parent = _parent(child.pid)
                above, its = named.get(parent, (name, ()))
                own = command(child.pid)
                called = f"{name}: {kind(own)}" if own != its else f"{above}, worker"
                named[child.pid] = (called, own)
                yield called, child


def command(pid: int) -> tuple[str, ...]:
    """Return the command line of a process; nothing where it has ended."""
    try:
        text = Path(f"/proc/{pid}/cmdline").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ()
    return tuple(text.rstrip("\0").split("\0"))


def kind(argv: tuple[str, ...]) -> str:
    """Say in a word what a command line starts: the module or script of a Python, or else the program."""
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
