"""A request that was taken back ends `cancelled` once, wherever it is, and nothing else is harmed."""

import msgspec
import pytest

from scheduler.core import Envelope
from scheduler.effects import Publish
from straightline import names
from straightline.contracts import Cancel, CancelAnswer
from straightline.contracts.cancel import Verdict
from straightline.ids import new_id
from tests.unit.scheduler.desk import NOW, Desk, outcomes, placements, tickets


@pytest.fixture
def desk() -> Desk:
    desk = Desk()
    desk.beat_all()
    return desk


def answer(published: list[Publish]) -> Verdict:
    (found,) = [publish for publish in published if publish.type == names.TYPE_CANCEL_ANSWER]
    assert (found.exchange, found.key, found.correlation_id) == (
        names.REPLIES,
        "straightline.reply.test",
        "answer",
    )
    return msgspec.json.decode(found.body, type=CancelAnswer).verdict


def appended(published: list[Publish]) -> list[str]:
    """Return the ids that went to the stream."""
    return [
        msgspec.json.decode(publish.body, type=Cancel).id
        for publish in published
        if (publish.exchange, publish.key) == (names.PLACEMENTS, names.CANCELLED_KEY)
    ]


def test_a_held_request_ends_at_once() -> None:
    desk = Desk()
    request_id, other = new_id(), new_id()
    held = desk.request(id=request_id)
    desk.request(id=other)
    desk.turn()
    wish = desk.cancel(request_id)
    published = desk.turn()
    (outcome,) = outcomes(published)
    assert (outcome.request_id, outcome.state) == (request_id, "cancelled")
    assert answer(published) == "cancelled"
    assert {held, wish} <= set(desk.acked)
    desk.beat_all()
    (placement,) = placements(desk.turn())
    assert msgspec.json.decode(tickets(placement)[0].request)["id"] == other


def test_what_is_placed_is_noted_for_the_pools_before_the_wish_is_acknowledged(desk: Desk) -> None:
    request_id = new_id()
    desk.request(id=request_id)
    desk.turn()
    wish = desk.cancel(request_id)
    published = desk.turn(confirm=False)
    assert (appended(published), answer(published)) == ([request_id], "noted")
    assert outcomes(published) == [], "the pool that has it ends it"
    assert wish not in desk.acked
    for publish in published:
        desk.core.dues.confirmed(publish)
    desk.turn()
    assert wish in desk.acked


def test_what_waits_in_a_delay_queue_ends_at_once_with_its_history_and_is_dropped_when_it_comes(
    desk: Desk,
) -> None:
    request_id = new_id()
    desk.request(id=request_id)
    (placement,) = placements(desk.turn())
    desk.fail(tickets(placement)[0])
    (delayed,) = desk.turn()
    wish = desk.cancel(request_id)
    published = desk.turn(confirm=False)
    (outcome,) = outcomes(published)
    (told,) = [publish for publish in published if publish.type == names.TYPE_OUTCOME]
    assert (outcome.state, len(outcome.attempts)) == ("cancelled", 1)
    assert (answer(published), appended(published), told.key) == (
        "cancelled",
        [request_id],
        "straightline.reply.test",
    )
    assert wish not in desk.acked
    for publish in published:
        desk.core.dues.confirmed(publish)
    copy = desk.come_back(delayed, after=0.25)
    assert desk.turn() == []
    assert {wish, copy} <= set(desk.acked)


def test_what_is_held_in_the_broker_ends_at_once_too() -> None:
    desk = Desk(hold_window=1)
    first, second = new_id(), new_id()
    desk.request(id=first)
    desk.now += 0.1
    desk.request(id=second)
    (delayed,) = desk.turn()
    desk.cancel(second)
    assert [outcome.request_id for outcome in outcomes(desk.turn())] == [second]
    desk.come_back(delayed, after=1)
    assert desk.turn() == []


def test_what_another_scheduler_may_have_met_since_ends_when_it_comes_back(desk: Desk) -> None:
    request_id = new_id()
    desk.request(id=request_id)
    (placement,) = placements(desk.turn())
    desk.fail(tickets(placement)[0])
    (delayed,) = desk.turn()
    desk.core.inputs_lost()
    desk.cancel(request_id)
    published = desk.turn()
    assert (answer(published), outcomes(published)) == ("noted", [])
    desk.come_back(delayed, after=0.25)
    published = desk.turn()
    (outcome,) = outcomes(published)
    assert (outcome.state, len(outcome.attempts), placements(published)) == ("cancelled", 1, [])


def test_a_failed_attempt_of_a_cancelled_request_is_its_last(desk: Desk) -> None:
    request_id = new_id()
    desk.request(id=request_id)
    (placement,) = placements(desk.turn())
    desk.cancel(request_id)
    desk.turn()
    desk.fail(tickets(placement)[0])
    (outcome,) = outcomes(desk.turn())
    assert outcome.state == "cancelled"


def test_a_wish_may_overtake_its_request(desk: Desk) -> None:
    request_id = new_id()
    desk.cancel(request_id)
    published = desk.turn()
    assert (appended(published), answer(published)) == ([request_id], "unknown")
    desk.request(id=request_id)
    published = desk.turn()
    (outcome,) = outcomes(published)
    assert (outcome.state, outcome.error, placements(published)) == (
        "cancelled",
        "it was cancelled before it was placed",
        [],
    )


def test_another_scheduler_that_takes_over_knows_it_from_the_stream() -> None:
    successor = Desk()
    successor.beat_all()
    request_id = new_id()
    successor.core.cancelled(request_id)
    successor.request(id=request_id)
    (outcome,) = outcomes(successor.turn())
    assert outcome.state == "cancelled"


def test_what_has_ended_stays_as_it_ended_and_the_answer_says_so(desk: Desk) -> None:
    request_id = new_id()
    desk.request(id=request_id)
    (placement,) = placements(desk.turn())
    desk.done(tickets(placement)[0])
    with_reply, without = desk.cancel(request_id), desk.cancel(request_id, reply=False)
    published = desk.turn()
    assert (answer(published), outcomes(published), appended(published)) == ("ended", [], [])
    assert {with_reply, without} <= set(desk.acked)


def test_cancelling_twice_ends_once() -> None:
    desk = Desk()
    request_id = new_id()
    desk.request(id=request_id, deadline=NOW + 5)
    desk.cancel(request_id)
    desk.cancel(request_id)
    desk.now += 6
    desk.core.tick(desk.now)
    assert [outcome.state for outcome in outcomes(desk.turn())] == ["cancelled"]


@pytest.mark.parametrize("message_id", [None, "01932c07-20a9-7b41-bc76-764d7be3ebf6"])
def test_a_wish_that_is_sent_again_is_answered_again_whatever_message_id_it_has(
    desk: Desk, message_id: str | None
) -> None:
    request_id = new_id()
    desk.request(id=request_id)
    (placement,) = placements(desk.turn())
    for verdict in ("noted", "noted"):
        wish = desk.cancel(request_id, message_id=message_id)
        assert answer(desk.turn()) == verdict
        assert wish in desk.acked
    desk.done(tickets(placement)[0], state="cancelled")
    desk.cancel(request_id, message_id=message_id)
    assert answer(desk.turn()) == "ended"


@pytest.mark.parametrize("message_id", [None, "01932c07-20a9-7b41-bc76-764d7be3ebf6"])
def test_a_wish_that_the_broker_delivers_again_is_answered_once(desk: Desk, message_id: str | None) -> None:
    request_id = new_id()
    desk.cancel(request_id, message_id=message_id)
    assert answer(desk.turn()) == "unknown"
    again = desk.cancel(request_id, message_id=message_id, redelivered=True)
    assert desk.turn() == []
    assert (again.epoch, again.tag) in {(taken.epoch, taken.tag) for taken in desk.acked}


@pytest.mark.parametrize("body", [b"", b"[]", b"null", b'{"id": 7}', b'{"id": "moon"}', b"[" * 9_999])
def test_a_wish_that_cannot_be_read_is_dead_lettered(desk: Desk, body: bytes) -> None:
    delivery = desk.deliver(body, names.CANCELS_QUEUE)
    desk.core.cancel(delivery, body, Envelope(), desk.now)
    (dead,) = desk.turn()
    assert (dead.exchange, desk.acked) == (names.DEAD, [delivery])
