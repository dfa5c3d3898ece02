"""Batch work shares slots in short pieces, and keeps out of the way of interactive requests."""

from math import inf

import pytest

from scheduler.events import Envelope, Wakeup
from scheduler.feedback.backfill import (
    INITIAL_BATCH_SIZE,
    MAX_SLOT_WAIT_S,
    YIELDING_SHARE,
    Backfill,
)
from scheduler.feedback.interactive_yield import INTERACTIVE_IDLE_S, MAX_REST_S, InteractiveYield
from straightline import names
from tests.unit.scheduler.harness import NOW, SchedulerHarness, placements, request_body, tickets

KIND = ("digits", "1")
TURN = 0.02
MOST = 64


def slots_taken(interactive_yield: InteractiveYield | None = None, share: float = 0.25) -> Backfill:
    return Backfill(
        max_requests=MOST,
        turn_s=TURN,
        share=share,
        interactive_yield=interactive_yield or InteractiveYield(3.0),
    )


def room(backfill: Backfill, now: float = NOW, *, free: int = 4, slots: int = 4) -> int:
    return backfill.room(KIND, now, free=free, slots=slots, begin=True)


def fill(backfill: Backfill, now: float) -> list[str]:
    """Place as many as there is room for, in one lane, and send them."""
    ids = [f"{now}-{number}" for number in range(room(backfill, now))]
    for request_id in ids:
        backfill.placed(KIND, request_id, now, alone=False)
    backfill.sent()
    return ids


def run(backfill: Backfill, each: float, rounds: int, now: float = NOW, *, way: float = 0.0) -> int:
    """Send slots_taken, each request of which takes `each` seconds; returns the size of the last.

    `way` is what a lane takes besides, however many there are.
    """
    size = 0
    for _ in range(rounds):
        ids = fill(backfill, now)
        size = len(ids)
        now += way + size * each
        for request_id in ids:
            backfill.left(request_id, now)
    return size


def test_requests_of_one_turn_share_a_slot_that_later_ones_do_not_join() -> None:
    backfill = slots_taken()
    assert len(fill(backfill, NOW)) == INITIAL_BATCH_SIZE
    assert (backfill.requests, backfill.slots_taken) == (INITIAL_BATCH_SIZE, 1)
    assert room(backfill) == 0


@pytest.mark.parametrize(("each", "expected"), [(0.001, 20), (0.004, 5), (0.5, 1), (0.00001, MOST)])
def test_the_batch_size_follows_the_target_duration(each: float, expected: int) -> None:
    assert run(slots_taken(), each, 12) == pytest.approx(expected, abs=1)


def test_a_slot_that_was_not_full_is_no_evidence_for_a_larger_one() -> None:
    backfill = slots_taken()
    backfill.placed(KIND, "one", NOW, alone=False)
    backfill.sent()
    backfill.left("one", NOW + 0.0001)
    assert room(backfill, NOW + 1) == INITIAL_BATCH_SIZE


def test_a_share_of_the_slots_may_be_lanes_and_only_free_ones() -> None:
    backfill = slots_taken(share=0.5)
    fill(backfill, NOW)
    assert room(backfill, free=3) == INITIAL_BATCH_SIZE
    assert room(backfill, free=0) == 0
    fill(backfill, NOW + 1)
    assert room(backfill, free=2) == 0


def test_a_request_placed_twice_leaves_no_slot_behind() -> None:
    """After a crash a request may be on its way twice; both times it comes back under the one id."""
    backfill = slots_taken(share=0.5)
    for _ in range(2):
        backfill.placed(KIND, "twice", NOW, alone=False)
        backfill.sent()
    for _ in range(2):
        backfill.left("twice", NOW + 1)
    assert (backfill.requests, backfill.slots_taken) == (0, 0)


def test_a_request_that_travels_alone_has_its_own_slot() -> None:
    backfill = slots_taken(share=1.0)
    for number in range(3):
        backfill.placed(KIND, str(number), NOW, alone=True)
    assert backfill.slots_taken == 3
    backfill.left("1", NOW + 1)
    assert (backfill.slots_taken, backfill.requests) == (2, 2)


def test_a_request_that_left_before_it_was_sent_frees_its_slot() -> None:
    backfill = slots_taken()
    backfill.placed(KIND, "one", NOW, alone=False)
    backfill.left("one", NOW)
    backfill.left("unknown", NOW)
    assert (backfill.slots_taken, backfill.requests) == (0, 0)
    assert room(backfill) == INITIAL_BATCH_SIZE


def test_lanes_are_shorter_while_interactive_requests_come() -> None:
    interactive_yield = InteractiveYield(0.0)
    interactive_yield.interactive(NOW)
    assert run(slots_taken(interactive_yield), 0.001, 12) == pytest.approx(
        TURN * YIELDING_SHARE / 0.001, abs=1
    )


@pytest.mark.parametrize("way", [0.005, 0.05])
def test_beside_interactive_requests_a_lane_takes_little_longer_than_one_of_them(way: float) -> None:
    interactive_yield = InteractiveYield(0.0)
    interactive_yield.interactive(NOW)
    backfill = slots_taken(interactive_yield)
    each = 0.001
    for _ in range(50):
        backfill.answered("digits", way + each)
    assert run(backfill, each, 12, way=way) == pytest.approx(TURN * YIELDING_SHARE / each + 1, abs=1)


def test_without_interactive_requests_nothing_rests() -> None:
    interactive_yield = InteractiveYield(3.0)
    interactive_yield.ended(0.02, NOW)
    assert interactive_yield.wait(NOW, interactive=0, slots_taken=5) == 0.0
    interactive_yield.interactive(NOW)
    assert interactive_yield.wait(NOW, interactive=0, slots_taken=0) > 0.0
    assert interactive_yield.wait(NOW + INTERACTIVE_IDLE_S, interactive=0, slots_taken=5) == 0.0


def test_beside_interactive_requests_one_lane_goes_at_a_time_and_rests_follow() -> None:
    interactive_yield = InteractiveYield(3.0)
    interactive_yield.interactive(NOW)
    interactive_yield.ended(0.02, NOW)
    assert interactive_yield.wait(NOW, interactive=0, slots_taken=1) == inf
    assert interactive_yield.wait(NOW, interactive=0, slots_taken=0) == pytest.approx(0.06)
    assert interactive_yield.wait(NOW + 0.061, interactive=0, slots_taken=0) == 0.0
    assert interactive_yield.wait(NOW + 0.061, interactive=1, slots_taken=0) > 0.0


def test_no_load_of_interactive_requests_stops_a_batch_job() -> None:
    interactive_yield = InteractiveYield(1_000.0)
    interactive_yield.ended(1.0, NOW)
    interactive_yield.interactive(NOW + MAX_REST_S)
    assert interactive_yield.wait(NOW + MAX_REST_S, interactive=9, slots_taken=0) == 0.0


def test_a_lane_that_hangs_takes_its_slot_and_holds_up_no_other_backend() -> None:
    backfill = slots_taken()
    fill(backfill, NOW)
    assert backfill.awaited(NOW) == 1
    late = NOW + MAX_SLOT_WAIT_S
    assert (backfill.awaited(late), backfill.slots_taken) == (0, 1)
    assert room(backfill, late) == 0


def test_interactive_requests_find_the_slots_that_a_lane_does_not_take_and_travel_alone() -> None:
    harness = SchedulerHarness()
    harness.beat("local", 2)
    for _ in range(10):
        batch(harness)
    (lane,) = placements(harness.turn())
    assert len(tickets(lane)) == INITIAL_BATCH_SIZE
    harness.request()
    batch(harness)
    (placement,) = placements(harness.turn())
    assert len(tickets(placement)) == 1
    assert placement.routing_key == "local"


def test_batch_work_goes_on_after_its_rest_without_any_other_message() -> None:
    harness = SchedulerHarness(backfill_rest=3.0)
    harness.beat("local", 4)
    harness.request()
    for _ in range(3 * INITIAL_BATCH_SIZE):
        batch(harness)
    interactive, lane = sorted(placements(harness.turn()), key=lambda sent: len(tickets(sent)))
    harness.now += 0.01
    for ticket in [*tickets(lane), *tickets(interactive)]:
        harness.done(ticket)
    assert placements(harness.turn()) == []
    rest = harness.core.next_wakeup(harness.now)
    assert rest == pytest.approx(0.03)
    harness.now += 0.031
    harness.feed(Wakeup())
    assert len(placements(harness.turn())) == 1
    assert harness.core.next_wakeup(harness.now) is None


def test_a_long_way_to_the_backend_makes_no_short_lanes() -> None:
    harness = SchedulerHarness(backfill_rest=0.0)
    harness.beat("local", 4)
    for _ in range(3):
        harness.request()
        (alone,) = placements(harness.turn())
        harness.now += 0.05
        harness.done(*tickets(alone))
    for _ in range(4 * INITIAL_BATCH_SIZE):
        batch(harness)
    (lane,) = placements(harness.turn())
    harness.now += 0.05
    for ticket in tickets(lane):
        harness.done(ticket)
    (lane,) = placements(harness.turn())
    assert len(tickets(lane)) == 2 * INITIAL_BATCH_SIZE


def batch(harness: SchedulerHarness) -> None:
    body = request_body(harness.now, **{"class": "batch"})
    harness.message(harness.deliver(body, names.BATCH_QUEUE), body, Envelope())


def test_a_wakeup_for_leases_does_not_try_held_requests_again(monkeypatch: pytest.MonkeyPatch) -> None:
    harness = SchedulerHarness(backfill_rest=3.0)
    harness.beat("local", 4)
    harness.request()
    for _ in range(3 * INITIAL_BATCH_SIZE):
        batch(harness)
    harness.turn()
    released: list[float] = []
    monkeypatch.setattr(harness.core._dispatcher, "release", released.append)
    harness.now += 0.01
    harness.feed(Wakeup())
    assert released == []  # the batch slot is taken
    harness.tick()
    assert released == [harness.now]
