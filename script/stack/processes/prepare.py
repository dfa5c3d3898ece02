"""What must stand before StraightLine's own processes start: broker, database, model; all made at once."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from outcomes.queries.keys import SCOPES
from script.stack.services.access import Access
from script.stack.services.services import start_broker, start_database
from script.support import processes
from script.support.errors import StackError
from script.support.readiness import indent
from script.support.run import Run


@dataclass(frozen=True)
class Prerequisites:
    """URLs of a broker with the topology and of a migrated database, and a key to the HTTP gateway."""

    broker: Access
    database: Access
    api_key: str


@dataclass(frozen=True)
class Preparation:
    """Makes the ground for a run.

    Attributes:
        root: the checkout.
        run: records what is started.
        models: the directory that the example's bundle goes to.
        functions: the directory that its function package goes to.
    """

    root: Path
    run: Run
    models: Path
    functions: Path

    def make(self, broker_url: str | None, database_url: str | None) -> Prerequisites:
        """Start the services whose URL is None, give them topology and tables, and train the example.

        Raises:
            StackError: a step failed; the message says which and why.
        """
        with ThreadPoolExecutor(3) as pool:
            model = pool.submit(self._model)
            broker = pool.submit(self._broker, broker_url)
            database = pool.submit(self._database, database_url)
            ground = Prerequisites(broker.result(), *database.result())
            model.result()
        return ground

    def _broker(self, url: str | None) -> Access:
        access = Access(url) if url else start_broker(self.run).access
        with _hint_private(url, "STRAIGHTLINE_BROKER_URL"):
            self._call("declaring the queues", "broker_config", STRAIGHTLINE_BROKER_URL=access.admin)
        return access

    def _database(self, url: str | None) -> tuple[Access, str]:
        if url:
            access, told = Access(url), {"STRAIGHTLINE_DATABASE_OWNER_URL": url}
        else:
            database = start_database(self.run)
            access, told = database.access, database.migration
        with _hint_private(url, "STRAIGHTLINE_DATABASE_URL"):
            self._call("migrating the database", "outcomes", "migrate", **told)
        scopes = [word for scope in SCOPES for word in ("--scope", scope)]
        made = self._call(
            "making a key to the gateway",
            *("outcomes", "keys", "create", self.run.name, *scopes, "--json"),
            STRAIGHTLINE_DATABASE_OWNER_URL=access.admin,
        )
        return access, json.loads(made)["key"]

    def _model(self) -> None:
        self.models.mkdir(parents=True, exist_ok=True)
        self._call("training the digits model", "examples.digits.make_model", "--out", self.models)
        bundle = self.models / "digits" / "1"
        self._call(
            "packaging the digits function",
            *(
                "modelkit",
                "package",
                "--bundle",
                bundle,
                "--form",
                "function",
                "--out",
                self.functions.parent,
            ),
        )

    def _call(self, title: str, module: str, *arguments: object, **variables: str) -> str:
        argv: Sequence[str] = (sys.executable, "-m", module, *map(str, arguments))
        environment: Mapping[str, str] = {
            **os.environ,
            "PYTHONPATH": str(self.root),
            processes.RUN_VARIABLE: self.run.name,
            **variables,
        }
        done = subprocess.run(
            argv, cwd=self.root, env=environment, capture_output=True, text=True, check=False, timeout=180
        )
        if done.returncode != 0:
            output = "\n".join((done.stdout + done.stderr).splitlines()[-15:])
            raise StackError(f"{title} failed:\n{indent(output)}")
        return done.stdout


@contextmanager
def _hint_private(given: str | None, variable: str) -> Iterator[None]:
    """Add to a failure with a service that was given how to go on without it."""
    try:
        yield
    except StackError as error:
        if not given:
            raise
        raise StackError(
            f"{error}\n{variable} names it; unset that variable to have a private one."
        ) from error
