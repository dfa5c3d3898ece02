"""What a gateway noted can be written, whatever times a caller gave."""

from datetime import UTC, datetime

import pytest

from outcomes.queries.submissions import Submission, row_of


@pytest.mark.parametrize("far", [1e12, 1e300, -1e12])
def test_a_time_that_is_no_date_is_written_as_the_nearest_one(far: float) -> None:
    row = row_of(Submission(id="a", model="m", submitted_at=1.5, deadline=far, until=far))
    assert row["submitted_at"] == datetime(1970, 1, 1, 0, 0, 1, 500_000, UTC)
    assert row["deadline"] == row["until"] == datetime(9999 if far > 0 else 1970, 1, 1, tzinfo=UTC)


def test_a_deadline_that_was_not_given_stays_so() -> None:
    assert (
        row_of(Submission(id="a", model="m", submitted_at=1.0, deadline=None, until=2.0))["deadline"] is None
    )
