"""Passwords of a service's users, from the environment."""

from collections.abc import Iterable, Mapping
from typing import Final

from straightline.errors import ConfigurationError

MIN_PASSWORD_CHARS: Final = 16
"""A shorter password is rejected."""


def variable(prefix: str, user: str) -> str:
    """Return the name of the environment variable with a user's password."""
    return prefix + user.upper().replace("-", "_")


def read_passwords(environ: Mapping[str, str], prefix: str, users: Iterable[str]) -> dict[str, str]:
    """Return the passwords that are set, by user.

    Raises:
        ConfigurationError: a password is too short or used twice; the message names the variables only.
    """
    found: dict[str, str] = {}
    holders: dict[str, str] = {}
    for user in users:
        name = variable(prefix, user)
        password = environ.get(name)
        if not password:
            continue
        if len(password) < MIN_PASSWORD_CHARS:
            raise ConfigurationError(
                f"the password in {name} is too short: use at least {MIN_PASSWORD_CHARS} characters"
            )
        if password in holders:
            raise ConfigurationError(
                f"{holders[password]} and {name} are equal: give each user its own password"
            )
        found[user], holders[password] = password, name
    return found
