"""API keys of the HTTP gateway; only their digests are stored.

A key is `sl_` and 256 random bits, so inverting its plain SHA-256 is as hard as guessing it. Slow hashes are
for passwords that people choose.
"""

import hashlib
import secrets
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Final, Literal, get_args

import msgspec
from sqlalchemy import Connection, RowMapping, func, insert, select, update

from outcomes.db.translation import translated
from outcomes.schema.tables import API_KEYS
from straightline.ids import new_id

Scope = Literal["infer", "read", "cancel", "batch", "webhooks"]
SCOPES: Final[tuple[Scope, ...]] = get_args(Scope)
PREFIX: Final = "sl_"


class Key(msgspec.Struct, frozen=True, kw_only=True):
    """An API key, without its text.

    Attributes:
        id: of the key.
        name: a label for people.
        scopes: what it permits.
        created_at, expires_at, revoked_at: Unix seconds; None if it does not expire, or was not revoked.
    """

    id: str
    name: str
    scopes: tuple[Scope, ...]
    created_at: float
    expires_at: float | None = None
    revoked_at: float | None = None

    def ended(self, now: float) -> bool:
        """Tell whether it is revoked or expired."""
        return self.revoked_at is not None or (self.expires_at is not None and self.expires_at <= now)


def digest_of(text: str) -> str:
    """Return the digest under which a key is stored."""
    return hashlib.sha256(text.encode()).hexdigest()


def create_key(
    connection: Connection, name: str, scopes: Iterable[Scope], *, expires_at: datetime | None = None
) -> tuple[Key, str]:
    """Create a key and return it with its text, which is not stored.

    Raises:
        LedgerUnavailable, LedgerNotMigrated, LedgerRefused: it was not created.
    """
    text = PREFIX + secrets.token_urlsafe(32)
    values = {
        "id": new_id(),
        "name": name,
        "digest": digest_of(text),
        "scopes": sorted(set(scopes)),
        "expires_at": expires_at,
    }
    with translated():
        row = connection.execute(insert(API_KEYS).values(values).returning(API_KEYS)).mappings().one()
        connection.commit()
    return _key(row), text


def find_key(connection: Connection, digest: str) -> Key | None:
    """Return the key with a digest, revoked or not; None if there is none.

    Raises:
        LedgerUnavailable, LedgerNotMigrated: the lookup failed.
    """
    with translated():
        row = connection.execute(select(API_KEYS).where(API_KEYS.c.digest == digest)).mappings().first()
    return None if row is None else _key(row)


def all_keys(connection: Connection) -> Sequence[Key]:
    """Return every key, oldest first."""
    with translated():
        rows = connection.execute(select(API_KEYS).order_by(API_KEYS.c.created_at)).mappings().all()
    return [_key(row) for row in rows]


def revoke_key(connection: Connection, key_id: str) -> bool:
    """Revoke a key for good; False if there is none with this id, or it was revoked before."""
    statement = (
        update(API_KEYS)
        .where(API_KEYS.c.id == key_id, API_KEYS.c.revoked_at.is_(None))
        .values(revoked_at=func.now())
    )
    with translated():
        revoked = connection.execute(statement).rowcount
        connection.commit()
    return bool(revoked)


def _key(row: RowMapping) -> Key:
    def seconds(time: datetime | None) -> float | None:
        return None if time is None else time.astimezone(UTC).timestamp()

    return Key(
        id=row["id"],
        name=row["name"],
        scopes=tuple(row["scopes"]),
        created_at=seconds(row["created_at"]) or 0.0,
        expires_at=seconds(row["expires_at"]),
        revoked_at=seconds(row["revoked_at"]),
    )
