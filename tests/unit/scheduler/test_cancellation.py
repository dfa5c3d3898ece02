"""A request that was taken back ends `cancelled` once, wherever it is, and nothing else is harmed."""

import msgspec
import pytest

from scheduler.events import Envelope, RequestCancelled
from straightline import names
from straightline.amqp.publishing.outgoing import Outgoing
from straightline.contracts import Cancel, CancelAnswer
from straightline.contracts.cancel import CancelResult
from straightline.ids import new_id
from tests.unit.scheduler.harness import NOW, SchedulerHarness, outcomes, placements, tickets


@pytest.fixture
def harness() -> SchedulerHarness:
    harness = SchedulerHarness()
    harness.beat_all()
    return harness


def answer(published: list[Outgoing]) -> CancelResult:
    (found,) = [publish for publish in published if publish.type == names.TYPE_CANCEL_ANSWER]
    assert (found.exchange, found.routing_key, found.correlation_id) == (
        names.REPLIES,
        "straightline.reply.test",
        "answer",
    )
    return msgspec.json.decode(found.body, type=CancelAnswer).verdict


def appended(published: list[Outgoing]) -> list[str]:
    """Return the ids that went to the stream."""
    return [
        msgspec.json.decode(publish.body, type=Cancel).id
        for publish in published
        if (publish.exchange, publish.routing_key) == (names.PLACEMENTS, names.CANCELLED_KEY)
    ]


def test_a_held_request_ends_at_once() -> None:
    harness = SchedulerHarness()
    request_id, other = new_id(), new_id()
    held = harness.request(id=request_id)
    harness.request(id=other)
    harness.turn()
    wish = harness.cancel(request_id)
    published = harness.turn()
    (outcome,) = outcomes(published)
    assert (outcome.request_id, outcome.state) == (request_id, "cancelled")
    assert answer(published) == "cancelled"
    assert {held, wish} <= set(harness.acked)
    harness.beat_all()
    (placement,) = placements(harness.turn())
    assert msgspec.json.decode(tickets(placement)[0].request)["id"] == other


def test_a_cancelled_placed_request_is_published_to_the_pools_before_the_acknowledgement(
    harness: SchedulerHarness,
) -> None:
    request_id = new_id()
    harness.request(id=request_id)
    harness.turn()
    wish = harness.cancel(request_id)
    published = harness.turn(confirm=False)
    assert (appended(published), answer(published)) == ([request_id], "noted")
    assert outcomes(published) == [], "the pool that has it ends it"
    assert wish not in harness.acked
    harness.confirm()
    harness.turn()
    assert wish in harness.acked


def test_a_delayed_request_is_cancelled_at_once_with_its_history_and_dropped_on_return(
    harness: SchedulerHarness,
) -> None:
    request_id = new_id()
    harness.request(id=request_id)
    (placement,) = placements(harness.turn())
    harness.fail(tickets(placement)[0])
    (delayed,) = harness.turn()
    wish = harness.cancel(request_id)
    published = harness.turn(confirm=False)
    (outcome,) = outcomes(published)
    (told,) = [publish for publish in published if publish.type == names.TYPE_OUTCOME]
    assert (outcome.state, len(outcome.attempts)) == ("cancelled", 1)
    assert (answer(published), appended(published), told.routing_key) == (
        "cancelled",
        [request_id],
        "straightline.reply.test",
    )
    assert wish not in harness.acked
    harness.confirm()
    copy = harness.come_back(delayed, after=0.25)
    assert harness.turn() == []
    assert {wish, copy} <= set(harness.acked)


def test_a_request_held_in_the_broker_is_cancelled_at_once() -> None:
    harness = SchedulerHarness(hold_window=1)
    first, second = new_id(), new_id()
    harness.request(id=first)
    harness.now += 0.1
    harness.request(id=second)
    (delayed,) = harness.turn()
    harness.cancel(second)
    assert [outcome.request_id for outcome in outcomes(harness.turn())] == [second]
    harness.come_back(delayed, after=1)
    assert harness.turn() == []


def test_after_a_lost_connection_a_delayed_request_is_cancelled_on_return(harness: SchedulerHarness) -> None:
    request_id = new_id()
    harness.request(id=request_id)
    (placement,) = placements(harness.turn())
    harness.fail(tickets(placement)[0])
    (delayed,) = harness.turn()
    harness.lose_connection()
    harness.cancel(request_id)
    published = harness.turn()
    assert (answer(published), outcomes(published)) == ("noted", [])
    harness.come_back(delayed, after=0.25)
    published = harness.turn()
    (outcome,) = outcomes(published)
    assert (outcome.state, len(outcome.attempts), placements(published)) == ("cancelled", 1, [])


def test_a_failed_attempt_of_a_cancelled_request_is_its_last(harness: SchedulerHarness) -> None:
    request_id = new_id()
    harness.request(id=request_id)
    (placement,) = placements(harness.turn())
    harness.cancel(request_id)
    harness.turn()
    harness.fail(tickets(placement)[0])
    (outcome,) = outcomes(harness.turn())
    assert outcome.state == "cancelled"


def test_a_cancellation_may_overtake_its_request(harness: SchedulerHarness) -> None:
    request_id = new_id()
    harness.cancel(request_id)
    published = harness.turn()
    assert (appended(published), answer(published)) == ([request_id], "unknown")
    harness.request(id=request_id)
    published = harness.turn()
    (outcome,) = outcomes(published)
    assert (outcome.state, outcome.error, placements(published)) == (
        "cancelled",
        "it was cancelled before it was placed",
        [],
    )


def test_another_scheduler_that_takes_over_knows_it_from_the_stream() -> None:
    successor = SchedulerHarness()
    successor.beat_all()
    request_id = new_id()
    successor.feed(RequestCancelled(request_id))
    successor.request(id=request_id)
    (outcome,) = outcomes(successor.turn())
    assert outcome.state == "cancelled"


def test_a_finished_request_keeps_its_outcome_and_the_answer_says_so(harness: SchedulerHarness) -> None:
    request_id = new_id()
    harness.request(id=request_id)
    (placement,) = placements(harness.turn())
    harness.done(tickets(placement)[0])
    with_reply, without = harness.cancel(request_id), harness.cancel(request_id, reply=False)
    published = harness.turn()
    assert (answer(published), outcomes(published), appended(published)) == ("ended", [], [])
    assert {with_reply, without} <= set(harness.acked)


def test_cancelling_twice_ends_once() -> None:
    harness = SchedulerHarness()
    request_id = new_id()
    harness.request(id=request_id, deadline=NOW + 5)
    harness.cancel(request_id)
    harness.cancel(request_id)
    harness.now += 6
    harness.tick()
    assert [outcome.state for outcome in outcomes(harness.turn())] == ["cancelled"]


@pytest.mark.parametrize("message_id", [None, "01932c07-20a9-7b41-bc76-764d7be3ebf6"])
def test_a_repeated_cancellation_is_answered_again_whatever_its_message_id(
    harness: SchedulerHarness, message_id: str | None
) -> None:
    request_id = new_id()
    harness.request(id=request_id)
    (placement,) = placements(harness.turn())
    for verdict in ("noted", "noted"):
        wish = harness.cancel(request_id, message_id=message_id)
        assert answer(harness.turn()) == verdict
        assert wish in harness.acked
    harness.done(tickets(placement)[0], state="cancelled")
    harness.cancel(request_id, message_id=message_id)
    assert answer(harness.turn()) == "ended"


@pytest.mark.parametrize("message_id", [None, "01932c07-20a9-7b41-bc76-764d7be3ebf6"])
def test_a_redelivered_cancellation_is_answered_once(
    harness: SchedulerHarness, message_id: str | None
) -> None:
    request_id = new_id()
    harness.cancel(request_id, message_id=message_id)
    assert answer(harness.turn()) == "unknown"
    again = harness.cancel(request_id, message_id=message_id, redelivered=True)
    assert harness.turn() == []
    assert (again.epoch, again.tag) in {(taken.epoch, taken.tag) for taken in harness.acked}


@pytest.mark.parametrize("body", [b"", b"[]", b"null", b'{"id": 7}', b'{"id": "moon"}', b"[" * 9_999])
def test_an_unreadable_cancellation_is_dead_lettered(harness: SchedulerHarness, body: bytes) -> None:
    delivery = harness.deliver(body, names.CANCELS_QUEUE)
    harness.message(delivery, body, Envelope())
    (dead,) = harness.turn()
    assert (dead.exchange, harness.acked) == (names.DEAD, [delivery])
