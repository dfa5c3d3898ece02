"""Held requests are placed in order of arrival, in memory or in the broker."""

import json
from itertools import pairwise
from typing import Any

from straightline import names
from straightline.contracts import Ticket
from straightline.ids import new_id
from tests.unit.scheduler.harness import NOW, SchedulerHarness, infer, outcomes, placements, tickets


def placed(harness: SchedulerHarness) -> list[str]:
    return [_id(ticket) for publish in placements(harness.turn()) for ticket in tickets(publish)]


def _id(ticket: Ticket) -> str:
    return str(json.loads(bytes(ticket.request))["id"])


def hold(harness: SchedulerHarness, count: int, **changes: Any) -> list[str]:
    """Feed requests a millisecond apart."""
    ids = []
    for _ in range(count):
        harness.now += 0.001
        ids.append(new_id())
        harness.request(id=ids[-1], **changes)
    return ids


def test_those_that_waited_in_the_broker_keep_their_turn() -> None:
    harness = SchedulerHarness(hold_window=2)
    ids = hold(harness, 4)
    away = harness.turn()
    assert [publish.exchange for publish in away] == [names.DELAYS] * 2
    harness.beat("local", 2)
    assert placed(harness) == ids[:2]
    young = hold(harness, 2)
    for publish in away:
        harness.come_back(publish, after=0.0)
    harness.turn()
    harness.beat("local", 3)
    harness.beat("local", 4)
    assert placed(harness) == ids[2:]
    harness.beat("local", 6)
    assert harness.core._dispatcher.holds.in_memory + len(placed(harness)) == 0 or young


def test_an_older_one_that_comes_back_takes_the_place_of_a_younger_one() -> None:
    harness = SchedulerHarness(hold_window=1)
    first, second = hold(harness, 2)
    (away,) = harness.turn()  # the second
    harness.beat("local", 1)
    assert placed(harness) == [first]
    (third,) = hold(harness, 1)
    harness.come_back(away, after=0.0)
    (youngest,) = harness.turn()
    assert third.encode() in youngest.body
    harness.beat("local", 2)
    assert placed(harness) == [second]


def test_a_new_request_does_not_overtake_one_of_its_kind_and_does_another_kind() -> None:
    harness = SchedulerHarness()
    harness.beat("local", 1)
    (first,) = hold(harness, 1)
    assert placed(harness) == [first]
    (second,) = hold(harness, 1)
    harness.core._backends.left("local", first, harness.now)  # free, and no release has run yet
    (third,) = hold(harness, 1)
    harness.beat("serverless", 5, models=["cats"])
    (other,) = hold(harness, 1, allow=["local"])
    assert placed(harness)[:1] == [second]
    assert harness.core._dispatcher.holds.in_memory == 2, (third, other)


def test_a_small_one_waits_for_no_large_one_that_fits_nowhere() -> None:
    harness = SchedulerHarness(d=1_000_000)
    harness.beat("local", 1, max_payload=1_000)
    hold(harness, 1, data=infer(50))
    (small,) = hold(harness, 1)
    assert placed(harness) == [small]


def test_the_youngest_large_requests_move_to_the_broker_if_the_window_is_full_of_bytes() -> None:
    harness = SchedulerHarness(hold_window=4)  # 1 MiB
    large = infer(2_000)
    assert 500_000 > len(json.dumps(large)) > 350_000
    first, second, third = hold(harness, 3, data=large)
    (small,) = hold(harness, 1)
    (away,) = harness.turn()
    assert (away.exchange, third.encode() in away.body) == (names.DELAYS, True)
    assert harness.core._dispatcher.holds.in_memory == 3
    harness.core._dispatcher.holds.take(lambda pending: pending.request.id == first, lambda _: None)
    (fourth,) = hold(harness, 1, data=large)
    harness.come_back(away, after=0.0)  # it is older than the fourth, and takes its place
    (away,) = harness.turn()
    assert fourth.encode() in away.body
    harness.beat("gpu-container", 9)
    assert [identity for identity in placed(harness) if identity != small] == [second, third]


def test_many_deferred_requests_are_retried_more_slowly_and_none_beyond_its_deadline() -> None:
    harness = SchedulerHarness(hold_window=1)
    hold(harness, 1_002)
    assert {publish.routing_key for publish in harness.turn()} == {"1000", "5000"}
    hold(harness, 1, deadline=harness.now + 0.9)
    (short,) = harness.turn()
    assert short.routing_key == "500"


def test_a_hold_ends_once_at_its_deadline_in_memory_or_in_the_broker() -> None:
    harness = SchedulerHarness(hold_window=1)
    inside, outside = hold(harness, 2, deadline=NOW + 5)
    (away,) = harness.turn()
    harness.now = NOW + 5.1
    harness.tick()
    harness.come_back(away, after=0.0)
    ended = outcomes(harness.turn())
    assert sorted(outcome.request_id for outcome in ended) == sorted([inside, outside])
    assert {outcome.state for outcome in ended} == {"expired"}


def test_slots_that_become_free_are_filled_in_order() -> None:
    harness = SchedulerHarness(hold_window=8)
    harness.beat("local", 1)
    ids = hold(harness, 6)
    order = placed(harness)
    while len(order) < 6:
        ticket = tickets(placements(harness.published)[-1])[-1]
        harness.done(ticket)
        order += placed(harness)
    assert order == ids
    assert all(a < b for a, b in pairwise(map(ids.index, order)))
