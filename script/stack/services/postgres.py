"""A private Postgres: own cluster, port and password, reached over the loopback interface alone."""

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
        access: SQLAlchemy URLs of our database in it, which is yet to be made, as its roles are.
        process: the server.
        launch: starts the server anew on the same data, once it has ended.
    """

    access: Access
    process: processes.Process
    launch: Callable[[], processes.Process]

    @property
    def url(self) -> str:
        """The owner's URL."""
        return self.access.admin

    @property
    def migration(self) -> dict[str, str]:
        """What `python -m outcomes migrate` is told, so that it makes the roles of `access`, too."""
        urls = self.access.users.items()
        passwords = {variable(PASSWORD_PREFIX, role): make_url(url).password or "" for role, url in urls}
        return {"STRAIGHTLINE_DATABASE_OWNER_URL": self.access.admin, **passwords}


def programs() -> Path | None:
    """Find the directory of the newest server's programs."""
    found = [file.parent for place in _PLACES for file in Path(place).glob("*/bin/initdb")]
    path = [Path(directory) for directory in os.environ.get("PATH", "").split(os.pathsep)]
    found += [place for place in path if all((place / name).exists() for name in ("initdb", "postgres"))]
    return max(found, key=_version, default=None)


def start(home: Path, log: Path, run: str, certificate: Certificate | None = None) -> Database:
    """Make a cluster in `home`/postgres and start it; it is not ready yet when this returns.

    Raises:
        StackError: it is not installed, or the cluster cannot be made.
    """
    found = programs()
    if found is None:
        raise StackError("Postgres is not installed: as root, apt-get install postgresql")
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
        stop_signal=signal.SIGINT,  # "fast": do not wait for clients to leave
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
            "--no-sync",  # nothing is lost where a cluster that was never used dies with the machine
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
        # A socket's path may have 107 bytes at most, and a checkout may lie deep: TCP alone.
        "unix_socket_directories": "",
        "max_connections": "100",
        "shared_buffers": "64MB",
    }
    if tls is not None:
        settings |= {"ssl": "on", "ssl_cert_file": str(tls.certificate), "ssl_key_file": str(tls.key)}
    return [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]


def _version(directory: Path) -> tuple[int, ...]:
    """Read the version from `<version>/bin`; a directory without one comes last."""
    name = directory.parent.name
    return tuple(int(part) for part in name.split(".")) if name.replace(".", "").isdigit() else (0,)
