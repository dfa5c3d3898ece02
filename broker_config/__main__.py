"""`python -m broker_config`: declare StraightLine's exchanges and queues on the broker, and make its users.

Users are made where STRAIGHTLINE_BROKER_MANAGEMENT_URL says where RabbitMQ's management API is: those whose
password the environment has, in STRAIGHTLINE_BROKER_PASSWORD_<USER>. Without that API, `definitions` prints
the document that `rabbitmqctl import_definitions` takes.
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
    """What this command reads from the environment.

    Attributes:
        broker_url: AMQP URL of the broker, with a user who may declare everything.
        broker_management_url: of RabbitMQ's management API; None makes no users.
    """

    broker_url: str
    broker_management_url: str | None = None


def main(arguments: list[str] | None = None) -> int:
    """Run the command; 0 when all of it stands, 1 with one line when it does not."""
    parser = argparse.ArgumentParser(prog="python -m broker_config", description=__doc__)
    parser.add_argument(
        "command",
        nargs="?",
        choices=("apply", "definitions"),
        default="apply",
        help="apply (default), or print the users' definitions",
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
    print("The exchanges and queues stand.")
    if settings.broker_management_url is not None:
        upload(settings.broker_management_url, settings.broker_url, _definitions(settings, environ))
        print("The users stand.")


def _definitions(settings: Settings, environ: Mapping[str, str]) -> Definitions:
    found = passwords(environ)
    missing = [variable(user) for user in USERS if user not in found]
    if not found:
        raise ConfigurationError(f"no user has a password: set {', '.join(missing)}")
    if missing:
        print(f"broker_config: not made, since these are not set: {', '.join(missing)}", file=sys.stderr)
    vhost = unquote(urlsplit(settings.broker_url).path.removeprefix("/")) or "/"
    return definitions(found, [vhost])


if __name__ == "__main__":
    sys.exit(main())
