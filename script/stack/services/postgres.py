"""Private Postgres: its own cluster, port and passwords, on the loopback interface only."""

import os
import secrets
import signal
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from sqlalchemy.engine import make_url

from outcomes.schema.roles import GRANTS, PASSWORD_PREFIX, ROLE_PREFIX
from script.stack.services.access import Access
from script.stack.services.certificates import Certificate
from script.stack.services.ports import free_ports
from script.support import processes
from script.support.accounts import Account, account
from script.support.errors import StackError
from straightline.support.passwords import variable

NAME: Final = "Postgres"
USER: Final = "straightline"
DATABASE: Final = "straightline"
_PLACES: Final = ("/usr/lib/postgresql", "/usr/pgsql", "/opt/homebrew/opt")


@dataclass(frozen=True)
class Database:
    """A started Postgres.

    Attributes:
        access: SQLAlchemy URLs of our database; the caller creates the database and its roles.
        process: the server.
        launch: restarts a stopped server on the same data.
    """

    access: Access
    process: processes.Process
    launch: Callable[[], processes.Process]

    @property
    def url(self) -> str:
        """URL of the owner."""
        return self.access.admin

    @property
    def migration(self) -> dict[str, str]:
        """Variables with which `python -m outcomes migrate` also creates the roles of `access`."""
        urls = self.access.users.items()
        passwords = {variable(PASSWORD_PREFIX, role): make_url(url).password or "" for role, url in urls}
        return {"STRAIGHTLINE_DATABASE_OWNER_URL": self.access.admin, **passwords}


def programs() -> Path | None:
    """Return the directory with the programs of the newest installed server; None if there is none."""
    found = [file.parent for place in _PLACES for file in Path(place).glob("*/bin/initdb")]
    path = [Path(directory) for directory in os.environ.get("PATH", "").split(os.pathsep)]
    found += [place for place in path if all((place / name).exists() for name in ("initdb", "postgres"))]
    return max(found, key=_version, default=None)


def start(home: Path, log: Path, run: str, certificate: Certificate | None = None) -> Database:
    """Create a cluster in `home`/postgres and start it, without waiting until it is ready.

    Raises:
        StackError: Postgres is not installed, or the cluster cannot be created.
    """
    found = programs()
    if found is None:
        raise StackError("Postgres is not installed. As root: apt-get install postgresql")
    owner = account("postgres")
    directory = home / "postgres"
    directory.mkdir(mode=0o700)
    password = secrets.token_urlsafe(24)
    secret = directory / "password"
    secret.touch(mode=0o600)
    secret.write_text(password, encoding="ascii")
    tls = None if certificate is None else certificate.copied(directory)
    owner.give(directory)
    environment = {
        "PATH": os.environ.get("PATH", "/usr/local/bin:/usr/bin:/bin"),
        "LANG": "C.UTF-8",
        "HOME": str(directory),
        processes.RUN_VARIABLE: run,
    }
    _make_cluster(found, directory, environment, owner)
    secret.unlink()
    (port,) = free_ports(1)
    launch = partial(
        processes.start,
        NAME,
        [str(found / "postgres"), "-D", str(directory / "data"), *_options(port, tls)],
        log=log,
        cwd=directory,
        environment=environment,
        account=owner,
        stop_signal=signal.SIGINT,  # "fast": disconnects clients
        tier=2,
    )
    return Database(_access(port, password), launch(), launch)


def _access(port: int, password: str) -> Access:
    def url(name: str, password: str) -> str:
        return f"postgresql+psycopg2://{name}:{password}@127.0.0.1:{port}/{DATABASE}"

    roles = {role: url(ROLE_PREFIX + role, secrets.token_urlsafe(24)) for role in GRANTS}
    return Access(url(USER, password), roles)


def _make_cluster(found: Path, directory: Path, environment: dict[str, str], owner: Account) -> None:
    other = owner if owner.switch else None
    done = subprocess.run(
        [
            str(found / "initdb"),
            f"--pgdata={directory / 'data'}",
            f"--username={USER}",
            f"--pwfile={directory / 'password'}",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--locale=C.UTF-8",
            "--no-sync",  # an unused cluster may be lost in a crash of the machine
            "--no-instructions",
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        cwd=directory,
        env=environment,
        user=other.uid if other else None,
        group=other.gid if other else None,
        extra_groups=[] if other else None,
    )
    if done.returncode != 0:
        raise StackError(f"initdb failed: {(done.stderr or done.stdout).strip()}")


def _options(port: int, tls: Certificate | None) -> list[str]:
    settings = {
        "listen_addresses": "127.0.0.1",
        "port": str(port),
        # TCP only: a socket's path is limited to 107 bytes, and a checkout may be deeper.
        "unix_socket_directories": "",
        "max_connections": "100",
        "shared_buffers": "64MB",
    }
    if tls is not None:
        settings |= {"ssl": "on", "ssl_cert_file": str(tls.certificate), "ssl_key_file": str(tls.key)}
    return [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]


def _version(directory: Path) -> tuple[int, ...]:
    """Return the version in `<version>/bin`; (0,) if there is none."""
    name = directory.parent.name
    return tuple(int(part) for part in name.split(".")) if name.replace(".", "").isdigit() else (0,)
