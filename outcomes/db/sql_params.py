"""Array parameters for SQL statements."""

from collections.abc import Collection, Iterable
from typing import Any

from sqlalchemy import ColumnElement, Text, and_, bindparam, cast, func
from sqlalchemy.dialects.postgresql import ARRAY, UUID


def uuid_array(ids: Iterable[str]) -> ColumnElement[Any]:
    """Bind any number of ids as one array; one parameter per id would be limited to 65,535."""
    return cast(bindparam(None, list(ids), type_=ARRAY(Text)), ARRAY(UUID(as_uuid=False)))


def in_ids(column: ColumnElement[Any], ids: Collection[str]) -> ColumnElement[bool]:
    """Match a column against ids: at least one, in canonical form.

    The lowest and highest id as bounds let Postgres prune the partitions of other days before planning.
    """
    return and_(column == func.any(uuid_array(ids)), column.between(min(ids), max(ids)))
