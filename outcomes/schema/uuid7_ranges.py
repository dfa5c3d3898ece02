"""Days as ranges of ids, which begin with the time they were made at (UUID version 7); pure."""

import re
import uuid
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from typing import Final

import msgspec

_BOUNDS: Final = re.compile(r"FOR VALUES FROM \('([0-9a-f-]{36})'\) TO \('([0-9a-f-]{36})'\)")


class IdRange(msgspec.Struct, frozen=True, order=True):
    """A range of ids: `low` <= id < `high`, both in canonical form, which sorts as Postgres sorts them."""

    low: str
    high: str

    def meets(self, other: "IdRange") -> bool:
        """Whether an id may be in both."""
        return self.low < other.high and other.low < self.high


def lowest_id(time: datetime) -> str:
    """Return the lowest id that is made at a time, which has a time zone."""
    milliseconds = (time - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
    return str(uuid.UUID(int=max(0, milliseconds) << 80))


def created_at(text: str) -> datetime | None:
    """Return when an id in canonical form was made; None where it does not say, or nothing sensible."""
    identity = uuid.UUID(text)
    try:
        return datetime.fromtimestamp((identity.int >> 80) / 1000, UTC) if identity.version == 7 else None
    except (ValueError, OverflowError, OSError):
        return None


def day_range(day: date) -> IdRange:
    """Return the ids of one day, in UTC."""
    start = datetime(day.year, day.month, day.day, tzinfo=UTC)
    return IdRange(lowest_id(start), lowest_id(start + timedelta(days=1)))


def missing_days(there: Iterable[IdRange], first: date, count: int) -> list[date]:
    """Return those of `count` days from `first` on that no range of `there` touches."""
    known = list(there)
    days = [first + timedelta(days=number) for number in range(count)]
    return [day for day in days if not any(day_range(day).meets(span) for span in known)]


def parse_bounds(bounds: str) -> IdRange | None:
    """Read what Postgres says of a partition's bounds; None for the default one and for other forms."""
    found = _BOUNDS.fullmatch(bounds)
    return None if found is None else IdRange(found[1], found[2])
