"""A request that would not be answered in time is rejected at once with a retry time, and no other is."""

from typing import Any

import pytest

from scheduler.placement.model import BackendState, Features
from scheduler.placement.saturation import Limits, saturated
from scheduler.placement.throughput import (
    BUSY_PERIOD_S,
    MEASUREMENT_TTL_S,
    MIN_ANSWERS,
    MIN_BUSY_PERIOD_S,
    Throughput,
)
from straightline import names
from straightline.contracts import Outcome
from straightline.names import Backend
from tests.unit.scheduler.harness import NOW, SchedulerHarness, outcomes, placements, request_body, tickets

BATCH: Any = {"class": "batch"}


def spell(rate: float, seconds: float, throughput: Throughput, now: float = NOW) -> float:
    """Answer at `rate` for `seconds`, full all the time; returns when it ended."""
    for number in range(int(rate * seconds) + 1):
        throughput.answered(1, now + number / rate)
    return now + seconds


def test_the_rate_is_measured_while_the_backend_is_full_and_not_before_there_is_enough() -> None:
    throughput = Throughput()
    assert throughput.rate(NOW) is None
    now = spell(100.0, MIN_BUSY_PERIOD_S - 0.1, throughput)
    assert throughput.rate(now) is None
    now = spell(100.0, BUSY_PERIOD_S, throughput, now + 0.01)
    assert throughput.rate(now) == pytest.approx(100, rel=0.05)
    throughput.idle(now)
    assert throughput.rate(now + MEASUREMENT_TTL_S - 3) is not None
    assert throughput.rate(now + MEASUREMENT_TTL_S + 1) is None


def test_a_stall_is_no_measurement() -> None:
    throughput = Throughput()
    now = spell(100.0, BUSY_PERIOD_S - 1, throughput)
    assert throughput.rate(now + 30) == pytest.approx(100, rel=0.05)


def test_answers_with_free_slots_are_no_measurement() -> None:
    throughput = Throughput()
    for number in range(100):
        throughput.idle(NOW + number)
        throughput.answered(1, NOW + number)
    assert throughput.rate(NOW + 100) is None


def test_a_cold_start_is_no_measurement() -> None:
    throughput = Throughput()
    throughput.answered(1, NOW + 60)  # the first answer, after a minute
    now = spell(50.0, 3.0, throughput, NOW + 60.02)
    assert throughput.rate(now) == pytest.approx(50, rel=0.1)


def test_the_best_spell_of_late_counts() -> None:
    throughput = Throughput()
    now = spell(100.0, BUSY_PERIOD_S + 0.1, throughput)
    now = spell(10.0, BUSY_PERIOD_S + 0.1, throughput, now)
    assert throughput.rate(now) == pytest.approx(100, rel=0.1)
    assert MIN_ANSWERS < 100


def features(**changes: Any) -> Features:
    members: dict[str, Any] = {"model": "m", "f_t": 1.0, "r_d": 10, "time_left": 10.0}
    return Features(**members | changes)


FULL: dict[Backend, BackendState] = {
    "serverless": BackendState(free=0, busy=300, rate=10.0),
    "local": BackendState(down="gone"),
}


def test_the_wait_is_the_requests_ahead_over_the_throughput() -> None:
    why = saturated(features(), FULL, Limits(), held=500, before=20)
    assert why is not None
    assert why.retry_after == 22
    assert why.why == (
        "320 requests wait and 10.0/s are answered: it would take 32.0 s, and this request has 10.0 s"
    )


@pytest.mark.parametrize(
    ("changes", "state", "held"),
    [
        ({"time_left": 33.0}, FULL, 20),
        ({}, {"serverless": BackendState(busy=100_000)}, 100_000),
        ({}, FULL | {"local": BackendState()}, 20),
        ({}, {"serverless": BackendState(down="gone", busy=300, rate=10.0)}, 20),
        ({}, {}, 100_000),
    ],
    ids=["in time", "nothing measured", "another of which nothing is known", "a backend is down", "no pools"],
)
def test_where_there_is_hope_it_is_held(changes: Any, state: Any, held: int) -> None:
    assert saturated(features(**changes), state, Limits(), held=held, before=held) is None


def test_the_operator_may_bound_the_held_requests() -> None:
    assert saturated(features(), {}, Limits(most_held=10), held=10, before=0) is not None


def fill(harness: SchedulerHarness, rate: int, seconds: int) -> None:
    """Have the serverless pool full and answering, so many a second."""
    for _ in range(seconds * rate):
        harness.now += 1 / rate
        harness.beat("serverless", 2)
        harness.request()
        waiting.extend(t for publish in placements(harness.turn()) for t in tickets(publish))
        if len(waiting) > 4:
            harness.done(waiting.pop(0))


waiting: list[Any] = []


@pytest.fixture
def harness() -> SchedulerHarness:
    """A serverless pool that is full, answers 10 a second, and has 4 waiting."""
    waiting.clear()
    harness = SchedulerHarness()
    fill(harness, rate=10, seconds=12)
    return harness


def test_a_request_that_cannot_be_answered_in_time_is_rejected_with_when_to_come_again(
    harness: SchedulerHarness,
) -> None:
    for _ in range(40):
        harness.request(deadline=harness.now + 60)
    assert outcomes(harness.turn()) == []
    request = harness.request(deadline=harness.now + 2)
    published = harness.turn()
    (outcome,) = outcomes(published)
    assert (outcome.state, outcome.error_class) == ("rejected", "saturated")
    assert outcome.retry_after is not None
    assert 1 <= outcome.retry_after <= 5
    assert "wait and" in (outcome.error or "")
    (reply,) = [publish for publish in published if publish.exchange == names.REPLIES]
    assert b'"retry_after":' in reply.body
    assert isinstance(outcome, Outcome)
    assert request in harness.acked


def test_batch_work_waits_and_is_not_rejected(harness: SchedulerHarness) -> None:
    for _ in range(40):
        harness.request(deadline=harness.now + 60)
    harness.turn()
    for _ in range(30):
        harness.request(request_body(harness.now, deadline=harness.now + 2, **BATCH))
    assert [outcome.state for outcome in outcomes(harness.turn())] == []


def test_an_accepted_request_is_never_rejected(harness: SchedulerHarness) -> None:
    harness.request(deadline=harness.now + 60, allow=["local"])  # held: no such pool
    taken = harness.core._dispatcher.holds._windows["interactive"].held[0]
    harness.core._dispatcher.holds.abandon()
    for _ in range(400):
        harness.request(deadline=harness.now + 60)
    harness.turn()
    taken.ticket.deadline = harness.now + 2
    taken.request.allow = None
    harness.core._dispatcher.submit(taken, harness.now)
    assert outcomes(harness.turn()) == []


def test_the_operator_may_bound_the_wait() -> None:
    waiting.clear()
    harness = SchedulerHarness(longest_wait=3.0)
    fill(harness, rate=10, seconds=12)
    for _ in range(60):
        harness.request(deadline=harness.now + 60)
    rejected = outcomes(harness.turn())
    assert {outcome.error_class for outcome in rejected} == {"saturated"}
    assert 20 <= len(rejected) <= 40


def test_a_backlog_of_a_hundred_thousand_after_an_outage_is_taken() -> None:
    """They come as fast as the scheduler reads; a tenth of them, for the rest is more of the same."""
    harness = SchedulerHarness(remembered=1_000)
    harness.beat("serverless", 8)
    rejected = 0
    tail: list[Any] = []
    for number in range(10_000):
        harness.now += 0.0002
        harness.request(deadline=harness.now + 3_600, reply=False)
        if number % 100 == 99:
            published = harness.turn()
            harness.published.clear()
            rejected += len(outcomes(published))
            tail += [ticket for publish in placements(published) for ticket in tickets(publish)]
            for ticket in tail[:20]:
                harness.done(ticket)
            del tail[:20]
    assert rejected == 0


def test_behind_others_of_its_kind_it_is_judged_by_all_that_come_before() -> None:
    harness = SchedulerHarness()
    harness.beat("local", 2)
    for _ in range(200):
        harness.request(deadline=harness.now + 60)
    placed = [ticket for publish in placements(harness.turn()) for ticket in tickets(publish)]
    for _ in range(50):  # ten a second
        harness.now += 0.1
        harness.beat("local", 2)
        harness.done(placed.pop(0))
        placed += [ticket for publish in placements(harness.turn()) for ticket in tickets(publish)]
    for seconds, state in ((10, ["rejected"]), (20, [])):
        harness.request(deadline=harness.now + seconds)
        assert [outcome.state for outcome in outcomes(harness.turn())] == state


def test_held_requests_of_other_models_are_not_ahead(harness: SchedulerHarness) -> None:
    assert saturated(features(time_left=31.0), FULL, Limits(), held=100_000, before=0) is None
