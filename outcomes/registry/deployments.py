"""Changes of the registry, each in one transaction under one lock.

All raise `LedgerUnavailable`, `LedgerNotMigrated` or `LedgerRefused` (see `outcomes.db.translation`) without
having changed anything. After `CommitUncertain`, a `LedgerUnavailable`, the change may have been recorded.
"""

from collections.abc import Iterable
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, delete, func, insert, literal, select
from sqlalchemy.dialects.postgresql import insert as upsert

from outcomes.db.errors import RegistryRefused
from outcomes.db.translation import translated
from outcomes.registry.aliases import Alias, made_canary, made_default, removed, rolled_back
from outcomes.registry.checks import check_digest
from outcomes.registry.commit_check import commit_or_verify, lock
from outcomes.registry.registry import alias_of, deployed_versions, find_version, read_deployed, revision_of
from outcomes.schema.tables import MODEL_ALIASES, MODEL_CHANGES, MODEL_VERSIONS
from straightline.contracts.deployed import Deployed, DeployedVersion

MAX_MISSING_REVISIONS: Final = 100_000
"""Changes that a registry restored from an older backup may lack."""


def record(
    connection: Connection,
    deployed: DeployedVersion,
    *,
    who: str,
    share: float | None = None,
    default: bool = True,
    adopted: Iterable[DeployedVersion] = (),
) -> Deployed:
    """Record that a version is deployed and update its model's alias.

    Args:
        connection: to the ledger.
        deployed: the version.
        who: the person or program that deploys it.
        share: percent of the unpinned requests that it gets as a canary; None makes it the default.
        default: False leaves the alias unchanged, so that only pinned requests get the version.
        adopted: versions that were served before the model's first deployment, newest last.

    Returns:
        Everything that is deployed afterwards.

    Raises:
        OtherDigest: the version is deployed with different content.
        RegistryRefused: it cannot be a canary.
    """
    model, version = deployed.spec.name, deployed.spec.version
    with translated():
        lock(connection)
        check_digest(find_version(connection, model, version), deployed.digest)
        alias = alias_of(connection, model)
        if alias == Alias():
            for each in adopted:
                _upsert_version(connection, each, who)
                alias = made_default(alias, each.spec.version)
                _log_change(connection, model, each.spec.version, "adopted", who)
        _upsert_version(connection, deployed, who)
        if share is not None:
            alias = made_canary(alias, model, version, share)
        elif default or alias.version is None:
            alias = made_default(alias, version)
        action = "deployed" if share is None else f"canary of {share:g} %"
        return _commit(connection, model, alias, (version, action, who))


def roll_back(connection: Connection, model: str, *, who: str) -> Deployed:
    """Take a model's alias one step back: end its canary, or restore the previous default.

    Raises:
        RegistryRefused: there is no earlier state.
    """
    with translated():
        lock(connection)
        versions = [each.version for each in deployed_versions(connection, model)]
        alias = rolled_back(alias_of(connection, model), model, versions)
        return _commit(connection, model, alias, (alias.version, "rolled back", who))


def take_out(
    connection: Connection, model: str, version: str | None, *, who: str
) -> tuple[Deployed, list[DeployedVersion]]:
    """Remove a version, or the whole model if `version` is None.

    Returns:
        Everything that is still deployed, and the removed versions.

    Raises:
        RegistryRefused: it is not deployed, or unpinned requests get it.
    """
    with translated():
        lock(connection)
        existing = {each.version: each.deployed for each in deployed_versions(connection, model)}
        if not existing or (version is not None and version not in existing):
            raise RegistryRefused(
                f"{model} {version or ''}".rstrip() + " is not in the registry: it has "
                f"{', '.join(existing) or 'no version of this model'}"
            )
        alias = Alias() if version is None else removed(alias_of(connection, model), model, version)
        statement = delete(MODEL_VERSIONS).where(MODEL_VERSIONS.c.model == model)
        connection.execute(
            statement if version is None else statement.where(MODEL_VERSIONS.c.version == version)
        )
        gone = list(existing.values()) if version is None else [existing[version]]
        return _commit(connection, model, alias, (version, "removed", who)), gone


def fast_forward_revision(connection: Connection, announced: int) -> Deployed:
    """Raise the registry's revision above one that was announced, as after a restore from an older backup.

    Components that know the announced revision ignore lower ones. One change is recorded for each missing
    number, so that no later change gets one of them; if the registry is above it already, nothing changes.

    Returns:
        Everything that is deployed.

    Raises:
        RegistryRefused: more than `MAX_MISSING_REVISIONS` are missing.
    """
    with translated():
        lock(connection)
        missing = announced + 1 - revision_of(connection)
        if missing > MAX_MISSING_REVISIONS:
            raise RegistryRefused(
                f"revision {announced} was announced, but the registry lacks {missing} revisions up to it: "
                "delete the stream straightline.deployed, run `python -m broker_config`, and restart "
                "schedulers, pools and gateways"
            )
        if missing > 0:
            row = (literal("*"), literal("restored"), literal("reconciler"))
            rows = select(*row).select_from(func.generate_series(1, missing).alias())
            connection.execute(insert(MODEL_CHANGES).from_select(["model", "action", "changed_by"], rows))
        deployed = read_deployed(connection)
        connection.commit()
        return deployed


def _commit(
    connection: Connection, model: str, alias: Alias, change: tuple[str | None, str, str]
) -> Deployed:
    values = {"model": model, **msgspec.structs.asdict(alias)}
    statement = upsert(MODEL_ALIASES).values(values)
    connection.execute(statement.on_conflict_do_update(index_elements=["model"], set_=values))
    _log_change(connection, model, *change)
    deployed = read_deployed(connection)
    commit_or_verify(connection, deployed.revision)
    return deployed


def _log_change(connection: Connection, model: str, version: str | None, action: str, who: str) -> None:
    connection.execute(
        insert(MODEL_CHANGES).values(model=model, version=version, action=action, changed_by=who)
    )


def _upsert_version(connection: Connection, deployed: DeployedVersion, who: str) -> None:
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
