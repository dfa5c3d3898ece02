"""Parameters of SQL statements."""

from collections.abc import Collection, Iterable
from typing import Any

from sqlalchemy import ColumnElement, Text, and_, bindparam, cast, func
from sqlalchemy.dialects.postgresql import ARRAY, UUID


def uuid_array(ids: Iterable[str]) -> ColumnElement[Any]:
    """One parameter for any number of ids; a parameter for each would end at 65,535."""
    return cast(bindparam(None, list(ids), type_=ARRAY(Text)), ARRAY(UUID(as_uuid=False)))


def in_ids(column: ColumnElement[Any], ids: Collection[str]) -> ColumnElement[bool]:
    """Whether a column of ids is one of these; at least one, in canonical form.

    With the lowest and the highest Postgres leaves out the partitions of other days before it plans.
    """
    return and_(column == func.any(uuid_array(ids)), column.between(min(ids), max(ids)))
