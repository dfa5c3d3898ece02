"""Every change of the registry, each in one transaction under one lock.

All raise `LedgerUnavailable`, `LedgerNotMigrated` or `LedgerRefused`, see `outcomes.db.translation`:
nothing is changed then. After `Unsettled`, which is one of the first, it may be.
"""

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, delete, func, insert, literal, select, text
from sqlalchemy.dialects.postgresql import insert as upsert

from outcomes.db.errors import LedgerUnavailable, OtherDigest, RegistryRefused
from outcomes.db.translation import translated
from outcomes.registry.aliases import Alias, made_canary, made_default, removed, rolled_back
from outcomes.registry.commit_check import commit_or_verify, lock
from outcomes.registry.registry import alias_of, deployed_versions, find_version, read_deployed, revision_of
from outcomes.schema.tables import MODEL_ALIASES, MODEL_CHANGES, MODEL_VERSIONS
from straightline.contracts.deployed import Deployed, DeployedVersion

MAX_MISSING_REVISIONS: Final = 100_000
"""Changes that a registry restored from an older copy may lack."""


@contextmanager
def deployment_lock(connection: Connection, model: str) -> Iterator[None]:
    """Let nobody else deploy or remove versions of a model for as long as the block takes.

    Raises:
        RegistryRefused: somebody is at it.
    """
    key = int.from_bytes(hashlib.blake2b(model.encode(), digest_size=8).digest(), signed=True)
    with translated():
        mine = connection.execute(text("SELECT pg_try_advisory_lock(:key)"), {"key": key}).scalar_one()
        connection.commit()
    if not mine:
        raise RegistryRefused(f"somebody else is deploying or removing {model} now: wait for the end of that")
    try:
        yield
    finally:
        # Where the connection is lost, the lock has gone with it.
        with suppress(LedgerUnavailable), translated():
            connection.rollback()
            connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": key})
            connection.commit()


def check_alias(connection: Connection, model: str, version: str, share: float | None) -> None:
    """Do nothing where a version can be deployed as a canary of so much percent; None is for a default.

    Raises:
        RegistryRefused: it cannot.
    """
    if share is not None:
        with translated():
            made_canary(alias_of(connection, model), model, version, share)


def check_digest(known: DeployedVersion | None, digest: str) -> None:
    """Do nothing where a version is new, or stands with this digest.

    Raises:
        OtherDigest: it stands with another one.
    """
    if known is not None and known.digest != digest:
        raise OtherDigest(
            f"{known.spec.name} {known.spec.version} is deployed already, and is {known.digest}, while this "
            f"one is {digest}: a version does not change, so give this one another `version` in its "
            "model.toml"
        )


def record(
    connection: Connection,
    deployed: DeployedVersion,
    *,
    who: str,
    share: float | None = None,
    default: bool = True,
    adopted: Iterable[DeployedVersion] = (),
) -> Deployed:
    """Record that a version is in place, and move what its model's name means; all of it, or nothing.

    Args:
        connection: to the ledger.
        deployed: the version.
        who: deployed it.
        share: percent of the requests without a pin that it gets as a canary; None makes it the default.
        default: False leaves the name as it is, so that only a pin leads to the version.
        adopted: versions that were in place before the model's first deployment, the newest last.

    Returns:
        All that is deployed then.

    Raises:
        OtherDigest: the version stands with another content.
        RegistryRefused: it cannot be a canary.
    """
    model, version = deployed.spec.name, deployed.spec.version
    with translated():
        lock(connection)
        check_digest(find_version(connection, model, version), deployed.digest)
        alias = alias_of(connection, model)
        if alias == Alias():
            for each in adopted:
                _put(connection, each, who)
                alias = made_default(alias, each.spec.version)
                _change(connection, model, each.spec.version, "adopted", who)
        _put(connection, deployed, who)
        if share is not None:
            alias = made_canary(alias, model, version, share)
        elif default or alias.version is None:
            alias = made_default(alias, version)
        action = "deployed" if share is None else f"canary of {share:g} %"
        return _settle(connection, model, alias, (version, action, who))


def roll_back(connection: Connection, model: str, *, who: str) -> Deployed:
    """Move a model's name a step back: end its canary, or make the default before this one the default.

    Raises:
        RegistryRefused: there is nothing to go back to.
    """
    with translated():
        lock(connection)
        versions = [each.version for each in deployed_versions(connection, model)]
        alias = rolled_back(alias_of(connection, model), model, versions)
        return _settle(connection, model, alias, (alias.version, "rolled back", who))


def take_out(
    connection: Connection, model: str, version: str | None, *, who: str
) -> tuple[Deployed, list[DeployedVersion]]:
    """Remove a version, or the whole model where it is None; return what is left, and what was removed.

    Raises:
        RegistryRefused: it is not there, or requests without a pin go to it.
    """
    with translated():
        lock(connection)
        there = {each.version: each.deployed for each in deployed_versions(connection, model)}
        if not there or (version is not None and version not in there):
            raise RegistryRefused(
                f"{model} {version or ''}".rstrip() + " is not in the registry; it has "
                f"{', '.join(there) or 'no version of this model'}"
            )
        alias = Alias() if version is None else removed(alias_of(connection, model), model, version)
        statement = delete(MODEL_VERSIONS).where(MODEL_VERSIONS.c.model == model)
        connection.execute(
            statement if version is None else statement.where(MODEL_VERSIONS.c.version == version)
        )
        gone = list(there.values()) if version is None else [there[version]]
        return _settle(connection, model, alias, (version, "removed", who)), gone


def fast_forward_revision(connection: Connection, announced: int) -> Deployed:
    """Go on above a revision that was announced and is not in the registry; return what is deployed.

    Who has heard of that revision takes no lower one. Where the registry is above it by now, nothing changes;
    else it notes a change for each number that is missing, so that no later change gets one of them.

    Raises:
        RegistryRefused: far too many are missing.
    """
    with translated():
        lock(connection)
        missing = announced + 1 - revision_of(connection)
        if missing > MAX_MISSING_REVISIONS:
            raise RegistryRefused(
                f"revision {announced} was announced, and {missing} are missing to it in the registry: "
                "delete the stream straightline.deployed, run `python -m broker_config`, and restart "
                "schedulers, pools and gateways"
            )
        if missing > 0:
            note = (literal("*"), literal("restored"), literal("reconciler"))
            rows = select(*note).select_from(func.generate_series(1, missing).alias())
            connection.execute(insert(MODEL_CHANGES).from_select(["model", "action", "changed_by"], rows))
        deployed = read_deployed(connection)
        connection.commit()
        return deployed


def _settle(
    connection: Connection, model: str, alias: Alias, change: tuple[str | None, str, str]
) -> Deployed:
    values = {"model": model, **msgspec.structs.asdict(alias)}
    statement = upsert(MODEL_ALIASES).values(values)
    connection.execute(statement.on_conflict_do_update(index_elements=["model"], set_=values))
    _change(connection, model, *change)
    deployed = read_deployed(connection)
    commit_or_verify(connection, deployed.revision)
    return deployed


def _change(connection: Connection, model: str, version: str | None, action: str, who: str) -> None:
    connection.execute(
        insert(MODEL_CHANGES).values(model=model, version=version, action=action, changed_by=who)
    )


def _put(connection: Connection, deployed: DeployedVersion, who: str) -> None:
    values: dict[str, Any] = {
        "model": deployed.spec.name,
        "version": deployed.spec.version,
        "digest": deployed.digest,
        "spec": msgspec.to_builtins(deployed.spec),
        "image": deployed.image,
        "function": deployed.function,
        "deployed_by": who,
    }
    statement = upsert(MODEL_VERSIONS).values(values)
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=["model", "version"], set_={**values, "deployed_at": func.clock_timestamp()}
        )
    )
