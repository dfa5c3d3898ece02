"""Tables of the model registry."""

from typing import Final

from sqlalchemy import (
    BigInteger,
    Column,
    Double,
    Identity,
    Table,
    Text,
    func,
)
from sqlalchemy.dialects.postgresql import JSONB

from outcomes.schema.tables.metadata import METADATA, TIME

MODEL_VERSIONS: Final = Table(
    "model_versions",
    METADATA,
    Column("model", Text, primary_key=True),
    Column("version", Text, primary_key=True),
    Column("digest", Text, nullable=False, comment="digest of its bundle"),
    Column("spec", JSONB, nullable=False, comment="tensors, limits and the backends that it is deployed on"),
    Column("image", Text, comment="id of its container image"),
    Column("function", Text, comment="name of its serverless function"),
    Column("deployed_by", Text, nullable=False),
    Column("deployed_at", TIME, nullable=False, server_default=func.now()),
    comment="deployed model versions",
)

MODEL_ALIASES: Final = Table(
    "model_aliases",
    METADATA,
    Column("model", Text, primary_key=True),
    Column("version", Text, comment="default version; null if removed"),
    Column("previous", Text, comment="default version before it"),
    Column("canary", Text, comment="version that gets a share of the requests"),
    Column(
        "share",
        Double,
        nullable=False,
        server_default="0",
        comment="percent of the requests that the canary gets",
    ),
    comment="version that a model name resolves to without a pin",
)

MODEL_CHANGES: Final = Table(
    "model_changes",
    METADATA,
    Column("revision", BigInteger, Identity(always=False), primary_key=True),
    Column("model", Text, nullable=False),
    Column("version", Text),
    Column("action", Text, nullable=False),
    Column("changed_by", Text, nullable=False),
    Column("changed_at", TIME, nullable=False, server_default=func.now()),
    comment="log of changes; the last number is the registry's revision",
)
