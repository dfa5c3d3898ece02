"""Counts over a rolling window, compared with a list of all that was counted."""

from hypothesis import given
from hypothesis import strategies as st

from scheduler.placement.rolling_counter import RollingCounter

WINDOW = 5.0


@given(st.lists(st.tuples(st.floats(0, 3), st.integers(0, 4), st.integers(0, 4)), max_size=40))
def test_exactly_the_seconds_within_the_window_count(steps: list[tuple[float, int, int]]) -> None:
    counter, now, entries = RollingCounter(WINDOW), 1_000.0, []
    for after, first, second in steps:
        now += after
        counter.add(now, first, second)
        entries.append((float(int(now)), first, second))
        counter.forget(now)
        current = [entry for entry in entries if entry[0] > now - WINDOW]
        assert counter.first == sum(first for _, first, _ in current)
        assert counter.second == sum(second for _, _, second in current)
    counter.forget(now + WINDOW + 1)
    assert (counter.first, counter.second) == (0, 0)


def test_a_clock_set_back_by_more_than_the_window_drops_the_counts() -> None:
    counter = RollingCounter(WINDOW)
    counter.add(1_000.0, 7, 3)
    counter.add(900.0, 1, 0)
    assert (counter.first, counter.second) == (1, 0)


def test_a_clock_set_back_a_little_keeps_the_counts() -> None:
    counter = RollingCounter(WINDOW)
    counter.add(1_000.0, 7, 3)
    counter.add(998.0, 1, 1)
    assert (counter.first, counter.second) == (8, 4)
    counter.forget(1_000.0 + WINDOW)
    assert (counter.first, counter.second) == (0, 0)
