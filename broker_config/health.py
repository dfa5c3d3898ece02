"""Check that the process in this container works, for its health check.

It is healthy if it has a connection to the broker and its queue has a consumer. Of two schedulers one
consumes
and the other stands by: both are healthy. Example: `python -m broker_config.health straightline.outcomes`.
"""

import argparse
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import amqp.exceptions
import msgspec
from kombu.exceptions import OperationalError

from broker_config.connection import connect, port_of
from straightline.amqp.connection.address import read_address
from straightline.errors import BrokerUnavailable, ConfigurationError, StraightLineError
from straightline.settings import load

_TABLES: Final = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
_ESTABLISHED: Final = "01"


class Settings(msgspec.Struct, frozen=True):
    """Settings of this command, read from the environment.

    Attributes:
        broker_url: AMQP URL of the broker.
    """

    broker_url: str


def connected(tables: Iterable[str], port: int) -> bool:
    """Return whether a connection to `port` of any machine is established.

    Args:
        tables: the kernel's tables of TCP connections as text (proc(5), `/proc/net/tcp`).
        port: the remote port.
    """
    for table in tables:
        for line in table.splitlines()[1:]:
            _, _, remote, state, *_ = line.split()
            if state == _ESTABLISHED and int(remote.rpartition(":")[2], 16) == port:
                return True
    return False


def consumers(url: str, queue: str) -> int:
    """Return the number of consumers of a queue.

    Raises:
        BrokerUnavailable: the broker does not answer.
        ConfigurationError: there is no such queue.
    """
    try:
        with connect(url) as connection:
            connection.connect()
            found = connection.default_channel.queue_declare(queue, passive=True)
    except amqp.exceptions.NotFound as error:
        raise ConfigurationError(
            f"there is no queue {queue}: declare it with `python -m broker_config`"
        ) from error
    except (OperationalError, OSError, amqp.exceptions.AMQPError) as error:
        raise BrokerUnavailable(
            f"cannot reach the broker: {error}. start it, or correct STRAIGHTLINE_BROKER_URL"
        ) from error
    return int(found.consumer_count)


def problem(url: str, queue: str, tables: Iterable[str]) -> str | None:
    """Return what is wrong; None if healthy. Raises as `consumers`."""
    port = port_of(read_address(url))
    # First, since the connection of this check would count, too.
    if not connected(tables, port):
        return "the process has no connection to the broker"
    if consumers(url, queue) == 0:
        return f"{queue} has no consumer"
    return None


def main(arguments: list[str] | None = None) -> int:
    """Run the check; return 0 if healthy, or 1 after printing one line with the problem."""
    parser = argparse.ArgumentParser(prog="python -m broker_config.health", description=__doc__)
    parser.add_argument("queue", help="queue that the process serves")
    options = parser.parse_args(arguments)
    try:
        url = load(Settings, os.environ).broker_url
        wrong = problem(url, options.queue, [file.read_text() for file in _TABLES if file.exists()])
    except StraightLineError as error:
        wrong = str(error)
    if wrong is not None:
        sys.stderr.write(f"broker_config.health: {wrong}\n")
    return 0 if wrong is None else 1


if __name__ == "__main__":
    sys.exit(main())
