"""Private RabbitMQ and Postgres for the tests, started once per session on first use.

`STRAIGHTLINE_TEST_BROKER_URL` and `STRAIGHTLINE_TEST_DATABASE_URL` select running servers instead, for quick
development. Each test still has its own virtual host and database.
"""

import faulthandler
import itertools
import json
import os
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, settings
from sqlalchemy.engine import make_url

from broker_config import topology
from broker_config.apply import apply
from broker_config.definitions import definitions
from broker_config.users import USERS
from outcomes.db.database import engine_for
from outcomes.schema.roles import GRANTS, create_roles, grant
from script.stack.services import services
from script.stack.services.admin import BrokerAdmin, system_ctl
from script.support.run import Run
from tests.xdist_groups import FileGroupScheduling

# No time limit for an example: a busy machine must not fail a property.
settings.register_profile("straightline", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("straightline")

ROOT = Path(__file__).resolve().parent.parent
VHOST_BATCH_SIZE = 8
"""A call of rabbitmqctl takes more than a second, whether for one virtual host or eight."""


@dataclass(frozen=True)
class Passwords:
    """Passwords of this session's users or roles, whose names start with `prefix`."""

    prefix: str
    by_user: dict[str, str]


@pytest.fixture(scope="session")
def _run() -> Iterator[Run]:
    run = Run.create(ROOT / ".straightline", stays=False)
    try:
        yield run
    finally:
        run.stop()


@pytest.fixture(scope="session")
def broker_admin(request: pytest.FixtureRequest) -> BrokerAdmin:
    """The broker of the session, started on first use."""
    url = os.environ.get("STRAIGHTLINE_TEST_BROKER_URL")
    if url:
        return BrokerAdmin(url, system_ctl)
    broker = services.start_broker(request.getfixturevalue("_run"))
    return BrokerAdmin(broker.url, broker.ctl)


@pytest.fixture(scope="session")
def _database_server(request: pytest.FixtureRequest) -> str:
    url = os.environ.get("STRAIGHTLINE_TEST_DATABASE_URL")
    return url or services.start_database(request.getfixturevalue("_run")).url


@pytest.fixture(scope="session")
def _passwords() -> Passwords:
    return Passwords(f"test-{secrets.token_hex(4)}-", {user: secrets.token_hex(16) for user in USERS})


@pytest.fixture(scope="session")
def _vhosts(broker_admin: BrokerAdmin, _passwords: Passwords) -> Iterator[Iterator[str]]:
    """Names of new, empty virtual hosts, created in batches."""
    made: list[str] = []

    def names() -> Iterator[str]:
        for _ in itertools.count():
            batch = [f"test-{secrets.token_hex(4)}" for _ in range(VHOST_BATCH_SIZE)]
            user = make_url(broker_admin.url).username
            document = definitions(_passwords.by_user, batch, prefix=_passwords.prefix)
            document["vhosts"] = [{"name": name} for name in batch]
            document["permissions"] += [
                {"user": user, "vhost": name, "configure": ".*", "write": ".*", "read": ".*"}
                for name in batch
            ]
            broker_admin.ctl("import_definitions", stdin=json.dumps(document))
            made.extend(batch)
            yield from batch

    yield names()
    if os.environ.get("STRAIGHTLINE_TEST_BROKER_URL"):
        for name in made:
            broker_admin.ctl("delete_vhost", name)
        for user in _passwords.by_user if made else ():
            broker_admin.ctl("delete_user", _passwords.prefix + user)


@pytest.fixture
def empty_broker_url(broker_admin: BrokerAdmin, _vhosts: Iterator[str]) -> str:
    """AMQP URL of a new, empty virtual host."""
    return f"{broker_admin.url.rpartition('/')[0]}/{quote(next(_vhosts), safe='')}"


@pytest.fixture
def broker_url(empty_broker_url: str) -> Iterator[str]:
    """AMQP URL of a new virtual host with the topology applied."""
    apply(empty_broker_url)
    yield empty_broker_url
    _delete_queues(empty_broker_url)


@pytest.fixture
def user_urls(broker_url: str, _passwords: Passwords) -> dict[str, str]:
    """AMQP URL of the same virtual host by broker user."""
    where = broker_url.rpartition("@")[2]
    return {
        user: f"amqp://{_passwords.prefix}{user}:{password}@{where}"
        for user, password in _passwords.by_user.items()
    }


@pytest.fixture
def database_url(_database_server: str) -> Iterator[str]:
    """SQLAlchemy URL of a new, empty database."""
    yield from _database(_database_server, "template0")


@pytest.fixture
def role_urls(migrated_database_url: str, _roles: Passwords) -> dict[str, str]:
    """SQLAlchemy URL of the same database by role."""
    url = make_url(migrated_database_url)
    return {
        role: url.set(username=_roles.prefix + role, password=password).render_as_string(hide_password=False)
        for role, password in _roles.by_user.items()
    }


@pytest.fixture(scope="session")
def _roles() -> Passwords:
    return Passwords(f"test_{secrets.token_hex(4)}_", {role: secrets.token_hex(16) for role in GRANTS})


@pytest.fixture
def migrated_database_url(_database_server: str, _migrated: str) -> Iterator[str]:
    """SQLAlchemy URL of a new database with the migrations applied."""
    yield from _database(_database_server, _migrated)


@pytest.fixture(scope="session")
def _migrated(_database_server: str, _roles: Passwords) -> Iterator[str]:
    """Name of the template database with migrations and grants applied."""
    for url in _database(_database_server, "template0"):
        subprocess.run(
            [sys.executable, "-m", "alembic", "-c", "migrations/alembic.ini", "upgrade", "head"],
            cwd=ROOT,
            env={**os.environ, "STRAIGHTLINE_DATABASE_URL": url, "PYTHONPATH": str(ROOT)},
            check=True,
            timeout=120,
        )
        engine = engine_for(url, name="test")
        with engine.begin() as connection:
            create_roles(connection, _roles.by_user, prefix=_roles.prefix)
            grant(connection, prefix=_roles.prefix)
        engine.dispose()
        yield make_url(url).database or ""
    for role in _roles.by_user:
        services.administer(_database_server, f'DROP ROLE "{_roles.prefix}{role}"')


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> FileGroupScheduling:
    """Return the scheduler of `tests.xdist_groups`; called only for parallel runs."""
    return FileGroupScheduling(config, log)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add the stack of every thread to the report of a failed integration test."""
    report = yield
    if report.when == "call" and report.failed and item.get_closest_marker("integration"):
        with tempfile.TemporaryFile("w+") as file:
            faulthandler.dump_traceback(file, all_threads=True)
            file.seek(0)
            report.sections.append(("Threads", file.read()))
    return report


def _database(server: str, template: str) -> Iterator[str]:
    name = f"test_{secrets.token_hex(4)}"
    services.create_database(server, name, template=template)
    yield make_url(server).set(database=name).render_as_string(hide_password=False)
    services.drop_database(server, name)


def _delete_queues(url: str) -> None:
    """Delete all queues: hundreds of tests would leave thousands on the node."""
    services.delete_queues(url, [queue.name for queue in topology.QUEUES])
