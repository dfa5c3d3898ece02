"""Postgres's roles, one for each kind of component, with the least rights on the ledger's tables.

The owner, who migrates, retains and makes API keys, is not among them. Rights on a partitioned table hold for
its partitions, as long as these are reached through it, which is how all of this package does.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from psycopg2.extensions import encrypt_password
from sqlalchemy import Connection, text

from outcomes.db.translation import translated
from outcomes.schema.partitions import MAKE_PARTITION
from outcomes.schema.tables import METADATA

ROLE_PREFIX: Final = "straightline_"
PASSWORD_PREFIX: Final = "STRAIGHTLINE_DATABASE_PASSWORD_"  # noqa: S105 - the name of a variable

_ANSWERS: Final = ("outcomes", "attempts", "duplicate_requests", "duplicate_outcomes", "placements")
_READ: Final = dict.fromkeys(_ANSWERS, "SELECT")
_MODELS: Final = ("model_versions", "model_aliases", "model_changes")

GRANTS: Final[Mapping[str, Mapping[str, str]]] = MappingProxyType(
    {
        "recorder": dict.fromkeys(_ANSWERS, "SELECT, INSERT"),
        "reconciler": {
            "outcomes": "SELECT",
            "attempts": "SELECT",
            "placements": "SELECT, UPDATE (due_at, checks)",
            "dead_letters": "SELECT, INSERT, UPDATE",
            "submissions": "SELECT, DELETE",
            **dict.fromkeys(_MODELS, "SELECT"),
            "model_changes": "SELECT, INSERT",
        },
        "reader": {**_READ, "dead_letters": "SELECT", **dict.fromkeys(_MODELS, "SELECT")},
        "gateway": {
            **_READ,
            "api_keys": "SELECT",
            "submissions": "SELECT, INSERT",
            "webhooks": "SELECT, INSERT, DELETE",
            "batch_jobs": "SELECT, INSERT, UPDATE (cancelling)",
            "batch_refusals": "SELECT",
        },
        "batches": {
            "outcomes": "SELECT",
            "attempts": "SELECT",
            "batch_jobs": "SELECT, UPDATE",
            "batch_refusals": "SELECT, INSERT",
            # Who is to be told of a job's end: neither a secret nor what others are told.
            "webhooks": "SELECT (id)",
            "webhook_deliveries": "INSERT",
        },
        "deployer": {
            # What `python -m modelkit list` counts: no result, no sentence of an error, nobody's request.
            "outcomes": "SELECT (request_id, model, version, state, error_class, attempts, finished_at)",
            "attempts": "SELECT (request_id, succeeded, error_class, cold_start)",
            "model_versions": "SELECT, INSERT, UPDATE, DELETE",
            "model_aliases": "SELECT, INSERT, UPDATE",
            "model_changes": "SELECT, INSERT",
        },
        "webhooks": {
            "webhooks": "SELECT",
            "webhook_deliveries": "SELECT, INSERT, UPDATE",
        },
    }
)
"""What each role may do with which table."""
FUNCTIONS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType({"reconciler": (MAKE_PARTITION,)})
"""Functions that a role may call, with the owner's rights."""


def make_roles(connection: Connection, passwords: Mapping[str, str], *, prefix: str = ROLE_PREFIX) -> None:
    """Make the roles that have a password, or give them this one; the server never sees it in clear.

    Raises:
        LedgerUnavailable: not now, or the user of the connection may not make roles.
    """
    driver: Any = connection.connection.driver_connection
    for role, password in passwords.items():
        name = prefix + role
        word = encrypt_password(password, name, scope=driver, algorithm="scram-sha-256")
        with translated():
            known = connection.execute(text("SELECT 1 FROM pg_roles WHERE rolname = :name"), {"name": name})
            verb = "CREATE" if known.first() is None else "ALTER"
            connection.exec_driver_sql(
                f"{verb} ROLE {_quoted(name)} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD '{word}'"
            )


def grant(connection: Connection, *, prefix: str = ROLE_PREFIX) -> list[str]:
    """Give the roles that are there their rights on the tables that are there, and take all others away.

    Returns:
        The kinds of components that have a role.

    Raises:
        LedgerUnavailable: not now, or the user of the connection does not own the tables.
    """
    with translated():
        known = set(connection.execute(text("SELECT rolname FROM pg_roles")).scalars())
        connection.exec_driver_sql("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
        connection.exec_driver_sql(f"REVOKE ALL ON FUNCTION {MAKE_PARTITION} FROM PUBLIC")
        there = [role for role in GRANTS if prefix + role in known]
        for role in there:
            _grant(connection, _quoted(prefix + role), role)
    return there


def _grant(connection: Connection, name: str, role: str) -> None:
    for table in METADATA.tables:
        connection.exec_driver_sql(f'REVOKE ALL ON TABLE "{table}" FROM {name}')
    for table, rights in GRANTS[role].items():
        connection.exec_driver_sql(f'GRANT {rights} ON TABLE "{table}" TO {name}')
    for function in FUNCTIONS.get(role, ()):
        connection.exec_driver_sql(f"GRANT EXECUTE ON FUNCTION {function} TO {name}")


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
