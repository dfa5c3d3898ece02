"""Passwords of the users of a service, from the environment; there are no defaults."""

from collections.abc import Iterable, Mapping
from typing import Final

from straightline.errors import ConfigurationError

MIN_PASSWORD_CHARS: Final = 16
"""Characters; a shorter password is refused."""


def variable(prefix: str, user: str) -> str:
    """Name of the environment variable with the password of a user."""
    return prefix + user.upper().replace("-", "_")


def read_passwords(environ: Mapping[str, str], prefix: str, users: Iterable[str]) -> dict[str, str]:
    """Return the password of each user for whom the environment has one.

    Raises:
        ConfigurationError: one is too short, or serves two users; the message names the variables alone.
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
                f"the password in {name} is too short: take {MIN_PASSWORD_CHARS} characters or more"
            )
        if password in holders:
            raise ConfigurationError(f"{holders[password]} and {name} are the same: give each its own")
        found[user], holders[password] = password, name
    return found
