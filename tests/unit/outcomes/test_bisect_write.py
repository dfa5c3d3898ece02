from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outcomes.db.bisect_write import write_with_bisection
from outcomes.db.errors import LedgerRefused, LedgerUnavailable


@given(total=st.integers(0, 200), guilty=st.sets(st.integers(0, 199), max_size=5))
def test_all_items_but_the_refused_are_written_once_and_the_refused_are_returned(
    total: int, guilty: set[int]
) -> None:
    written: list[int] = []
    calls = 0

    def write(part: Sequence[int]) -> None:
        nonlocal calls
        calls += 1
        if guilty.intersection(part):
            raise LedgerRefused("guilty")
        written.extend(part)

    guilty &= set(range(total))
    _, refused = write_with_bisection(list(range(total)), write)
    assert written == [item for item in range(total) if item not in guilty]
    assert [item for item, _ in refused] == sorted(guilty)
    assert calls <= 1 + 2 * len(guilty) * max(1, total.bit_length())


def test_an_outage_blames_no_item() -> None:
    def write(part: Sequence[int]) -> None:
        raise LedgerUnavailable("down")

    with pytest.raises(LedgerUnavailable):
        write_with_bisection([1, 2, 3], write)
