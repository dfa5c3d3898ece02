"""Postgres roles, one for each kind of component, with the least rights on the ledger's tables.

The owner, which migrates, retains and creates API keys, is not one of them. Rights on a partitioned table
cover its partitions when they are accessed through the table, as this package always does.
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

_REQUEST_TABLES: Final = ("outcomes", "attempts", "duplicate_requests", "duplicate_outcomes", "placements")
_READ: Final = dict.fromkeys(_REQUEST_TABLES, "SELECT")
_REGISTRY_TABLES: Final = ("model_versions", "model_aliases", "model_changes")

GRANTS: Final[Mapping[str, Mapping[str, str]]] = MappingProxyType(
    {
        "recorder": dict.fromkeys(_REQUEST_TABLES, "SELECT, INSERT"),
        "reconciler": {
            "outcomes": "SELECT",
            "attempts": "SELECT",
            "placements": "SELECT, UPDATE (due_at, checks)",
            "dead_letters": "SELECT, INSERT, UPDATE",
            "submissions": "SELECT, DELETE",
            **dict.fromkeys(_REGISTRY_TABLES, "SELECT"),
            "model_changes": "SELECT, INSERT",
        },
        "reader": {**_READ, "dead_letters": "SELECT", **dict.fromkeys(_REGISTRY_TABLES, "SELECT")},
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
            # Whether a job's webhook exists; neither its secret nor the deliveries of others.
            "webhooks": "SELECT (id)",
            "webhook_deliveries": "INSERT",
        },
        "deployer": {
            # The columns that `python -m modelkit list` counts: no results, error messages or requests.
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
"""Rights of each role, by table."""
FUNCTIONS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType({"reconciler": (MAKE_PARTITION,)})
"""Functions, with the owner's rights, that a role may call."""


def create_roles(connection: Connection, passwords: Mapping[str, str], *, prefix: str = ROLE_PREFIX) -> None:
    """Create the roles that have a password, or change it. The server never sees the password in clear.

    Raises:
        LedgerUnavailable: not now, or the connection's user may not create roles.
    """
    driver: Any = connection.connection.driver_connection
    for role, password in passwords.items():
        name = prefix + role
        encrypted = encrypt_password(password, name, scope=driver, algorithm="scram-sha-256")
        with translated():
            known = connection.execute(text("SELECT 1 FROM pg_roles WHERE rolname = :name"), {"name": name})
            verb = "CREATE" if known.first() is None else "ALTER"
            connection.exec_driver_sql(
                f"{verb} ROLE {_quoted(name)} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE"
                f" PASSWORD '{encrypted}'"
            )


def grant(connection: Connection, *, prefix: str = ROLE_PREFIX) -> list[str]:
    """Grant the existing roles their rights on the existing tables, and revoke all others.

    Returns:
        The kinds of components that have a role, keys of `GRANTS`.

    Raises:
        LedgerUnavailable: not now, or the connection's user does not own the tables.
    """
    with translated():
        known = set(connection.execute(text("SELECT rolname FROM pg_roles")).scalars())
        connection.exec_driver_sql("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
        connection.exec_driver_sql(f"REVOKE ALL ON FUNCTION {MAKE_PARTITION} FROM PUBLIC")
        existing = [role for role in GRANTS if prefix + role in known]
        for role in existing:
            _grant(connection, _quoted(prefix + role), role)
    return existing


def _grant(connection: Connection, name: str, role: str) -> None:
    for table in METADATA.tables:
        connection.exec_driver_sql(f'REVOKE ALL ON TABLE "{table}" FROM {name}')
    for table, rights in GRANTS[role].items():
        connection.exec_driver_sql(f'GRANT {rights} ON TABLE "{table}" TO {name}')
    for function in FUNCTIONS.get(role, ()):
        connection.exec_driver_sql(f"GRANT EXECUTE ON FUNCTION {function} TO {name}")


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
