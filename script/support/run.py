"""A run: its private directory, and the record of its processes, with which any command can stop it."""

import json
import secrets
from dataclasses import asdict, dataclass, field
from pathlib import Path
from threading import Lock
from typing import Final, Self

from script.support import processes
from script.support.accounts import remove, service_home
from script.support.errors import StackError
from script.support.processes import Process

RECORD: Final = "run.json"


@dataclass
class Run:
    """The processes and directories of one `script/up`, `script/demo` or test session.

    Attributes:
        directory: private directory below `.straightline/runs/`.
        name: random word, in the environment of all its processes.
        home: directory of the services' data.
        owner: the process that stops it; None if it stays until `script/down`.
        started: its processes in order of start.
    """

    directory: Path
    name: str
    home: Path
    owner: Process | None
    started: list[Process] = field(default_factory=list)
    _lock: Lock = field(default_factory=Lock, repr=False)

    @classmethod
    def create(cls, state: Path, *, stays: bool) -> Self:
        """Create a run below `state`/runs."""
        name = secrets.token_hex(4)
        directory = state / "runs" / name
        directory.mkdir(parents=True)
        owner = None if stays else processes.this_process()
        run = cls(directory, name, service_home(directory), owner)
        run._write()
        return run

    @classmethod
    def read(cls, directory: Path) -> Self:
        """Read the record of a run.

        Raises:
            StackError: the record is missing or damaged.
        """
        try:
            record = json.loads((directory / RECORD).read_text(encoding="utf-8"))
            owner = Process(**record["owner"]) if record["owner"] else None
            started = [Process(**entry) for entry in record["started"]]
            return cls(directory, record["name"], Path(record["home"]), owner, started)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise StackError(f"the record of the run in {directory} cannot be read: {error}") from error

    def add(self, *started: Process) -> None:
        """Record processes to be stopped with the run."""
        with self._lock:  # several threads start services
            self.started.extend(started)
            self._write()

    def abandoned(self) -> bool:
        """Whether the owner exited without stopping this run."""
        return self.owner is not None and not self.owner.alive()

    def stop(self, *, keep_logs: Path | None = None) -> list[str]:
        """Stop all processes, tier by tier, then strays; remove the directories.

        Args:
            keep_logs: move the logs here, replacing older ones; None removes them.

        Returns:
            names of the processes that had to be killed.
        """
        killed = []
        for tier in sorted({process.tier for process in self.started}):
            killed += processes.stop(process for process in self.started if process.tier == tier)
        killed += [f"process {pid}" for pid in processes.stop_strays(self.name)]
        if keep_logs is not None and (self.directory / "logs").is_dir():
            remove(keep_logs)
            (self.directory / "logs").rename(keep_logs)
        remove(self.home)
        remove(self.directory)
        return killed

    def log(self, name: str) -> Path:
        """Log file of the process of that name."""
        return self.directory / "logs" / f"{name}.log"

    def _write(self) -> None:
        record = {
            "name": self.name,
            "home": str(self.home),
            "owner": asdict(self.owner) if self.owner else None,
            "started": [asdict(process) for process in self.started],
        }
        draft = self.directory / f"{RECORD}.new"
        draft.write_text(json.dumps(record, indent=1), encoding="utf-8")
        draft.replace(self.directory / RECORD)


def runs(state: Path) -> list[Run]:
    """Return all recorded runs below `state`.

    Raises:
        StackError: a record is damaged.
    """
    found = []
    for file in sorted((state / "runs").glob(f"*/{RECORD}")):
        try:
            found.append(Run.read(file.parent))
        except StackError:
            if file.exists():  # otherwise its own command has just removed it
                raise
    return found
