"""Metadata that all tables share."""

from typing import Final

from sqlalchemy import DateTime, MetaData

METADATA: Final = MetaData(
    naming_convention={
        "pk": "%(table_name)s_pkey",
        "ck": "%(table_name)s_%(constraint_name)s",
        "uq": "%(table_name)s_%(column_0_N_name)s_key",
        "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
        "ix": "%(table_name)s_%(column_0_N_name)s",
    }
)
TIME: Final = DateTime(timezone=True)
