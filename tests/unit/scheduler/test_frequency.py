"""`f_t` counts when requests were made, in bounded memory, in whatever order they are read."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.placement.frequency import BUCKETS, MAX_BUCKETS, Frequencies, Frequency


def reference(times: list[float], at: float, window: float) -> float:
    """Count by definition, in whole buckets."""
    width = window / BUCKETS
    last = at // width
    return sum(last - BUCKETS < time // width <= last for time in times) / window


@given(st.lists(st.floats(0, 40), min_size=1, max_size=200), st.sampled_from([1.0, 2.0, 10.0]))
def test_the_rate_is_the_count_in_the_window_in_any_order(times: list[float], window: float) -> None:
    frequency = Frequency(window)
    distinct = {time // (window / BUCKETS) for time in times}
    for index, time in enumerate(times):
        rate = frequency.observe(time)
        if len(distinct) <= MAX_BUCKETS:
            assert rate == reference(times[: index + 1], time, window)


@given(st.lists(st.floats(0, 1_000), min_size=1, max_size=400))
def test_in_order_the_rate_is_exact_over_any_span(times: list[float]) -> None:
    frequency = Frequency(10.0)
    times = sorted(times)
    for index, time in enumerate(times):
        assert frequency.observe(time) == reference(times[: index + 1], time, 10.0)


def test_a_backlog_read_at_once_has_the_rate_it_was_submitted_with() -> None:
    frequencies = Frequencies(10.0)
    rates = [frequencies.observe("digits", 1_000 + index * 0.1) for index in range(1_000)]
    assert max(rates) == pytest.approx(10.0, rel=0.03)


def test_a_backlog_read_between_live_requests_keeps_its_own_rate() -> None:
    frequency = Frequency(10.0)
    backlog, live = [], []
    for index in range(500):
        backlog.append(frequency.observe(1_000 + index * 0.5))
        live.append(frequency.observe(90_000 + index * 0.01))
    assert max(backlog) <= 2.1
    assert live[-1] == pytest.approx(50.0)


def test_memory_is_bounded() -> None:
    frequency = Frequency(1.0)
    for index in range(10_000):
        frequency.observe(index * 7.0 % 5_000)
    assert len(frequency._counts) <= MAX_BUCKETS


def test_looking_does_not_count() -> None:
    frequencies = Frequencies(10.0)
    frequencies.observe("digits", 5.0)
    assert frequencies.rate("digits", 6.0) == frequencies.rate("digits", 6.0) == 0.1
    assert frequencies.rate("digits", 60.0) == 0.0
    assert frequencies.rate("unknown", 6.0) == 0.0
