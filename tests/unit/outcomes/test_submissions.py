"""Submissions can be written with any times that a caller states."""

from datetime import UTC, datetime

import pytest

from outcomes.queries.submissions import Submission, row_of


@pytest.mark.parametrize("far", [1e12, 1e300, -1e12])
def test_a_time_that_is_not_a_date_is_written_as_the_nearest_one(far: float) -> None:
    row = row_of(Submission(id="a", model="m", submitted_at=1.5, deadline=far, until=far))
    assert row["submitted_at"] == datetime(1970, 1, 1, 0, 0, 1, 500_000, UTC)
    assert row["deadline"] == row["until"] == datetime(9999 if far > 0 else 1970, 1, 1, tzinfo=UTC)


def test_an_absent_deadline_stays_absent() -> None:
    assert (
        row_of(Submission(id="a", model="m", submitted_at=1.0, deadline=None, until=2.0))["deadline"] is None
    )
