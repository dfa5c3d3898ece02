"""Retries have one owner, who bounds them by attempts, by the deadline and by a budget, and spreads them."""

from collections import Counter
from typing import Any

import pytest

from scheduler.feedback import retries
from scheduler.placement.budget import WINDOW, Allowance, RetryBudget
from straightline import names
from straightline.contracts import Attempt, Ticket
from straightline.contracts.faults import PRE_EXECUTION, REQUEST_SUSPECT
from straightline.ids import new_id
from straightline.names import Backend
from tests.unit.scheduler.desk import NOW, Desk, outcomes, placements, tickets


@pytest.fixture
def desk() -> Desk:
    desk = Desk()
    desk.beat_all(local=100, container=100)
    return desk


def place(desk: Desk, **changes: Any) -> Ticket:
    desk.request(**changes)
    (placement,) = placements(desk.turn())
    (ticket,) = tickets(placement)
    return ticket


def test_requests_that_failed_together_come_back_one_after_the_other(desk: Desk) -> None:
    delays: Counter[str] = Counter()
    for _ in range(60):
        desk.fail(place(desk, allow=["local", "gpu-container"]), error_class="store_unavailable")
        delays.update(p.key for p in desk.turn() if p.exchange == names.DELAYS)
    assert set(delays) == {"250", "350", "500"}
    assert min(delays.values()) > 5


def test_later_failures_wait_longer_and_every_rung_has_its_queue() -> None:
    for lot in (0.0, 0.5, 0.999):
        waits = [retries.rung(failures, lot) for failures in (1, 2, 3, 9)]
        assert waits == sorted(waits)
        assert waits[0] < waits[1] < waits[2]
    assert {delay for rung in retries.LADDER for delay in rung} <= set(names.DELAYS_MS)


def test_who_has_no_other_backend_does_not_spend_all_attempts_in_a_short_outage(desk: Desk) -> None:
    """One of five seconds costs no such request its answer, though no breaker may open in that time."""
    away_until = desk.now + 5.0
    desk.request(allow=["local"], deadline=desk.now + 60)
    while desk.now < away_until:
        (ticket,) = tickets(placements(desk.turn())[0])
        desk.fail(ticket, error_class="crashed")
        (delayed,) = desk.turn()
        desk.come_back(delayed, after=int(delayed.key) / 1000)
        desk.beat_all()
    (ticket,) = tickets(placements(desk.turn())[0])
    assert len(ticket.attempts) == 2


def test_what_came_of_several_attempts_is_told_once() -> None:
    def attempt(backend: Backend, error: str) -> Attempt:
        return Attempt(
            number=1,
            backend=backend,
            succeeded=False,
            placed_at=0.0,
            started_at=0.0,
            finished_at=0.0,
            error=error,
        )

    three = [attempt("serverless", "no function")] * 3
    assert retries.story(three) == "3 attempts failed: serverless: no function (3 times)"
    two = [attempt("local", "gone"), attempt("gpu-container", "gone")]
    assert retries.story(two) == "2 attempts failed: local: gone; gpu-container: gone"
    assert retries.story([*two, two[0]]) == "3 attempts failed: local: gone (2 times); gpu-container: gone"


def test_the_same_failure_waits_as_long_when_it_is_decided_again() -> None:
    assert retries.chance("x 1") == retries.chance("x 1")
    assert 0 <= retries.chance("x 1") < 1


@pytest.mark.parametrize(("seconds", "delay"), [(60.0, 5_000), (3.0, 2_000), (0.3, 250), (0.2, None)])
def test_a_delay_ends_before_the_deadline_or_there_is_none(seconds: float, delay: int | None) -> None:
    assert retries.fitting(5_000, seconds=seconds) == delay


@pytest.mark.parametrize("error_class", sorted(PRE_EXECUTION))
def test_a_probe_that_never_came_to_the_model_does_not_count_and_costs_no_delay(error_class: str) -> None:
    desk = Desk(max_attempts=2)
    desk.beat_all(local=100, container=100)
    for _ in range(5):
        desk.fail(place(desk))
        desk.turn()
    desk.now += 1.1
    desk.beat_all(local=100, container=100)
    probe = place(desk)
    assert probe.reason is not None
    assert (probe.backend, probe.reason.probe) == ("local", True)
    delivery = desk.fail(probe, error_class=error_class)
    (placement,) = placements(desk.turn())
    (second,) = tickets(placement)
    assert second.backend == "gpu-container"
    assert delivery in desk.acked
    desk.fail(second)
    (delayed,) = (publish for publish in desk.turn() if publish.exchange == names.DELAYS)
    desk.come_back(delayed, after=0.5)
    (third,) = tickets(placements(desk.turn())[0])
    desk.fail(third)
    (outcome,) = outcomes(desk.turn())
    assert [attempt.backend for attempt in outcome.attempts] == ["local", "gpu-container", "serverless"]


@pytest.mark.parametrize("error_class", [*sorted(REQUEST_SUSPECT), "internal"])
def test_a_fault_that_the_request_may_have_caused_counts_as_a_probe_too(error_class: str) -> None:
    """Else a request that fails wherever it is sent goes on until its deadline."""
    desk = Desk()
    desk.beat("local", 100)
    for _ in range(5):
        desk.fail(place(desk, allow=["local"]), error_class="crashed")
        desk.turn()
    desk.turn()
    desk.request(allow=["local"])
    probes = 0
    while not outcomes(desk.published):
        assert probes < 9
        desk.now += 5.0
        desk.beat("local", 100)
        for ticket in [one for publish in placements(desk.turn()) for one in tickets(publish)]:
            probes += ticket.reason is not None and ticket.reason.probe
            desk.fail(ticket, error_class=error_class)
            for delayed in [publish for publish in desk.turn() if publish.exchange == names.DELAYS]:
                desk.come_back(delayed, after=0.0)
    (outcome,) = outcomes(desk.published)
    assert (outcome.state, outcome.error_class) == ("failed", error_class)
    assert probes == len(outcome.attempts) == 3


def test_who_may_be_to_blame_leaves_it_to_others_to_be_a_probe() -> None:
    """Else the oldest would try a backend that fails again and again, until its attempts are spent."""
    desk = Desk()
    desk.beat("local", 100)
    failed = [place(desk, allow=["local"]) for _ in range(5)]
    for ticket in failed:
        desk.fail(ticket, error_class="crashed")
    for delayed in [publish for publish in desk.turn() if publish.exchange == names.DELAYS]:
        desk.come_back(delayed, after=0.0)
    for _ in range(3):
        desk.request(allow=["local"])
    assert placements(desk.turn()) == []
    probes = []
    for _ in range(4):
        desk.now += 5.0
        desk.beat("local", 100)
        ((probe,),) = [tickets(publish) for publish in placements(desk.turn())]
        probes.append(len(probe.attempts))
        desk.fail(probe, error_class="crashed")
        desk.turn()
    assert probes == [0, 0, 0, 1], "and when there is nobody else, it is one"


def test_who_failed_and_may_be_to_blame_travels_alone_and_opens_no_breaker_after_another(desk: Desk) -> None:
    """One request in four kills what it asks, and is sent to each backend: the others are answered there."""
    for number in range(40):
        ticket = place(desk)
        assert ticket.backend == "local"
        if number % 4:
            desk.done(ticket)
            continue
        desk.fail(ticket, error_class="out_of_memory")
        (delayed,) = (publish for publish in desk.turn() if publish.exchange == names.DELAYS)
        desk.come_back(delayed, after=0.5)
        desk.request(allow=["gpu-container"])
        alone, other = sorted(
            placements(desk.turn()), key=lambda publish: len(tickets(publish)[0].attempts) == 0
        )
        (again,) = tickets(alone)
        desk.fail(again, error_class="out_of_memory")
        desk.done(*tickets(other))
        desk.turn()
        desk.beat_all(local=100, container=100)
    assert desk.core.breakers.open() == {}


def test_what_a_pool_gave_back_unasked_does_not_count_either(desk: Desk) -> None:
    ticket = place(desk)
    desk.fail(ticket, error_class="breaker_open")
    (placement,) = placements(desk.turn())
    assert placement.key == "gpu-container"
    assert desk.core.breakers.open() == {}


def test_a_pool_that_knows_not_yet_what_is_deployed_costs_no_attempt_and_is_given_time(desk: Desk) -> None:
    ticket = place(desk, allow=["local"])
    for _ in range(3):
        desk.fail(ticket, error_class="not_informed")
        (delayed,) = (publish for publish in desk.turn() if publish.exchange == names.DELAYS)
        assert int(delayed.key) >= 5_000
        desk.come_back(delayed, after=5.0)
        desk.beat_all(local=100, container=100)
        (ticket,) = tickets(placements(desk.turn())[0])


def test_it_goes_elsewhere_at_once_where_it_may(desk: Desk) -> None:
    desk.fail(place(desk), error_class="not_informed")
    (placement,) = placements(desk.turn())
    assert placement.key == "gpu-container"


def test_excuses_end_so_that_a_history_does(desk: Desk) -> None:
    ticket = place(desk, allow=["local"])
    failures = 0
    while failures < 40:
        failures += 1
        desk.fail(ticket, error_class="breaker_open")
        published = desk.turn()
        if outcomes(published):
            break
        (delayed,) = (publish for publish in published if publish.exchange == names.DELAYS)
        desk.come_back(delayed, after=0.01)
        (ticket,) = tickets(placements(desk.turn())[0])
    assert failures == retries.EXCUSED + 3


def test_a_spent_budget_holds_a_retry_and_new_requests_go_on() -> None:
    desk = Desk(retry_floor=1, retry_share=0.1)
    desk.beat_all(local=100, container=100)
    delayed = []
    for _ in range(4):
        desk.fail(place(desk), error_class="store_unavailable")
        delayed += [publish for publish in desk.turn() if publish.exchange == names.DELAYS]
    for publish in delayed:
        desk.come_back(publish, after=0.0)
    assert sum(len(tickets(publish)) for publish in placements(desk.turn())) == 2
    assert desk.core.placer.held == 2
    place(desk)
    desk.now += WINDOW + 1
    desk.beat_all(local=100, container=100)
    assert sum(len(tickets(publish)) for publish in placements(desk.turn())) == 1, (
        "the floor, in a new window"
    )
    assert outcomes(desk.published) == []


def test_the_budget_is_a_share_of_first_attempts_and_a_floor() -> None:
    budget = RetryBudget(Allowance(share=0.5, floor=2))
    for _ in range(10):
        budget.placed("m", NOW, retry=False)
    allowed = 0
    while not budget.spent("m", NOW):
        budget.placed("m", NOW, retry=True)
        allowed += 1
    assert allowed == 7
    assert not budget.spent("another", NOW)
    assert not budget.spent("m", NOW + WINDOW + 1)


def test_a_spent_budget_is_new_when_the_clock_was_set_back() -> None:
    budget = RetryBudget(Allowance(share=0.5, floor=2))
    for _ in range(2):
        budget.placed("m", NOW, retry=True)
    assert budget.spent("m", NOW)
    assert not budget.spent("m", NOW - 3_600)
    budget.placed("m", NOW - 3_600, retry=True)
    assert not budget.spent("m", NOW - 3_600)


def test_a_failed_request_never_comes_back_after_its_deadline(desk: Desk) -> None:
    ticket = place(desk, id=new_id(), deadline=NOW + 0.3)
    desk.fail(ticket)
    (delayed,) = desk.turn()
    assert delayed.key == "250"


def test_what_failed_is_asked_again_where_all_others_are_down_and_not_where_one_is_busy() -> None:
    desk = Desk()
    desk.beat("local", 4)
    desk.beat("gpu-container", 0)
    desk.fail(place(desk, allow=["local", "gpu-container"]))
    (delayed,) = desk.turn()
    desk.come_back(delayed, after=0.5)
    assert placements(desk.turn()) == [], "the container is worth waiting for"
    desk.beat("gpu-container", 0, healthy=False)
    (placement,) = placements(desk.turn())
    assert placement.key == "local"


def test_what_failed_is_asked_again_where_all_others_are_too_small_and_its_attempts_end() -> None:
    desk = Desk()
    desk.beat("local", 4)
    desk.beat("gpu-container", 4)
    desk.beat("serverless", 4, max_payload=100)
    ticket = place(desk)
    for backend in ("gpu-container", "local"):
        desk.fail(ticket, error_class="too_large")
        (delayed,) = desk.turn()
        desk.come_back(delayed, after=1.5)
        (placement,) = placements(desk.turn())
        assert placement.key == backend
        (ticket,) = tickets(placement)
    desk.fail(ticket, error_class="too_large")
    (outcome,) = outcomes(desk.turn())
    assert (outcome.state, len(outcome.attempts)) == ("failed", 3)
