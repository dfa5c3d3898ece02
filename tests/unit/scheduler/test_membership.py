"""The pools of several hosts add up to one backend, and one host that goes takes its own slots alone."""

import logging

import pytest

from straightline.contracts.signals import MAX_MISSED_HEARTBEATS
from tests.unit.scheduler.harness import SchedulerHarness, placements, request_body, tickets

A, B = "local@a", "local@b"


@pytest.fixture
def harness() -> SchedulerHarness:
    harness = SchedulerHarness()
    harness.beat("local", 4, worker=A)
    harness.beat("local", 8, worker=B)
    return harness


def free(harness: SchedulerHarness) -> int:
    return harness.core._backends.state["local"].free


def test_slots_add_up(harness: SchedulerHarness) -> None:
    assert free(harness) == 12


def test_a_host_that_falls_silent_takes_its_own_slots_alone(harness: SchedulerHarness) -> None:
    harness.now += MAX_MISSED_HEARTBEATS + 0.5
    harness.beat("local", 4, worker=A)
    assert free(harness) == 4
    assert harness.core._backends.state["local"].down is None
    harness.beat("local", 8, worker=B)
    assert free(harness) == 12


def test_an_unhealthy_or_closing_host_loses_its_own_slots_alone(harness: SchedulerHarness) -> None:
    harness.beat("local", 4, worker=A, healthy=False, reason="its server is away")
    assert free(harness) == 8
    harness.beat("local", 4, worker=A)
    harness.beat("local", 8, worker=B, healthy=False, closing=True)
    assert free(harness) == 4
    assert harness.core._backends.state["local"].down is None


def test_only_when_all_are_gone_the_backend_is_down(harness: SchedulerHarness) -> None:
    harness.now += MAX_MISSED_HEARTBEATS + 0.5
    harness.tick()
    assert harness.core._backends.state["local"].down is not None


def test_the_log_names_workers_that_join_or_leave_and_the_slots_left(
    harness: SchedulerHarness, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "scheduler")
    harness.beat("local", 4, worker=A, healthy=False, reason="its server is away")
    harness.beat("local", 4, worker=A, healthy=False, reason="its server is away")
    harness.beat("local", 4, worker=A)
    harness.beat("local", 6, worker=B)
    harness.beat("local", 4, worker=A, closing=True)
    harness.now += MAX_MISSED_HEARTBEATS + 0.5
    harness.tick()
    harness.tick()
    assert caplog.messages == [
        (
            'worker_left backend=local worker=local@a reason="its server is away" slots=8 '
            'slots_by_worker="local@b 8"'
        ),
        'worker_joined backend=local worker=local@a slots=12 slots_by_worker="local@a 4, local@b 8"',
        'slots_changed backend=local slots=10 slots_by_worker="local@a 4, local@b 6"',
        'worker_left backend=local worker=local@a reason="it closed" slots=6 slots_by_worker="local@b 6"',
        (
            'worker_left backend=local worker=local@b reason="no heartbeat for 3 intervals" slots=0 '
            'slots_by_worker=""'
        ),
    ]


def test_a_batch_slot_on_a_silent_host_frees_its_own_slot_alone(harness: SchedulerHarness) -> None:
    """Four batch requests share a slot of B, and A has three others."""
    harness.beat("local", 4, worker=A)
    harness.beat("local", 8, worker=B)
    for _ in range(4):
        harness.request(request_body(harness.now, **{"class": "batch"}))
    for _ in range(3):
        harness.request()
    harness.turn()
    harness.beat("local", 4, worker=A, active=3)
    harness.beat("local", 8, worker=B, active=4)
    assert free(harness) == 8
    harness.now += MAX_MISSED_HEARTBEATS + 0.5  # B is silent
    harness.beat("local", 4, worker=A, active=3)
    assert free(harness) == 1


def test_requests_of_a_silent_host_take_no_slot_of_other_hosts(harness: SchedulerHarness) -> None:
    for _ in range(10):
        harness.request()
    placed = [ticket for publish in placements(harness.turn()) for ticket in tickets(publish)]
    harness.beat("local", 4, worker=A, active=4)
    harness.beat("local", 8, worker=B, active=6)
    assert free(harness) == 2
    harness.now += MAX_MISSED_HEARTBEATS + 0.5  # B is silent
    harness.beat("local", 4, worker=A, active=4)
    assert free(harness) == 0
    for ticket in placed[:4]:  # A has answered all of its own
        harness.done(ticket)
    harness.beat("local", 4, worker=A, active=0)
    assert free(harness) == 4
    harness.now += 1
    harness.beat("local", 4, worker=A, active=4)  # the broker has given it what B had
    assert free(harness) == 0
    harness.now += 1
    for ticket in placed[4:]:
        harness.done(ticket)
    harness.beat("local", 4, worker=A, active=0)
    assert free(harness) == 4
