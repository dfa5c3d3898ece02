"""Reads the registry: deployed versions of all models, and their aliases.

All raise `LedgerUnavailable`, `LedgerNotMigrated` or `LedgerRefused`, see `outcomes.db.translation`.
"""

from collections.abc import Sequence
from datetime import datetime

import msgspec
from sqlalchemy import Connection, RowMapping, func, select

from outcomes.db.translation import translated
from outcomes.registry.aliases import Alias
from outcomes.schema.tables import MODEL_ALIASES, MODEL_CHANGES, MODEL_VERSIONS
from straightline.contracts import ModelSpec
from straightline.contracts.deployed import Deployed, DeployedModel, DeployedVersion


class DeployedVersionInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A deployed version with its role.

    Attributes:
        model, version: its name.
        deployed: what is announced about it.
        deployed_by: the person or program that deployed it.
        deployed_at: Unix seconds.
        role: `default`, `canary`, `previous`, or empty if only pinned requests get it.
        share: percent of the unpinned requests that it gets.
    """

    model: str
    version: str
    deployed: DeployedVersion
    deployed_by: str
    deployed_at: float
    role: str
    share: float


def read_deployed(connection: Connection) -> Deployed:
    """Return everything that is deployed, as it is announced."""
    with translated():
        revision = connection.execute(select(func.max(MODEL_CHANGES.c.revision))).scalar_one()
        rows = connection.execute(select(MODEL_VERSIONS).order_by(MODEL_VERSIONS.c.deployed_at)).mappings()
        versions: dict[str, dict[str, DeployedVersion]] = {}
        for row in rows:
            versions.setdefault(row["model"], {})[row["version"]] = _version(row)
        aliases = connection.execute(select(MODEL_ALIASES)).mappings().all()
    models = {
        row["model"]: DeployedModel(
            versions=versions.get(row["model"], {}),
            default=row["version"],
            canary=row["canary"],
            share=row["share"],
        )
        for row in aliases
    }
    return Deployed(revision=revision or 0, models=models)


def revision_of(connection: Connection) -> int:
    """Return the number of the last change; 0 before the first."""
    with translated():
        return connection.execute(select(func.max(MODEL_CHANGES.c.revision))).scalar_one() or 0


def deployed_versions(connection: Connection, model: str | None = None) -> Sequence[DeployedVersionInfo]:
    """Return the deployed versions of one model or of all, by name and time."""
    statement = select(MODEL_VERSIONS).order_by(MODEL_VERSIONS.c.model, MODEL_VERSIONS.c.deployed_at)
    if model is not None:
        statement = statement.where(MODEL_VERSIONS.c.model == model)
    with translated():
        rows = connection.execute(statement).mappings().all()
        aliases = {row["model"]: _alias(row) for row in connection.execute(select(MODEL_ALIASES)).mappings()}
    return [_info(row, aliases.get(row["model"], Alias())) for row in rows]


def find_version(connection: Connection, model: str, version: str) -> DeployedVersion | None:
    """Return a deployed version; None if there is none."""
    statement = select(MODEL_VERSIONS).where(
        MODEL_VERSIONS.c.model == model, MODEL_VERSIONS.c.version == version
    )
    with translated():
        row = connection.execute(statement).mappings().first()
    return None if row is None else _version(row)


def alias_of(connection: Connection, model: str) -> Alias:
    """Return a model's alias; an empty one if it was never deployed."""
    found = select(MODEL_ALIASES).where(MODEL_ALIASES.c.model == model)
    row = connection.execute(found).mappings().first()
    return Alias() if row is None else _alias(row)


def _alias(row: RowMapping) -> Alias:
    return Alias(version=row["version"], previous=row["previous"], canary=row["canary"], share=row["share"])


def _version(row: RowMapping) -> DeployedVersion:
    return DeployedVersion(
        spec=msgspec.convert(row["spec"], ModelSpec),
        digest=row["digest"],
        image=row["image"],
        function=row["function"],
    )


def _info(row: RowMapping, alias: Alias) -> DeployedVersionInfo:
    version = row["version"]
    roles = {alias.previous: "previous", alias.canary: "canary", alias.version: "default"}
    role = roles.get(version, "")
    share = {"default": 100.0 - alias.share, "canary": alias.share}.get(role, 0.0)
    at: datetime = row["deployed_at"]
    return DeployedVersionInfo(
        model=row["model"],
        version=version,
        deployed=_version(row),
        deployed_by=row["deployed_by"],
        deployed_at=at.timestamp(),
        role=role,
        share=share,
    )
