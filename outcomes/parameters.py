"""Parameters of SQL statements."""

from collections.abc import Iterable
from typing import Any

from sqlalchemy import ColumnElement, Text, bindparam, cast
from sqlalchemy.dialects.postgresql import ARRAY, UUID


def uuid_array(ids: Iterable[str]) -> ColumnElement[Any]:
    """One parameter for any number of ids; a parameter for each would end at 65,535."""
    return cast(bindparam(None, list(ids), type_=ARRAY(Text)), ARRAY(UUID(as_uuid=False)))
