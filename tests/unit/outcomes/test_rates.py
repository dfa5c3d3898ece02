from outcomes.queries.rates import AttemptCount, OutcomeCount, rates


def test_rates_join_attempts_and_outcomes_by_name_worst_first() -> None:
    found = rates(
        [
            AttemptCount("a", None, True, 6, 0, 0.0),
            AttemptCount("a", "crashed", False, 2, 0, 0.0),
            AttemptCount("b", "throttled", False, 4, 0, 0.0),
        ],
        [OutcomeCount("a", None, "succeeded", True, 6), OutcomeCount("b", "throttled", "failed", True, 4)],
    )
    assert [rate.name for rate in found] == ["b", "a"]
    worst, other = found
    assert (worst.attempts, worst.attempts_failed, worst.attempt_failure_rate) == (4, 4, 1.0)
    assert (worst.outcomes, worst.outcomes_failed, worst.failure_rate) == (4, 4, 1.0)
    assert (other.attempt_failure_rate, other.failure_rate) == (0.25, 0.0)


def test_an_error_is_counted_once_by_attempt_or_by_outcome() -> None:
    (rate,) = rates(
        [AttemptCount("a", "crashed", False, 1, 0, 0.0)],
        [OutcomeCount("a", "crashed", "failed", True, 1), OutcomeCount("a", "deadline", "expired", False, 2)],
    )
    assert rate.errors == {"deadline": 2, "crashed": 1}


def test_an_expired_placement_is_a_failure_of_its_backend() -> None:
    (rate,) = rates(
        [AttemptCount("a", "lost", False, 1, 0, 0.0)], [OutcomeCount("a", "lost", "expired", True, 1)]
    )
    assert (rate.failure_rate, rate.attempt_failure_rate, rate.errors) == (1.0, 1.0, {"lost": 1})


def test_rejected_and_cancelled_requests_are_not_failures() -> None:
    (rate,) = rates(
        [],
        [
            OutcomeCount(None, "malformed", "rejected", False, 3),
            OutcomeCount(None, None, "cancelled", False, 1),
        ],
    )
    assert (rate.outcomes, rate.failure_rate, rate.attempt_failure_rate) == (0, None, None)
    assert rate.rejected == 3


def test_attempts_returned_without_a_call_are_not_failures() -> None:
    (rate,) = rates(
        [
            AttemptCount("a", None, True, 3, 0, 0.0),
            AttemptCount("a", "breaker_open", False, 9, 0, 0.0),
            AttemptCount("a", "not_informed", False, 2, 0, 0.0),
        ],
        [],
    )
    assert (rate.attempts, rate.attempts_failed, rate.errors) == (3, 0, {})


def test_cold_starts_of_failed_attempts_are_counted() -> None:
    (rate,) = rates(
        [
            AttemptCount("a", None, True, 7, 2, 3.0),
            AttemptCount("a", "cold_start_timed_out", False, 1, 1, 9.0),
            AttemptCount("a", "x", False, 1, 0, 0.0),
        ],
        [],
    )
    assert (rate.cold_starts, rate.cold_start) == (3, 4.0)
    (rate,) = rates([AttemptCount("a", None, True, 7, 0, 0.0)], [])
    assert (rate.cold_starts, rate.cold_start) == (0, None)
