"""RabbitMQ's definitions document with the users, for `rabbitmqctl import_definitions` or the HTTP API."""

import base64
import hashlib
import secrets
from collections.abc import Iterable, Mapping
from typing import Any, Final

from broker_config.users import USER_PREFIX, USERS
from straightline.support.passwords import read_passwords
from straightline.support.passwords import variable as name_of

PASSWORD_PREFIX: Final = "STRAIGHTLINE_BROKER_PASSWORD_"  # noqa: S105 - the name of a variable
Definitions = dict[str, list[dict[str, Any]]]


def variable(user: str) -> str:
    """Return the name of the environment variable with a user's password."""
    return name_of(PASSWORD_PREFIX, user)


def passwords(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the passwords in the environment, by user.

    Raises:
        ConfigurationError: a password is too short, or used for two users; the message names only variables.
    """
    return read_passwords(environ, PASSWORD_PREFIX, USERS)


def definitions(
    passwords: Mapping[str, str], vhosts: Iterable[str], *, prefix: str = USER_PREFIX
) -> Definitions:
    """Return the document: the users that have a password, and their permissions in each virtual host.

    Importing it again changes only the passwords.

    Args:
        passwords: by kind of component; users without one are left out.
        vhosts: virtual hosts that exist.
        prefix: of the users' names.
    """
    return {
        "users": [
            {"name": prefix + user, "tags": "", **hashed(password)} for user, password in passwords.items()
        ],
        "permissions": [
            {"user": prefix + user, "vhost": vhost, **USERS[user].patterns()}
            for vhost in vhosts
            for user in passwords
        ],
    }


def hashed(password: str) -> dict[str, str]:
    """Return a password as RabbitMQ stores it, so that no document contains it in clear.

    Source: RabbitMQ's "Passwords" guide: base64 of a salt of 4 bytes and of SHA-256 over salt and password.
    """
    salt = secrets.token_bytes(4)
    digest = hashlib.sha256(salt + password.encode()).digest()
    return {
        "password_hash": base64.b64encode(salt + digest).decode("ascii"),
        "hashing_algorithm": "rabbit_password_hashing_sha256",
    }
