"""The scheduler between its queues: an input is acknowledged when what it caused is safe, and ends once."""

import json
from typing import Any

import msgspec
import pytest

from scheduler.events import Envelope, Message, MessageFailed
from scheduler.feedback.backfill import INITIAL_BATCH_SIZE
from straightline import names
from straightline.amqp.publishing.outgoing import Outgoing
from straightline.contracts import Outcome, Recall, Ticket
from straightline.contracts.request import MAX_BODY_BYTES
from straightline.ids import new_id
from tests.unit.scheduler.harness import (
    NOW,
    SchedulerHarness,
    infer,
    outcomes,
    placements,
    request_body,
    tickets,
)


@pytest.fixture
def harness() -> SchedulerHarness:
    harness = SchedulerHarness()
    harness.beat_all()
    return harness


def test_a_request_is_placed_with_its_reason_and_acknowledged_after_the_confirm(
    harness: SchedulerHarness,
) -> None:
    delivery = harness.request()
    placement, lease = harness.turn(confirm=False)
    assert (placement.exchange, placement.routing_key) == (names.PLACEMENTS, "local")
    assert (lease.exchange, lease.routing_key) == (names.OUTCOMES, "placement")
    for publish in (placement, lease):
        harness.turn()
        assert harness.acked == []
        harness.confirm(publish)
    harness.turn()
    assert harness.acked == [delivery]
    (ticket,) = tickets(placement)
    assert ticket.reason is not None
    assert (ticket.reason.rule, ticket.reason.f_t, ticket.reason.s_f) == (3, 0.1, True)
    assert ticket.reply is not None
    assert ticket.reply.to == "straightline.reply.test"


def test_requests_that_arrive_together_share_a_message_that_shows_no_payload() -> None:
    harness = SchedulerHarness(coalesce=32)
    harness.beat_all(local=100)
    deliveries = [harness.request() for _ in range(40)]
    first, second = placements(harness.turn())
    assert [len(tickets(first)), len(tickets(second))] == [32, 8]
    assert headers(first)["task"] == "straightline.predict"
    assert headers(first)["argsrepr"].startswith("32 of digits, ")
    assert "images" not in json.dumps(first.headers)
    assert sorted(d.tag for d in harness.acked) == [d.tag for d in deliveries]


def test_a_joined_message_stays_below_the_brokers_limit_whatever_is_beside_the_data() -> None:
    """A message that is refused would be sent again for ever, and its requests would never end."""
    harness = SchedulerHarness(coalesce=32, coalesce_bytes=10_000)
    harness.beat_all(local=100)
    for _ in range(5):
        harness.request(remarks="." * 6_000)
    placed = placements(harness.turn())
    assert [len(tickets(placement)) for placement in placed] == [1] * 5
    assert headers(placed[0])["argsrepr"].startswith("1 of digits, ")


def test_slots_are_counted_so_that_a_clump_spills_by_rules_3_4_and_5(harness: SchedulerHarness) -> None:
    for _ in range(9):
        harness.request()
    placed = [ticket for publish in placements(harness.turn()) for ticket in tickets(publish)]
    rules = sorted(ticket.reason.rule for ticket in placed if ticket.reason)
    assert rules == [3, 3, 3, 3, 4, 4, 5, 5, 5]
    for ticket in placed:
        harness.done(ticket)
    harness.request()
    (placement,) = placements(harness.turn())
    assert placement.routing_key == "local"


def test_a_burst_is_seen_in_event_time_and_goes_to_serverless() -> None:
    harness = SchedulerHarness(f=5.0)
    harness.beat_all(local=1_000)
    for _ in range(60):
        harness.request()
    placed = [ticket for publish in placements(harness.turn()) for ticket in tickets(publish)]
    assert sum(ticket.reason.rule == 1 for ticket in placed if ticket.reason) == 10


def test_a_backlog_of_slow_requests_is_no_burst() -> None:
    harness = SchedulerHarness(f=5.0)
    harness.beat_all(local=2_000)
    for index in range(1_000):
        harness.request(submitted_at=NOW - 1_000 + index, deadline=NOW + 60)
    placed = [ticket for publish in placements(harness.turn()) for ticket in tickets(publish)]
    assert {ticket.reason.rule for ticket in placed if ticket.reason} == {3}


def test_a_time_in_the_future_counts_as_now(harness: SchedulerHarness) -> None:
    harness.request(submitted_at=NOW + 1e6)
    (placement,) = placements(harness.turn())
    (ticket,) = tickets(placement)
    assert ticket.submitted_at == NOW
    assert ticket.deadline == NOW + 60


BAD: dict[str, tuple[dict[str, Any], str, str]] = {
    "unknown model": ({"model": "cats"}, "rejected", "there is no model cats; deployed are: digits"),
    "unknown version": ({"version": "9"}, "rejected", "model digits has no version 9; it has 1"),
    "wrong width": ({"data": infer(1, shape=[1, 63])}, "rejected", "FP32 [-1, 64]"),
    "a shape that is none": ({"data": infer(1, shape=[-1, 64])}, "rejected", "dimensions must be >= 0"),
    "wrong datatype": ({"data": infer(1, datatype="INT8")}, "rejected", "INT8"),
    "no tensors": ({"data": {"inputs": []}}, "rejected", "it takes ['images']"),
    "not a V2 request": ({"data": [1, 2]}, "rejected", "not a V2 infer request"),
    "no data": ({"data": None}, "rejected", "either data or data_ref"),
    "wrong type": ({"submitted_at": "yesterday"}, "rejected", "Expected `float`"),
    "past deadline": ({"deadline": NOW - 5}, "expired", "the deadline passed 5.00 s before the"),
    "a deadline from now": ({"deadline": 30}, "expired", "send the time, not how long from now"),
    "submitted in 1970": ({"submitted_at": 0}, "expired", "it names none, so it has 60 s from its"),
    "unknown class": ({"class": "urgent"}, "rejected", "urgent"),
    "nowhere allowed": ({"allow": []}, "rejected", "length >= 1"),
}


@pytest.mark.parametrize("case", BAD, ids=list(BAD))
def test_bad_input_gets_one_outcome_with_a_clear_message_and_the_next_request_is_placed(
    harness: SchedulerHarness, case: str
) -> None:
    changes, state, words = BAD[case]
    request_id = new_id()
    delivery = harness.request(id=request_id, **changes)
    published = harness.turn()
    (outcome,) = outcomes(published)
    assert (outcome.request_id, outcome.state) == (request_id, state)
    assert words in (outcome.error or "")
    (reply,) = [publish for publish in published if publish.exchange == names.REPLIES]
    assert msgspec.json.decode(reply.body, type=Outcome).error == outcome.error
    assert harness.acked == [delivery]
    harness.request()
    assert len(placements(harness.turn())) == 1


@pytest.mark.parametrize("body", [b"", b"\xff\xfe", b"[]", b"null", b"{", b"[" * 50_000, b'{"id": "x"}'])
def test_a_message_without_a_usable_id_is_dead_lettered(harness: SchedulerHarness, body: bytes) -> None:
    delivery = harness.request(body)
    (dead,) = harness.turn()
    assert (dead.exchange, dead.body) == (names.DEAD, body)
    assert headers(dead)["x-straightline-queue"] == names.INTERACTIVE_QUEUE
    assert harness.acked == [delivery]


def test_an_oversize_body_without_an_id_is_cut_so_that_the_dead_letters_take_it(
    harness: SchedulerHarness,
) -> None:
    body = bytes(3 * MAX_BODY_BYTES)
    delivery = harness.request(body)
    (dead,) = harness.turn()
    assert len(dead.body) == MAX_BODY_BYTES
    assert headers(dead)["x-straightline-size"] == len(body)
    assert harness.acked == [delivery]


def test_a_dead_letter_without_an_id_is_given_none(harness: SchedulerHarness) -> None:
    """A new message id would pass for the id of a request, which does not exist."""
    harness.request(b"3")
    (dead,) = harness.turn()
    assert (dead.exchange, dead.message_id) == (names.DEAD, None)


def test_a_broken_body_is_rejected_by_its_message_id(harness: SchedulerHarness) -> None:
    request_id = new_id()
    delivery = harness.deliver(b"{", message_id=request_id)
    harness.message(delivery, b"{", Envelope())
    (outcome,) = outcomes(harness.turn())
    assert (outcome.request_id, outcome.state) == (request_id, "rejected")


def test_the_trace_of_a_request_goes_on_with_its_placement(harness: SchedulerHarness) -> None:
    harness.beat("local", 2)
    body = request_body(harness.now)
    harness.message(harness.deliver(body), body, Envelope(None, None, "00-1-2-01", "vendor=1"))
    (placed,) = (publish for publish in harness.turn() if publish.exchange == names.PLACEMENTS)
    (ticket,) = tickets(placed)
    assert (ticket.trace, ticket.trace_state) == ("00-1-2-01", "vendor=1")


def test_a_request_is_held_until_a_pool_reports_and_then_placed_first_come_first_served() -> None:
    harness = SchedulerHarness()
    ids = [new_id() for _ in range(3)]
    deliveries = [harness.request(id=request_id) for request_id in ids]
    assert harness.turn() == []
    assert harness.acked == []
    harness.beat("local", 2)
    (placement,) = placements(harness.turn())
    assert [json.loads(bytes(ticket.request))["id"] for ticket in tickets(placement)] == ids[:2]
    assert harness.acked == deliveries[:2]
    assert harness.core._dispatcher.holds.in_memory == 1


def test_a_held_request_expires_at_its_deadline() -> None:
    harness = SchedulerHarness()
    delivery = harness.request(deadline=NOW + 5)
    harness.now += 5
    harness.tick()
    (outcome,) = outcomes(harness.turn())
    assert (outcome.state, outcome.error) == (
        "expired",
        (
            "the deadline passed while it was held, 5.0 s after it was received: serverless: no pool "
            "reports; gpu-container: no pool reports; local: no pool reports"
        ),
    )
    assert harness.acked == [delivery]


def test_holds_beyond_the_window_wait_in_the_broker_and_keep_their_age() -> None:
    harness = SchedulerHarness(hold_window=1)
    harness.request()
    beyond = harness.request()
    (delayed,) = harness.turn()
    assert (delayed.exchange, delayed.routing_key) == (names.DELAYS, "1000")
    assert harness.acked == [beyond]
    harness.come_back(delayed, after=1.0)
    (again,) = harness.turn()
    assert msgspec.json.decode(again.body, type=Ticket).held_since == NOW
    harness.beat_all()
    harness.come_back(again, after=1.0)
    assert sum(len(tickets(publish)) for publish in placements(harness.turn())) == 2


def test_a_long_hold_moves_to_the_broker_before_a_consumer_time_out() -> None:
    harness = SchedulerHarness()
    delivery = harness.request(deadline=NOW + 3_600)
    harness.now += 61
    harness.tick()
    (delayed,) = harness.turn()
    assert delayed.exchange == names.DELAYS
    assert harness.acked == [delivery]


def test_a_backend_that_falls_silent_is_not_used(harness: SchedulerHarness) -> None:
    harness.now += 3.1
    harness.beat("serverless", 8)
    harness.tick()
    harness.request()
    (placement,) = placements(harness.turn())
    (ticket,) = tickets(placement)
    assert placement.routing_key == "serverless"
    assert ticket.reason is not None
    assert ticket.reason.refused["local"] == "no heartbeat for 3 intervals"


def test_an_unhealthy_or_closing_pool_is_not_used(harness: SchedulerHarness) -> None:
    harness.beat("local", 4, healthy=False, reason="the server answers 503")
    harness.beat("gpu-container", 2, closing=True)
    harness.request()
    (placement,) = placements(harness.turn())
    (ticket,) = tickets(placement)
    assert ticket.reason is not None
    assert ticket.reason.refused == {
        "local": "unhealthy: the server answers 503",
        "gpu-container": "no pool reports",
    }


def test_a_failed_attempt_is_placed_elsewhere_after_a_delay_with_its_history(
    harness: SchedulerHarness,
) -> None:
    harness.request()
    (placement,) = placements(harness.turn())
    delivery = harness.fail(tickets(placement)[0])
    (delayed,) = harness.turn()
    assert delayed.exchange == names.DELAYS
    assert delayed.routing_key in ("250", "350", "500")
    assert delivery in harness.acked
    harness.come_back(delayed, after=0.25)
    (placement,) = placements(harness.turn())
    (ticket,) = tickets(placement)
    assert placement.routing_key == "gpu-container"
    assert [attempt.backend for attempt in ticket.attempts] == ["local"]
    assert ticket.reason is not None
    assert ticket.reason.refused == {"local": "an earlier attempt failed there"}


def test_attempts_run_out_and_the_outcome_tells_each(harness: SchedulerHarness) -> None:
    harness.request()
    for _ in range(2):
        (placement,) = placements(harness.turn())
        harness.fail(tickets(placement)[0])
        (delayed,) = harness.turn()
        harness.come_back(delayed, after=1.0)
    (placement,) = placements(harness.turn())
    harness.fail(tickets(placement)[0], error_class="timed_out")
    (outcome,) = outcomes(harness.turn())
    assert (outcome.state, outcome.error_class, len(outcome.attempts)) == ("failed", "timed_out", 3)
    assert (outcome.error or "").startswith("3 attempts failed: local: nobody answers; gpu-container: ")


def test_the_only_backend_is_tried_again(harness: SchedulerHarness) -> None:
    harness.request(allow=["local"])
    (placement,) = placements(harness.turn())
    harness.fail(tickets(placement)[0])
    (delayed,) = harness.turn()
    harness.come_back(delayed, after=0.25)
    (placement,) = placements(harness.turn())
    assert placement.routing_key == "local"


def test_a_retry_that_would_come_too_late_expires(harness: SchedulerHarness) -> None:
    harness.request(deadline=NOW + 0.2)
    (placement,) = placements(harness.turn())
    harness.fail(tickets(placement)[0])
    (outcome,) = outcomes(harness.turn())
    assert (outcome.state, len(outcome.attempts)) == ("expired", 1)


def test_a_repeated_id_is_not_run_again_but_answered_from_the_ledger(harness: SchedulerHarness) -> None:
    body = request_body(NOW)
    harness.request(body)
    (placement,) = placements(harness.turn())
    again = harness.request(body)
    (waiting,) = harness.turn()
    assert (waiting.exchange, waiting.type) == (names.DELAYS, names.TYPE_RECALL)
    assert again in harness.acked
    harness.done(tickets(placement)[0])
    harness.come_back(waiting, after=0.25)
    (recall,) = harness.turn()
    assert (recall.exchange, recall.routing_key) == (names.OUTCOMES, "recall")
    assert msgspec.json.decode(recall.body, type=Recall).conflict is False


def test_the_same_id_with_another_content_is_a_conflict(harness: SchedulerHarness) -> None:
    request_id = new_id()
    harness.request(id=request_id)
    harness.turn()
    harness.request(id=request_id, data=infer(2))
    harness.request(b'{"id": "%s"}' % request_id.encode())
    published = harness.turn()
    assert [msgspec.json.decode(p.body, type=Recall).conflict for p in published] == [True, True]


def test_a_rejected_id_that_comes_again_is_recalled_not_rejected_twice(harness: SchedulerHarness) -> None:
    body = request_body(NOW, model="cats")
    harness.request(body)
    assert len(outcomes(harness.turn())) == 1
    harness.request(body)
    (recall,) = harness.turn()
    assert recall.type == names.TYPE_RECALL


def test_a_redelivery_of_a_request_in_work_is_not_processed_twice(harness: SchedulerHarness) -> None:
    body = request_body(NOW)
    harness.request(body)
    harness.turn(confirm=False)
    again = harness.request(body, redelivered=True)
    assert harness.turn() == []
    harness.confirm()
    harness.turn()
    assert [(d.tag) for d in harness.acked] == [again.tag]


def test_a_redelivery_of_a_finished_message_is_only_acknowledged(harness: SchedulerHarness) -> None:
    body = request_body(NOW)
    harness.request(body)
    harness.turn()
    again = harness.request(body, redelivered=True)
    assert harness.turn() == []
    assert harness.acked[-1].tag == again.tag


def test_a_hold_lost_with_its_connection_begins_anew_when_it_is_delivered_again() -> None:
    harness = SchedulerHarness()
    body = request_body(NOW)
    harness.request(body)
    harness.turn()
    harness.lose_connection()
    again = harness.request(body, redelivered=True)
    harness.beat_all()
    assert len(placements(harness.turn())) == 1
    assert harness.acked == [again]


def test_slots_with_missed_feedback_become_free(harness: SchedulerHarness) -> None:
    for _ in range(4):
        harness.request()
    harness.turn()
    harness.lose_connection()
    harness.beat_all()
    harness.request()
    (placement,) = placements(harness.turn())
    assert placement.routing_key == "local"


def test_requests_of_an_earlier_scheduler_take_slots(harness: SchedulerHarness) -> None:
    harness.beat("local", 4, active=4)
    harness.request()
    (placement,) = placements(harness.turn())
    assert placement.routing_key == "gpu-container"


def test_batch_requests_wait_for_a_free_slot_and_do_not_count_into_the_frequency() -> None:
    harness = SchedulerHarness(f=5.0)
    harness.beat_all(local=1, container=1)
    for _ in range(60):
        harness.request(request_body(NOW, **{"class": "batch"}))
    placed = placements(harness.turn())
    assert sorted(publish.routing_key for publish in placed) == ["gpu-container", "local"]
    # Those of a model share a slot, a few of them until it is known how long that takes.
    assert [len(tickets(publish)) for publish in placed] == [INITIAL_BATCH_SIZE, INITIAL_BATCH_SIZE]
    assert harness.core._dispatcher.holds.in_memory == 60 - 2 * INITIAL_BATCH_SIZE
    harness.request()
    (placement,) = placements(harness.turn())
    assert tickets(placement)[0].reason.rule == 5  # type: ignore[union-attr]


def test_garbage_among_internal_messages_is_kept_and_harms_nothing(harness: SchedulerHarness) -> None:
    harness.signal(names.HEARTBEAT_KEY, b"nonsense")
    harness.signal("feedback", b"[]")
    harness.message(harness.deliver(b"{}"), b"{}")
    harness.message(harness.deliver(b"{"), b"{", kind=names.TYPE_TICKET)
    assert [publish.exchange for publish in harness.turn()] == [names.DEAD, names.DEAD]
    assert len(harness.acked) == 2


def test_a_repeat_that_comes_again_with_its_first_leaves_neither_unacknowledged() -> None:
    harness = SchedulerHarness()
    body = request_body(NOW)
    harness.request(body)
    harness.request(body)
    harness.turn(confirm=False)
    harness.lose_connection()
    first = harness.request(body, redelivered=True)
    second = harness.deliver(body, message_id=first.message_id)
    second.redelivered = True
    harness.message(second, body, Envelope())
    harness.beat_all()
    assert len(placements(harness.turn())) == 1
    assert {delivery.tag for delivery in harness.acked} == {first.tag, second.tag}


def test_a_copy_of_a_delayed_ticket_is_not_placed_twice(harness: SchedulerHarness) -> None:
    harness.request()
    (placement,) = placements(harness.turn())
    harness.fail(tickets(placement)[0])
    (delayed,) = harness.turn()
    harness.come_back(delayed, after=0.25)
    copy = harness.come_back(delayed, after=0.0)
    assert len(placements(harness.turn())) == 1
    assert copy in harness.acked


def test_failed_attempts_that_come_again_without_a_message_id_are_not_retried_twice(
    harness: SchedulerHarness,
) -> None:
    harness.request()
    (placement,) = placements(harness.turn())
    first = harness.fail(tickets(placement)[0])
    assert len(harness.turn()) == 1
    assert first in harness.acked
    again = harness.deliver(harness.failed, names.ATTEMPTS_QUEUE, redelivered=True)
    harness.message(again, harness.failed)
    assert harness.turn() == []
    assert harness.acked[-1].tag == again.tag


def test_a_ticket_that_comes_back_after_its_request_has_ended_is_not_run_again(
    harness: SchedulerHarness,
) -> None:
    harness.request()
    (placement,) = placements(harness.turn())
    (ticket,) = tickets(placement)
    harness.fail(ticket)
    (delayed,) = harness.turn()
    harness.done(ticket)
    delivery = harness.come_back(delayed, after=0.25)
    assert harness.turn() == []
    assert delivery in harness.acked


def test_a_rejection_delivered_again_is_no_conflict(harness: SchedulerHarness) -> None:
    body = b'{"id": "%s"}' % new_id().encode()
    harness.request(body)
    assert len(outcomes(harness.turn())) == 1
    harness.request(body, redelivered=True)
    assert harness.turn() == []
    harness.request(body)
    (recall,) = harness.turn()
    assert msgspec.json.decode(recall.body, type=Recall).conflict is False


def test_deeply_nested_bodies_are_dead_lettered(harness: SchedulerHarness) -> None:
    body = b'{"x":' + b"[" * 100_000
    harness.signal(names.HEARTBEAT_KEY, body)
    harness.signal("feedback", body)
    for kind in (names.TYPE_TICKET, names.TYPE_RECALL):
        harness.message(harness.deliver(body, names.RETURNS_QUEUE), body, kind=kind)
    harness.message(harness.deliver(body, names.ATTEMPTS_QUEUE), body)
    assert {publish.exchange for publish in harness.turn()} == {names.DEAD}
    assert len(harness.acked) == 3


def test_an_internal_error_ends_its_request_and_no_other(
    harness: SchedulerHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    request_id = new_id()
    body = request_body(NOW, id=request_id)
    with monkeypatch.context() as patch:
        patch.setattr("scheduler.dispatch.decision.PlacementDecider.reason", _break)
        delivery = harness.deliver(body, message_id=request_id)
        with pytest.raises(ZeroDivisionError) as caught:
            harness.message(delivery, body, Envelope("reply.a", "c"))
        failed = Message(delivery, body, None, Envelope("reply.a", "c"))
        harness.feed(MessageFailed(failed, caught.value))
    published = harness.turn()
    answers = [
        (each.routing_key, each.correlation_id) for each in published if each.exchange == names.REPLIES
    ]
    assert answers == [("reply.a", "c")]  # the waiting producer gets its outcome
    (outcome,) = outcomes(published)
    assert (outcome.request_id, outcome.state, outcome.error_class) == (
        request_id,
        "failed",
        "scheduler_fault",
    )
    assert names.DEAD in {publish.exchange for publish in published}
    assert [(taken.epoch, taken.tag) for taken in harness.acked] == [(1, delivery.tag)]
    harness.request()
    assert len(placements(harness.turn())) == 1


def headers(message: Outgoing) -> dict[str, Any]:
    assert message.headers is not None
    return message.headers


def _break(*_: object, **__: object) -> None:
    raise ZeroDivisionError


@pytest.mark.parametrize(
    "absurd",
    [
        {"slots": -5},
        {"active": -5},
        {"interval": 0},
        {"interval": 1e9},
        {"interval": None},
    ],
    ids=str,
)
def test_an_absurd_heartbeat_changes_nothing(absurd: dict[str, Any]) -> None:
    harness = SchedulerHarness()
    harness.beat("local", **{"slots": 4, **absurd})
    harness.request()
    assert harness.turn() == []
    harness.beat("local", 4)
    assert len(placements(harness.turn())) == 1


def test_a_worker_that_dies_after_the_clock_was_set_back_is_noticed(harness: SchedulerHarness) -> None:
    harness.now -= 3_600
    harness.tick()
    harness.now += 3.1
    harness.tick()
    harness.request()
    assert placements(harness.turn()) == []


def test_requests_of_a_dead_worker_are_not_counted_twice() -> None:
    harness = SchedulerHarness()
    harness.beat("local", 4, worker="one", active=4)
    harness.now += 3.1
    harness.beat("local", 8, worker="two", active=4)
    harness.tick()
    for _ in range(4):
        harness.request(allow=["local"])
    assert sum(len(tickets(publish)) for publish in placements(harness.turn())) == 4


def test_a_slot_with_lost_feedback_is_free_once_its_pool_is_idle() -> None:
    harness = SchedulerHarness()
    harness.beat("local", 1)
    harness.request(request_body(harness.now, **{"class": "batch"}))
    assert len(placements(harness.turn())) == 1
    harness.request(request_body(harness.now, **{"class": "batch"}))
    harness.now += 4.9
    harness.beat("local", 1)
    assert placements(harness.turn()) == []
    harness.now += 0.2
    harness.beat("local", 1)
    assert len(placements(harness.turn())) == 1


def test_a_small_request_that_waits_does_not_keep_a_large_one_waiting() -> None:
    harness = SchedulerHarness()
    harness.request(allow=["gpu-container"])
    harness.request(allow=["gpu-container"], data=infer(12))
    harness.beat("gpu-container", 1, active=1)
    (placement,) = placements(harness.turn())
    (ticket,) = tickets(placement)
    assert ticket.reason is not None
    assert ticket.reason.rule == 2


def test_a_request_too_late_for_a_backend_does_not_keep_another_waiting() -> None:
    harness = SchedulerHarness()
    harness.request(deadline=harness.now + 5)
    harness.request(deadline=harness.now + 50)
    harness.beat("local", 4, best_cases={"digits": 10.0})
    assert len(placements(harness.turn())) == 1


def test_a_slow_model_keeps_no_other_from_its_backend() -> None:
    harness = SchedulerHarness()
    harness.beat("local", 4, best_cases={"slow": 10.0})
    harness.request(deadline=harness.now + 5)
    assert len(placements(harness.turn())) == 1


def test_a_failure_before_the_backend_is_called_does_not_count_for_its_breaker() -> None:
    """As one whose stored input is gone: were it an answer, the breaker of a dead backend would close."""
    harness = SchedulerHarness()
    for _ in range(5):
        harness.beat("local", 8)
        harness.request(allow=["local"])
        (placement,) = placements(harness.turn())
        harness.fail(*tickets(placement))
        harness.turn()
    harness.now += 1.5
    harness.beat("local", 8)
    harness.request(allow=["local"])
    (placement,) = placements(harness.turn())
    (probe,) = tickets(placement)
    assert probe.reason is not None
    assert probe.reason.probe
    harness.done(probe, state="failed", service=0.0)
    assert not harness.core._breakers.closed("local", "digits")


def test_one_unreadable_attempt_of_many_costs_the_others_nothing(harness: SchedulerHarness) -> None:
    harness.request()
    (placement,) = placements(harness.turn())
    harness.fail(tickets(placement)[0])
    harness.turn()
    failed = json.loads(harness.failed)["failed"]
    failed[0]["attempt"]["error"] = "another"
    body = json.dumps({"failed": [{**failed[0], "ticket": {**failed[0]["ticket"], "request": 5}}, *failed]})
    delivery = harness.deliver(body.encode(), names.ATTEMPTS_QUEUE)
    harness.message(delivery, body.encode())
    assert [publish.exchange for publish in harness.turn()] == [names.DEAD, names.DELAYS]
    assert delivery in harness.acked
