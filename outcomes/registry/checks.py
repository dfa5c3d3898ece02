"""Checks before a deployment, and the lock that keeps deployments of one model apart."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from sqlalchemy import Connection, text

from outcomes.db.errors import LedgerUnavailable, OtherDigest, RegistryRefused
from outcomes.db.translation import translated
from outcomes.registry.aliases import made_canary
from outcomes.registry.registry import alias_of
from straightline.contracts.deployed import DeployedVersion


@contextmanager
def deployment_lock(connection: Connection, model: str) -> Iterator[None]:
    """Exclude other deployments and removals of a model during the block.

    Raises:
        RegistryRefused: another one is in progress.
    """
    key = int.from_bytes(hashlib.blake2b(model.encode(), digest_size=8).digest(), signed=True)
    with translated():
        locked = connection.execute(text("SELECT pg_try_advisory_lock(:key)"), {"key": key}).scalar_one()
        connection.commit()
    if not locked:
        raise RegistryRefused(
            f"{model} is locked: somebody else is deploying or removing it. Wait until that has ended"
        )
    try:
        yield
    finally:
        # A lost connection has released the lock already.
        with suppress(LedgerUnavailable), translated():
            connection.rollback()
            connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": key})
            connection.commit()


def check_alias(connection: Connection, model: str, version: str, share: float | None) -> None:
    """Check that a version can become a canary with `share` percent; None is for a default version.

    Raises:
        RegistryRefused: it cannot.
    """
    if share is not None:
        with translated():
            made_canary(alias_of(connection, model), model, version, share)


def check_digest(known: DeployedVersion | None, digest: str) -> None:
    """Check that a version is new, or deployed with this digest.

    Raises:
        OtherDigest: it is deployed with another digest.
    """
    if known is not None and known.digest != digest:
        raise OtherDigest(
            f"{known.spec.name} {known.spec.version} is already deployed with other content ({known.digest}; "
            f"this one is {digest}): a version never changes. Set another `version` in model.toml"
        )
