"""The rig that a benchmark runs on: sizes, private services, started processes, and their end."""

import os
import subprocess
import sys
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from script.stack.processes.up_down import FAILED
from script.stack.services.services import start_broker, start_database
from script.support import processes
from script.support.errors import StackError
from script.support.readiness import indent
from script.support.run import Run

ROOT: Final = Path(__file__).resolve().parent.parent


class Rig:
    """What one benchmark runs on; whatever it starts here is stopped with the rig.

    Args:
        run: records what is started.
        sizes: numbers of rounds, requests and the like, by name.

    Attributes:
        environment: variables of every process that is started here.
        broker_url, database_url: of the private services; empty before `start_services`.
    """

    def __init__(self, run: Run, sizes: Mapping[str, int]) -> None:
        self.run = run
        self._sizes = sizes
        self.broker_url = self.database_url = ""
        self.environment = dict(os.environ) | {
            "PYTHONPATH": str(ROOT),
            processes.RUN_VARIABLE: run.name,
            "STRAIGHTLINE_MODELS_DIR": str(self.models),
        }

    @property
    def models(self) -> Path:
        """The directory of model bundles."""
        return self.run.directory / "models"

    def size(self, name: str) -> int:
        """Return a size of this benchmark, e.g. `rounds`."""
        return self._sizes[name]

    def say(self, text: str) -> None:
        """Print a line of progress."""
        print(f"  {text}", flush=True)

    def folder(self, name: str) -> Path:
        """Return a fresh private directory, removed with the rig."""
        made = self.run.directory / name
        made.mkdir(parents=True)
        return made

    def start_services(self) -> None:
        """Start a private broker and database, with topology and tables.

        Raises:
            StackError: one of them did not start.
        """
        self.say("starting a private RabbitMQ and Postgres")
        self.broker_url, self.database_url = start_broker(self.run).url, start_database(self.run).url
        self.environment |= {
            "STRAIGHTLINE_BROKER_URL": self.broker_url,
            "STRAIGHTLINE_DATABASE_URL": self.database_url,
        }
        self.call("broker_config")
        self.call("alembic", "-c", "migrations/alembic.ini", "upgrade", "head")

    def start(self, name: str, *arguments: str, **extra: str) -> processes.Process:
        """Start `python -m ARGUMENTS` with the rig's environment and `extra`."""
        process = processes.start(
            name,
            (sys.executable, "-m", *arguments),
            log=self.run.log(name),
            cwd=ROOT,
            environment=self.environment | extra,
        )
        self.run.add(process)
        return process

    def call(self, *arguments: str) -> None:
        """Run `python -m ARGUMENTS` with the rig's environment to its end.

        Raises:
            StackError: it failed; the message has the end of its output.
        """
        argv = (sys.executable, "-m", *arguments)
        done = subprocess.run(
            argv, cwd=ROOT, env=self.environment, capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            output = "\n".join((done.stdout + done.stderr).splitlines()[-15:])
            raise StackError(f"python -m {' '.join(arguments)} failed:\n{indent(output)}")


@contextmanager
def open_rig(state: Path, sizes: Mapping[str, int]) -> Iterator[Rig]:
    """Give a rig for the time of the block.

    Args:
        state: the directory of runs.
        sizes: of the benchmark.

    Raises:
        StackError: the block failed; the message says where its logs and the traceback are kept.
    """
    run = Run.create(state, stays=False)
    kept = None
    try:
        yield Rig(run, sizes)
    except Exception as error:
        log = run.log("traceback")
        log.parent.mkdir(exist_ok=True)
        log.write_text(traceback.format_exc())
        kept = state / FAILED
        reason = str(error) if isinstance(error, StackError) else f"{type(error).__name__}: {error}"
        raise StackError(f"{reason}\nIts logs and the traceback are in {kept}") from error
    finally:
        run.stop(keep_logs=kept)
