"""The scheduler owns retries: attempts, deadline and a budget bound them, and jitter spreads them."""

from collections import Counter
from typing import Any

import pytest

from scheduler.feedback import retries
from scheduler.placement.budget import WINDOW_S, RetryBudget, RetryBudgetConfig
from straightline import names
from straightline.contracts import Attempt, Ticket
from straightline.contracts.faults import PRE_EXECUTION, REQUEST_SUSPECT
from straightline.ids import new_id
from straightline.names import Backend
from tests.builders import make_attempt
from tests.unit.scheduler.harness import NOW, SchedulerHarness, outcomes, placements, tickets


@pytest.fixture
def harness() -> SchedulerHarness:
    harness = SchedulerHarness()
    harness.beat_all(local=100, container=100)
    return harness


def place(harness: SchedulerHarness, **changes: Any) -> Ticket:
    harness.request(**changes)
    (placement,) = placements(harness.turn())
    (ticket,) = tickets(placement)
    return ticket


def test_requests_that_failed_together_come_back_one_after_the_other(harness: SchedulerHarness) -> None:
    delays: Counter[str] = Counter()
    for _ in range(60):
        harness.fail(place(harness, allow=["local", "gpu-container"]), error_class="store_unavailable")
        delays.update(p.routing_key for p in harness.turn() if p.exchange == names.DELAYS)
    assert set(delays) == {"250", "350", "500"}
    assert min(delays.values()) > 5


def test_later_failures_wait_longer_and_every_rung_has_its_queue() -> None:
    for lot in (0.0, 0.5, 0.999):
        waits = [retries.backoff(failures, lot) for failures in (1, 2, 3, 9)]
        assert waits == sorted(waits)
        assert waits[0] < waits[1] < waits[2]
    assert {delay for rung in retries.BACKOFF_STEPS_MS for delay in rung} <= set(names.DELAYS_MS)


def test_a_request_with_one_backend_does_not_spend_all_attempts_in_a_short_outage(
    harness: SchedulerHarness,
) -> None:
    """One of five seconds costs no such request its answer, though no breaker may open in that time."""
    away_until = harness.now + 5.0
    harness.request(allow=["local"], deadline=harness.now + 60)
    while harness.now < away_until:
        (ticket,) = tickets(placements(harness.turn())[0])
        harness.fail(ticket, error_class="crashed")
        (delayed,) = harness.turn()
        harness.come_back(delayed, after=int(delayed.routing_key) / 1000)
        harness.beat_all()
    (ticket,) = tickets(placements(harness.turn())[0])
    assert len(ticket.attempts) == 2


def test_equal_attempts_are_summarized_once() -> None:
    def attempt(backend: Backend, error: str) -> Attempt:
        return make_attempt(backend=backend, error=error)

    three = [attempt("serverless", "no function")] * 3
    assert retries.summarize_attempts(three) == "3 attempts failed: serverless: no function (3 times)"
    two = [attempt("local", "gone"), attempt("gpu-container", "gone")]
    assert retries.summarize_attempts(two) == "2 attempts failed: local: gone; gpu-container: gone"
    assert (
        retries.summarize_attempts([*two, two[0]])
        == "3 attempts failed: local: gone (2 times); gpu-container: gone"
    )


def test_the_same_failure_waits_as_long_when_it_is_decided_again() -> None:
    assert retries.stable_jitter("x 1") == retries.stable_jitter("x 1")
    assert 0 <= retries.stable_jitter("x 1") < 1


@pytest.mark.parametrize(("seconds", "delay"), [(60.0, 5_000), (3.0, 2_000), (0.3, 250), (0.2, None)])
def test_a_delay_ends_before_the_deadline_or_there_is_none(seconds: float, delay: int | None) -> None:
    assert retries.fit_delay(5_000, seconds=seconds) == delay


@pytest.mark.parametrize("error_class", sorted(PRE_EXECUTION))
def test_a_probe_that_never_came_to_the_model_does_not_count_and_costs_no_delay(error_class: str) -> None:
    harness = SchedulerHarness(max_attempts=2)
    harness.beat_all(local=100, container=100)
    for _ in range(5):
        harness.fail(place(harness))
        harness.turn()
    harness.now += 1.1
    harness.beat_all(local=100, container=100)
    probe = place(harness)
    assert probe.reason is not None
    assert (probe.backend, probe.reason.probe) == ("local", True)
    delivery = harness.fail(probe, error_class=error_class)
    (placement,) = placements(harness.turn())
    (second,) = tickets(placement)
    assert second.backend == "gpu-container"
    assert delivery in harness.acked
    harness.fail(second)
    (delayed,) = (publish for publish in harness.turn() if publish.exchange == names.DELAYS)
    harness.come_back(delayed, after=0.5)
    (third,) = tickets(placements(harness.turn())[0])
    harness.fail(third)
    (outcome,) = outcomes(harness.turn())
    assert [attempt.backend for attempt in outcome.attempts] == ["local", "gpu-container", "serverless"]


@pytest.mark.parametrize("error_class", [*sorted(REQUEST_SUSPECT), "internal"])
def test_a_fault_that_the_request_may_have_caused_counts_as_a_probe_too(error_class: str) -> None:
    """Else a request that fails wherever it is sent goes on until its deadline."""
    harness = SchedulerHarness()
    harness.beat("local", 100)
    for _ in range(5):
        harness.fail(place(harness, allow=["local"]), error_class="crashed")
        harness.turn()
    harness.turn()
    harness.request(allow=["local"])
    probes = 0
    while not outcomes(harness.published):
        assert probes < 9
        harness.now += 5.0
        harness.beat("local", 100)
        for ticket in [one for publish in placements(harness.turn()) for one in tickets(publish)]:
            probes += ticket.reason is not None and ticket.reason.probe
            harness.fail(ticket, error_class=error_class)
            for delayed in [publish for publish in harness.turn() if publish.exchange == names.DELAYS]:
                harness.come_back(delayed, after=0.0)
    (outcome,) = outcomes(harness.published)
    assert (outcome.state, outcome.error_class) == ("failed", error_class)
    assert probes == len(outcome.attempts) == 3


def test_a_suspect_request_yields_the_probe_to_others() -> None:
    """Else the oldest would try a backend that fails again and again, until its attempts are spent."""
    harness = SchedulerHarness()
    harness.beat("local", 100)
    failed = [place(harness, allow=["local"]) for _ in range(5)]
    for ticket in failed:
        harness.fail(ticket, error_class="crashed")
    for delayed in [publish for publish in harness.turn() if publish.exchange == names.DELAYS]:
        harness.come_back(delayed, after=0.0)
    for _ in range(3):
        harness.request(allow=["local"])
    assert placements(harness.turn()) == []
    probes = []
    for _ in range(4):
        harness.now += 5.0
        harness.beat("local", 100)
        ((probe,),) = [tickets(publish) for publish in placements(harness.turn())]
        probes.append(len(probe.attempts))
        harness.fail(probe, error_class="crashed")
        harness.turn()
    assert probes == [0, 0, 0, 1], "and when there is nobody else, it is one"


def test_a_suspect_request_travels_alone_and_opens_no_further_breaker(
    harness: SchedulerHarness,
) -> None:
    """One request in four kills what it asks, and is sent to each backend: the others are answered there."""
    for number in range(40):
        ticket = place(harness)
        assert ticket.backend == "local"
        if number % 4:
            harness.done(ticket)
            continue
        harness.fail(ticket, error_class="out_of_memory")
        (delayed,) = (publish for publish in harness.turn() if publish.exchange == names.DELAYS)
        harness.come_back(delayed, after=0.5)
        harness.request(allow=["gpu-container"])
        alone, other = sorted(
            placements(harness.turn()), key=lambda publish: len(tickets(publish)[0].attempts) == 0
        )
        (again,) = tickets(alone)
        harness.fail(again, error_class="out_of_memory")
        harness.done(*tickets(other))
        harness.turn()
        harness.beat_all(local=100, container=100)
    assert harness.core._breakers.open() == {}


def test_a_request_that_a_pool_returned_uncalled_does_not_count_either(
    harness: SchedulerHarness,
) -> None:
    ticket = place(harness)
    harness.fail(ticket, error_class="breaker_open")
    (placement,) = placements(harness.turn())
    assert placement.routing_key == "gpu-container"
    assert harness.core._breakers.open() == {}


def test_a_pool_that_has_not_read_the_registry_costs_no_attempt_and_gets_time(
    harness: SchedulerHarness,
) -> None:
    ticket = place(harness, allow=["local"])
    for _ in range(3):
        harness.fail(ticket, error_class="not_informed")
        (delayed,) = (publish for publish in harness.turn() if publish.exchange == names.DELAYS)
        assert int(delayed.routing_key) >= 5_000
        harness.come_back(delayed, after=5.0)
        harness.beat_all(local=100, container=100)
        (ticket,) = tickets(placements(harness.turn())[0])


def test_it_goes_elsewhere_at_once_where_it_may(harness: SchedulerHarness) -> None:
    harness.fail(place(harness), error_class="not_informed")
    (placement,) = placements(harness.turn())
    assert placement.routing_key == "gpu-container"


def test_excuses_end_so_that_a_history_does(harness: SchedulerHarness) -> None:
    ticket = place(harness, allow=["local"])
    failures = 0
    while failures < 40:
        failures += 1
        harness.fail(ticket, error_class="breaker_open")
        published = harness.turn()
        if outcomes(published):
            break
        (delayed,) = (publish for publish in published if publish.exchange == names.DELAYS)
        harness.come_back(delayed, after=0.01)
        (ticket,) = tickets(placements(harness.turn())[0])
    assert failures == retries.MAX_EXCUSED_ATTEMPTS + 3


def test_a_spent_budget_holds_a_retry_and_new_requests_go_on() -> None:
    harness = SchedulerHarness(retry_floor=1, retry_share=0.1)
    harness.beat_all(local=100, container=100)
    delayed = []
    for _ in range(4):
        harness.fail(place(harness), error_class="store_unavailable")
        delayed += [publish for publish in harness.turn() if publish.exchange == names.DELAYS]
    for publish in delayed:
        harness.come_back(publish, after=0.0)
    assert sum(len(tickets(publish)) for publish in placements(harness.turn())) == 2
    assert harness.core._dispatcher.holds.in_memory == 2
    place(harness)
    harness.now += WINDOW_S + 1
    harness.beat_all(local=100, container=100)
    assert sum(len(tickets(publish)) for publish in placements(harness.turn())) == 1, (
        "the floor, in a new window"
    )
    assert outcomes(harness.published) == []


def test_the_budget_is_a_share_of_first_attempts_and_a_floor() -> None:
    budget = RetryBudget(RetryBudgetConfig(share=0.5, floor=2))
    for _ in range(10):
        budget.placed("m", NOW, retry=False)
    allowed = 0
    while not budget.spent("m", NOW):
        budget.placed("m", NOW, retry=True)
        allowed += 1
    assert allowed == 7
    assert not budget.spent("another", NOW)
    assert not budget.spent("m", NOW + WINDOW_S + 1)


def test_a_spent_budget_is_new_when_the_clock_was_set_back() -> None:
    budget = RetryBudget(RetryBudgetConfig(share=0.5, floor=2))
    for _ in range(2):
        budget.placed("m", NOW, retry=True)
    assert budget.spent("m", NOW)
    assert not budget.spent("m", NOW - 3_600)
    budget.placed("m", NOW - 3_600, retry=True)
    assert not budget.spent("m", NOW - 3_600)


def test_a_failed_request_never_comes_back_after_its_deadline(harness: SchedulerHarness) -> None:
    ticket = place(harness, id=new_id(), deadline=NOW + 0.3)
    harness.fail(ticket)
    (delayed,) = harness.turn()
    assert delayed.routing_key == "250"


def test_an_excluded_backend_is_tried_again_if_all_others_are_down_but_not_if_one_is_busy() -> None:
    harness = SchedulerHarness()
    harness.beat("local", 4)
    harness.beat("gpu-container", 0)
    harness.fail(place(harness, allow=["local", "gpu-container"]))
    (delayed,) = harness.turn()
    harness.come_back(delayed, after=0.5)
    assert placements(harness.turn()) == [], "the container is worth waiting for"
    harness.beat("gpu-container", 0, healthy=False)
    (placement,) = placements(harness.turn())
    assert placement.routing_key == "local"


def test_an_excluded_backend_is_tried_again_if_all_others_are_too_small_until_attempts_end() -> None:
    harness = SchedulerHarness()
    harness.beat("local", 4)
    harness.beat("gpu-container", 4)
    harness.beat("serverless", 4, max_payload=100)
    ticket = place(harness)
    for backend in ("gpu-container", "local"):
        harness.fail(ticket, error_class="too_large")
        (delayed,) = harness.turn()
        harness.come_back(delayed, after=1.5)
        (placement,) = placements(harness.turn())
        assert placement.routing_key == backend
        (ticket,) = tickets(placement)
    harness.fail(ticket, error_class="too_large")
    (outcome,) = outcomes(harness.turn())
    assert (outcome.state, len(outcome.attempts)) == ("failed", 3)
