"""Preparation of broker, database and example model, in parallel, before StraightLine's processes start."""

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
    """URLs of a broker with the topology and of a migrated database, and an API key of the gateway."""

    broker: Access
    database: Access
    api_key: str


@dataclass(frozen=True)
class Preparation:
    """Prepares the prerequisites of a run.

    Attributes:
        root: the checkout.
        run: records the started processes.
        models: directory for the example's bundle.
        functions: directory for its function package.
    """

    root: Path
    run: Run
    models: Path
    functions: Path

    def make(self, broker_url: str | None, database_url: str | None) -> Prerequisites:
        """Start the services whose URL is None, declare topology and tables, and train the example.

        Raises:
            StackError: a step failed; the message says which and why.
        """
        with ThreadPoolExecutor(3) as pool:
            model = pool.submit(self._model)
            broker = pool.submit(self._broker, broker_url)
            database = pool.submit(self._database, database_url)
            prerequisites = Prerequisites(broker.result(), *database.result())
            model.result()
        return prerequisites

    def _broker(self, url: str | None) -> Access:
        access = Access(url) if url else start_broker(self.run).access
        with _hint_private(url, "STRAIGHTLINE_BROKER_URL"):
            self._call("declaring the queues", "broker_config", STRAIGHTLINE_BROKER_URL=access.admin)
        return access

    def _database(self, url: str | None) -> tuple[Access, str]:
        if url:
            access, variables = Access(url), {"STRAIGHTLINE_DATABASE_OWNER_URL": url}
        else:
            database = start_database(self.run)
            access, variables = database.access, database.migration
        with _hint_private(url, "STRAIGHTLINE_DATABASE_URL"):
            self._call("migrating the database", "outcomes", "migrate", **variables)
        scopes = [word for scope in SCOPES for word in ("--scope", scope)]
        created = self._call(
            "creating an API key of the gateway",
            *("outcomes", "keys", "create", self.run.name, *scopes, "--json"),
            STRAIGHTLINE_DATABASE_OWNER_URL=access.admin,
        )
        return access, json.loads(created)["key"]

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
    """Add to an error with a given service how to use a private one."""
    try:
        yield
    except StackError as error:
        if not given:
            raise
        raise StackError(
            f"{error}\nThe service is set by {variable}. Unset the variable to use a private one."
        ) from error
