"""The pools of several hosts add up to one backend, and one host that goes takes its own slots alone."""

import logging

import pytest

from straightline.contracts.signals import MISSED
from tests.unit.scheduler.desk import Desk, placements, request_body, tickets

A, B = "local@a", "local@b"


@pytest.fixture
def desk() -> Desk:
    desk = Desk()
    desk.beat("local", 4, worker=A)
    desk.beat("local", 8, worker=B)
    return desk


def free(desk: Desk) -> int:
    return desk.core.pools.state["local"].free


def test_slots_add_up(desk: Desk) -> None:
    assert free(desk) == 12


def test_a_host_that_falls_silent_takes_its_own_slots_alone(desk: Desk) -> None:
    desk.now += MISSED + 0.5
    desk.beat("local", 4, worker=A)
    assert free(desk) == 4
    assert desk.core.pools.state["local"].down is None
    desk.beat("local", 8, worker=B)
    assert free(desk) == 12


def test_a_host_that_is_ill_or_says_goodbye_does_the_same(desk: Desk) -> None:
    desk.beat("local", 4, worker=A, healthy=False, reason="its server is away")
    assert free(desk) == 8
    desk.beat("local", 4, worker=A)
    desk.beat("local", 8, worker=B, healthy=False, closing=True)
    assert free(desk) == 4
    assert desk.core.pools.state["local"].down is None


def test_only_when_all_are_gone_the_backend_is_down(desk: Desk) -> None:
    desk.now += MISSED + 0.5
    desk.core.tick(desk.now)
    assert desk.core.pools.state["local"].down is not None


def test_the_log_says_who_came_and_went_and_what_is_left(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "scheduler.core")
    desk.beat("local", 4, worker=A, healthy=False, reason="its server is away")
    desk.beat("local", 4, worker=A, healthy=False, reason="its server is away")
    desk.beat("local", 4, worker=A)
    desk.beat("local", 6, worker=B)
    desk.beat("local", 4, worker=A, closing=True)
    desk.now += MISSED + 0.5
    desk.core.tick(desk.now)
    desk.core.tick(desk.now)
    assert caplog.messages == [
        "local: local@a takes no more requests (its server is away); 8 slots now: local@b 8",
        "local: local@a takes requests; 12 slots now: local@a 4, local@b 8",
        "local: its slots are other ones; 10 slots now: local@a 4, local@b 6",
        "local: local@a takes no more requests (it said goodbye); 6 slots now: local@b 6",
        "local: local@b takes no more requests (no heartbeat for 3 intervals); no worker is left",
    ]


def test_a_lane_on_a_silent_host_frees_its_own_slot_and_no_more(desk: Desk) -> None:
    """Four batch requests share a slot of B, and A has three others."""
    desk.beat("local", 4, worker=A)
    desk.beat("local", 8, worker=B)
    for _ in range(4):
        desk.request(request_body(desk.now, **{"class": "batch"}))
    for _ in range(3):
        desk.request()
    desk.turn()
    desk.beat("local", 4, worker=A, active=3)
    desk.beat("local", 8, worker=B, active=4)
    assert free(desk) == 8
    desk.now += MISSED + 0.5  # B is silent
    desk.beat("local", 4, worker=A, active=3)
    assert free(desk) == 1


def test_what_a_silent_host_took_with_it_takes_no_slot_of_the_others(desk: Desk) -> None:
    for _ in range(10):
        desk.request()
    placed = [ticket for publish in placements(desk.turn()) for ticket in tickets(publish)]
    desk.beat("local", 4, worker=A, active=4)
    desk.beat("local", 8, worker=B, active=6)
    assert free(desk) == 2
    desk.now += MISSED + 0.5  # B is silent
    desk.beat("local", 4, worker=A, active=4)
    assert free(desk) == 0
    for ticket in placed[:4]:  # A has answered all of its own
        desk.done(ticket)
    desk.beat("local", 4, worker=A, active=0)
    assert free(desk) == 4
    desk.now += 1
    desk.beat("local", 4, worker=A, active=4)  # the broker has given it what B had
    assert free(desk) == 0
    desk.now += 1
    for ticket in placed[4:]:
        desk.done(ticket)
    desk.beat("local", 4, worker=A, active=0)
    assert free(desk) == 4
