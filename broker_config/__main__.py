"""Declare StraightLine's exchanges and queues on the broker, and create its users.

Users are created through RabbitMQ's management API at STRAIGHTLINE_BROKER_MANAGEMENT_URL: those with a
password in STRAIGHTLINE_BROKER_PASSWORD_<USER>. Without that API, `definitions` prints the document for
`rabbitmqctl import_definitions`. Example: `python -m broker_config definitions > users.json`.
"""

import argparse
import json
import os
import sys
from collections.abc import Mapping
from urllib.parse import unquote, urlsplit

import msgspec

from broker_config.apply import apply
from broker_config.definitions import Definitions, definitions, passwords, variable
from broker_config.management import upload
from broker_config.users import USERS
from straightline.errors import ConfigurationError, StraightLineError
from straightline.settings import load


class Settings(msgspec.Struct, frozen=True):
    """Settings of this command, read from the environment.

    Attributes:
        broker_url: AMQP URL of the broker, with a user that may declare everything.
        broker_management_url: of RabbitMQ's management API; None creates no users.
    """

    broker_url: str
    broker_management_url: str | None = None


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return 0, or 1 after printing one line with the error."""
    parser = argparse.ArgumentParser(prog="python -m broker_config", description=__doc__)
    parser.add_argument(
        "command",
        nargs="?",
        choices=("apply", "definitions"),
        default="apply",
        help="apply: declare the topology and create users (default); definitions: print the users as JSON",
    )
    command = parser.parse_args(arguments).command
    try:
        settings = load(Settings, os.environ)
        if command == "definitions":
            print(json.dumps(_definitions(settings, os.environ), indent=1))
        else:
            _apply(settings, os.environ)
    except StraightLineError as error:
        print(f"broker_config: {error}", file=sys.stderr)
        return 1
    return 0


def _apply(settings: Settings, environ: Mapping[str, str]) -> None:
    apply(settings.broker_url)
    print("Declared the exchanges and queues.")
    if settings.broker_management_url is not None:
        upload(settings.broker_management_url, settings.broker_url, _definitions(settings, environ))
        print("Created the users.")


def _definitions(settings: Settings, environ: Mapping[str, str]) -> Definitions:
    found = passwords(environ)
    missing = [variable(user) for user in USERS if user not in found]
    if not found:
        raise ConfigurationError(f"cannot create users: none has a password. set {', '.join(missing)}")
    if missing:
        print(
            f"broker_config: skipped the users without a password; not set: {', '.join(missing)}",
            file=sys.stderr,
        )
    vhost = unquote(urlsplit(settings.broker_url).path.removeprefix("/")) or "/"
    return definitions(found, [vhost])


if __name__ == "__main__":
    sys.exit(main())
