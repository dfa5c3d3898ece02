"""A run of the stack: its directory, and the record of what it started, from which anybody can stop it."""

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
    """What one `script/up`, `script/demo` or test session has started.

    Attributes:
        directory: its private directory, below `.straightline/runs/`.
        name: a random word, in the environment of all its processes.
        home: the directory of its services' data.
        owner: the process that will stop it; None where it stays until `script/down`.
        started: its processes, in the order of their start.
    """

    directory: Path
    name: str
    home: Path
    owner: Process | None
    started: list[Process] = field(default_factory=list)
    _lock: Lock = field(default_factory=Lock, repr=False)

    @classmethod
    def create(cls, state: Path, *, stays: bool) -> Self:
        """Make a fresh run below `state`/runs."""
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
            StackError: there is none, or it is damaged.
        """
        try:
            record = json.loads((directory / RECORD).read_text(encoding="utf-8"))
            owner = Process(**record["owner"]) if record["owner"] else None
            started = [Process(**entry) for entry in record["started"]]
            return cls(directory, record["name"], Path(record["home"]), owner, started)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise StackError(f"the record of the run in {directory} cannot be read: {error}") from error

    def add(self, *started: Process) -> None:
        """Record processes, so that they are stopped with the run."""
        with self._lock:  # services are started from several threads
            self.started.extend(started)
            self._write()

    def abandoned(self) -> bool:
        """Whether the process that should have stopped this run is gone."""
        return self.owner is not None and not self.owner.alive()

    def stop(self, *, keep_logs: Path | None = None) -> list[str]:
        """Stop all of it, tier by tier, and whatever carries its mark; then remove its directories.

        Args:
            keep_logs: where to put its logs, in place of what is there; None removes them too.

        Returns:
            what did not end by itself, for people.
        """
        stubborn = []
        for tier in sorted({process.tier for process in self.started}):
            stubborn += processes.stop(process for process in self.started if process.tier == tier)
        stubborn += [f"process {pid}" for pid in processes.stop_strays(self.name)]
        if keep_logs is not None and (self.directory / "logs").is_dir():
            remove(keep_logs)
            (self.directory / "logs").rename(keep_logs)
        remove(self.home)
        remove(self.directory)
        return stubborn

    def log(self, name: str) -> Path:
        """Where the output of the process of that name goes."""
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
    """Every run that has a record below `state`.

    Raises:
        StackError: a record is damaged.
    """
    found = []
    for file in sorted((state / "runs").glob(f"*/{RECORD}")):
        try:
            found.append(Run.read(file.parent))
        except StackError:
            if file.exists():  # otherwise its own command has removed it meanwhile
                raise
    return found
