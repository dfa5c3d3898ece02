"""Days as ranges of version 7 UUIDs, which begin with their creation time."""

import re
import uuid
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from typing import Final

import msgspec

_BOUNDS: Final = re.compile(r"FOR VALUES FROM \('([0-9a-f-]{36})'\) TO \('([0-9a-f-]{36})'\)")


class IdRange(msgspec.Struct, frozen=True, order=True):
    """Ids with `low` <= id < `high`, in canonical form, which sorts as Postgres sorts uuid."""

    low: str
    high: str

    def overlaps(self, other: "IdRange") -> bool:
        """Tell whether an id can be in both ranges."""
        return self.low < other.high and other.low < self.high


def lowest_id(time: datetime) -> str:
    """Return the lowest id created at a time, which has a time zone."""
    milliseconds = (time - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
    return str(uuid.UUID(int=max(0, milliseconds) << 80))


def created_at(text: str) -> datetime | None:
    """Return when an id in canonical form was created; None if it is not version 7 or its time is invalid."""
    identity = uuid.UUID(text)
    try:
        return datetime.fromtimestamp((identity.int >> 80) / 1000, UTC) if identity.version == 7 else None
    except (ValueError, OverflowError, OSError):
        return None


def day_range(day: date) -> IdRange:
    """Return the ids of one day in UTC."""
    start = datetime(day.year, day.month, day.day, tzinfo=UTC)
    return IdRange(lowest_id(start), lowest_id(start + timedelta(days=1)))


def missing_days(existing: Iterable[IdRange], first: date, count: int) -> list[date]:
    """Return the days among `count` from `first` on that no range overlaps."""
    known = list(existing)
    days = [first + timedelta(days=number) for number in range(count)]
    return [day for day in days if not any(day_range(day).overlaps(span) for span in known)]


def parse_bounds(bounds: str) -> IdRange | None:
    """Parse the bounds that Postgres prints of a partition; None for the default one and other forms."""
    found = _BOUNDS.fullmatch(bounds)
    return None if found is None else IdRange(found[1], found[2])
