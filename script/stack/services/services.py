"""Start of RabbitMQ and Postgres for a run, and administration of both."""

from collections.abc import Iterable, Sequence
from typing import Final

import pika
import pika.exceptions
import psycopg2
import psycopg2.errors
from sqlalchemy.engine import make_url

from script.stack.services import postgres, rabbitmq
from script.stack.services.certificates import Certificate
from script.stack.services.ports import accepts
from script.support.readiness import wait_until
from script.support.run import Run
from straightline.amqp.connection.parameters import parameters

_READY_TIMEOUT_S: Final = 90.0
"""RabbitMQ takes about 6 s on an idle machine."""


def start_broker(
    run: Run,
    certificate: Certificate | None = None,
    *,
    management: bool = False,
    also: Sequence[str] = (),
) -> rabbitmq.Broker:
    """Start a private RabbitMQ for the run and wait until it answers; see `rabbitmq.start`."""
    broker = rabbitmq.start(
        run.home, run.log("rabbitmq"), run.name, certificate, management=management, also=also
    )
    run.add(*broker.processes)
    wait_until(
        lambda: broker_answers(broker.url),
        what="RabbitMQ",
        seconds=_READY_TIMEOUT_S,
        watched=broker.processes,
    )
    return broker


def start_database(run: Run, certificate: Certificate | None = None) -> postgres.Database:
    """Start a private Postgres for the run, wait until it answers, and create our database."""
    database = postgres.start(run.home, run.log("postgres"), run.name, certificate)
    run.add(database.process)
    wait_until(
        lambda: database_answers(database.url),
        what="Postgres",
        seconds=_READY_TIMEOUT_S,
        watched=(database.process,),
    )
    create_database(database.url, postgres.DATABASE)
    return database


def broker_answers(url: str) -> bool:
    """Whether the broker accepts a connection with the user and virtual host of `url`."""
    wanted = parameters(url, "straightline-stack")
    if not accepts(wanted.port):
        return False
    wanted.blocked_connection_timeout = wanted.socket_timeout = 5
    try:
        pika.BlockingConnection(wanted).close()
    except (pika.exceptions.AMQPError, OSError):
        return False
    return True


def database_answers(url: str) -> bool:
    """Whether the server of `url` accepts a connection."""
    try:
        _connect(url, "postgres").close()
    except psycopg2.OperationalError:
        return False
    return True


def create_database(url: str, name: str, *, template: str = "template0") -> None:
    """Create a database on the server of `url`."""
    administer(url, f'CREATE DATABASE "{name}" TEMPLATE "{template}"')


def drop_database(url: str, name: str) -> None:
    """Drop a database on the server of `url` and close its connections."""
    administer(url, f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


def administer(url: str, statement: str) -> None:
    """Run a statement on the server of `url`, outside of a transaction."""
    connection = _connect(url, "postgres")
    try:
        connection.autocommit = True  # CREATE DATABASE cannot run in a transaction
        with connection.cursor() as cursor:
            cursor.execute(statement)
    finally:
        connection.close()


def _connect(url: str, database: str) -> psycopg2.extensions.connection:
    wanted = make_url(url).set(drivername="postgresql", database=database)
    return psycopg2.connect(wanted.render_as_string(hide_password=False), connect_timeout=5)


def delete_queues(url: str, names: Iterable[str]) -> None:
    """Delete queues with their messages; missing ones are not an error."""
    connection = pika.BlockingConnection(parameters(url, "straightline-stack"))
    try:
        channel = connection.channel()
        for name in names:
            channel.queue_delete(name)
    finally:
        connection.close()
