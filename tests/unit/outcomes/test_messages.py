import msgspec

from outcomes.messaging.delivery import PoisonItem
from outcomes.messaging.messages import answers, delayed_recall, poison_letter
from straightline.amqp.publishing.outgoing import invalid_reason
from straightline.contracts import Outcome, Recall, ReplyAddress
from straightline.contracts.request import MAX_BODY_BYTES
from straightline.ids import new_id
from straightline.messages.dead_letters import REASON_HEADER
from straightline.names import DELAYS_MS


def _recall(request_id: str, *, conflict: bool = False, reply: bool = True) -> Recall:
    address = ReplyAddress(to="straightline.reply.x", correlation_id="c7") if reply else None
    return Recall(request_id=request_id, digest="d", conflict=conflict, seen_at=9.0, reply=address)


def _outcome(request_id: str) -> Outcome:
    return Outcome(
        request_id=request_id, state="succeeded", finished_at=1.0, result=msgspec.Raw(b'{"model_name":"m"}')
    )


def test_a_repeated_id_is_answered_with_its_first_outcome() -> None:
    outcome = _outcome(new_id())
    (message,) = answers([_recall(outcome.request_id)], {outcome.request_id: outcome})
    assert (message.routing_key, message.correlation_id, message.mandatory) == (
        "straightline.reply.x",
        "c7",
        False,
    )
    assert msgspec.json.decode(message.body) == msgspec.json.decode(msgspec.json.encode(outcome))


def test_a_conflicting_id_is_answered_with_a_rejection_that_says_what_to_do() -> None:
    outcome = _outcome(new_id())
    (message,) = answers([_recall(outcome.request_id, conflict=True)], {outcome.request_id: outcome})
    said = msgspec.json.decode(message.body, type=Outcome)
    assert (said.state, said.error_class) == ("rejected", "conflict")
    assert "new id or idempotency key" in (said.error or "")
    assert not bytes(said.result)


def test_no_answer_without_a_reply_address_or_a_known_outcome() -> None:
    outcome = _outcome(new_id())
    recalls = [_recall(outcome.request_id, reply=False), _recall(new_id())]
    assert answers(recalls, {outcome.request_id: outcome}) == []


def test_a_dead_lettered_outcome_keeps_its_bytes_and_the_reason() -> None:
    message = poison_letter(PoisonItem(b"{...}", "because " * 1000))
    assert message.body == b"{...}"
    assert (message.headers or {})[REASON_HEADER].startswith("because")
    assert len((message.headers or {})[REASON_HEADER]) <= 1024


def test_a_dead_lettered_outcome_is_never_too_large_to_publish() -> None:
    """It would be retried for ever and block all others."""
    assert (
        invalid_reason(poison_letter(PoisonItem(b"x" * (MAX_BODY_BYTES + 1), "too long for its row"))) is None
    )


def test_a_repeated_id_backs_off_and_is_given_up_after_a_day() -> None:
    recall = _recall(new_id())
    ages = (0.0, 10.0, 100.0, 3600.0, 86_400.0)
    waits = [
        int(found.routing_key) for age in ages if (found := delayed_recall(recall, recall.seen_at + age))
    ]
    assert len(waits) == len(ages)
    assert waits == sorted(waits)
    assert set(waits) <= set(DELAYS_MS)
    assert (waits[0] >= 1000, waits[-1]) == (True, max(DELAYS_MS))
    assert delayed_recall(recall, recall.seen_at + 100_000.0) is None
