from datetime import UTC, date, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from outcomes.schema.uuid7_ranges import IdRange, day_range, lowest_id, missing_days, parse_bounds
from straightline.ids import new_id

DAY = date(2026, 3, 14)


def test_a_new_id_is_in_the_range_of_its_day_only() -> None:
    before = datetime.now(UTC).date()
    request = new_id()
    today = datetime.now(UTC).date()
    inside = [day for day in (before, today) if day_range(day).low <= request < day_range(day).high]
    assert inside
    assert not day_range(today + timedelta(days=1)).low <= request
    assert not request < day_range(before).low


def test_day_ranges_are_contiguous() -> None:
    assert day_range(DAY).high == day_range(DAY + timedelta(days=1)).low
    assert not day_range(DAY).overlaps(day_range(DAY + timedelta(days=1)))


@given(st.datetimes(datetime(1970, 1, 1), datetime(9999, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001
def test_ids_sort_by_their_time(time: datetime) -> None:
    assert lowest_id(time) < lowest_id(time + timedelta(milliseconds=1))


def test_only_days_without_a_partition_are_missing() -> None:
    there = [day_range(DAY + timedelta(days=1)), IdRange(day_range(DAY + timedelta(days=3)).low, "f" * 36)]
    assert missing_days(there, DAY, 6) == [DAY, DAY + timedelta(days=2)]


def test_bounds_are_parsed_as_postgres_prints_them() -> None:
    span = day_range(DAY)
    assert parse_bounds(f"FOR VALUES FROM ('{span.low}') TO ('{span.high}')") == span
    assert parse_bounds("DEFAULT") is None
    assert parse_bounds(f"FOR VALUES FROM (MINVALUE) TO ('{span.high}')") is None
