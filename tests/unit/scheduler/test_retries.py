"""Retries have one owner, who bounds them by attempts, by the deadline and by a budget, and spreads them."""

from collections import Counter
from typing import Any

import pytest

from scheduler import retries
from scheduler.placement.budget import WINDOW, Allowance, RetryBudget
from straightline import names
from straightline.contracts import Ticket
from straightline.ids import new_id
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


def test_the_same_failure_waits_as_long_when_it_is_decided_again() -> None:
    assert retries.chance("x 1") == retries.chance("x 1")
    assert 0 <= retries.chance("x 1") < 1


@pytest.mark.parametrize(("seconds", "delay"), [(60.0, 5_000), (3.0, 2_000), (0.3, 250), (0.2, None)])
def test_a_delay_ends_before_the_deadline_or_there_is_none(seconds: float, delay: int | None) -> None:
    assert retries.fitting(5_000, seconds=seconds) == delay


def test_a_failure_as_a_probe_does_not_count_and_costs_no_delay() -> None:
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
    delivery = desk.fail(probe)
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


def test_what_a_pool_gave_back_unasked_does_not_count_either(desk: Desk) -> None:
    ticket = place(desk)
    desk.fail(ticket, error_class="breaker_open")
    (placement,) = placements(desk.turn())
    assert placement.key == "gpu-container"
    assert desk.core.breakers.open() == {}


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
