from hypothesis import given
from hypothesis import strategies as st

from straightline.amqp.connection.connection import MAX_RECONNECT_DELAY_S, RECONNECT_BACKOFF
from straightline.support.backoff import Backoff


@given(st.integers(1, 10_000), st.floats(0, 1, exclude_max=True))
def test_the_delay_grows_to_its_cap_and_never_vanishes(failures: int, chance: float) -> None:
    delay = RECONNECT_BACKOFF.delay
    assert 0.05 <= delay(failures, chance) <= MAX_RECONNECT_DELAY_S
    assert delay(failures, chance) <= delay(failures + 1, chance)


def test_the_delay_doubles_from_the_first_failure() -> None:
    backoff = Backoff(min_s=1.0, max_s=5.0)
    assert [backoff.delay(failures, 0.0) for failures in (1, 2, 3, 4, 5)] == [0.5, 1.0, 2.0, 2.5, 2.5]


def test_clients_that_failed_together_return_in_the_upper_half_of_the_delay() -> None:
    delays = {Backoff(2.0, 2.0).delay(1) for _ in range(100)}
    assert len(delays) > 50
    assert all(1.0 <= delay < 2.0 for delay in delays)
