from typing import Any

import msgspec

from outcomes.resolutions.lease_expiry import ExpiredLease, LeaseSweep, plan_sweep
from straightline import names
from straightline.amqp.publishing.outgoing import Outgoing
from straightline.contracts import Feedback, Outcome, OutcomeBatch
from straightline.contracts.lease import ReplyGroup
from straightline.ids import new_id

NOW = 1_790_000_000.0
A, B, C = (new_id() for _ in "abc")
REPLIES = [
    ReplyGroup(to="one", positions=[0, 2]),
    ReplyGroup(to="two", positions=[1], correlation_ids=["c-1"]),
]


def _due(**changes: Any) -> ExpiredLease:
    facts: dict[str, Any] = {
        "task_id": new_id(),
        "part": 0,
        "backend": "local",
        "model": "digits",
        "version": "2",
        "class_": "batch",
        "batch_id": "job",
        "attempt": 2,
        "placed_at": NOW - 90,
        "ids": [A, B, C],
        "replies": REPLIES,
    }
    return ExpiredLease(**{**facts, **changes})


def _outcomes(done: LeaseSweep) -> list[Outcome]:
    return [
        outcome
        for message in _to(done, names.OUTCOMES)
        for outcome in msgspec.json.decode(message.body, type=OutcomeBatch).outcomes
    ]


def _to(done: LeaseSweep, exchange: str) -> list[Outgoing]:
    return [message for message in done.messages if message.exchange == exchange]


def test_a_placement_with_all_outcomes_is_settled_without_messages() -> None:
    due = _due(ids=None)
    assert plan_sweep([due], {}, NOW) == LeaseSweep([], [due.key], [], 0)


def test_a_missing_request_expires_as_lost_with_the_facts_of_its_lease() -> None:
    due = _due(missing=[B])
    done = plan_sweep([due], {}, NOW)
    (outcome,) = _outcomes(done)
    assert (outcome.request_id, outcome.state, outcome.error_class) == (B, "expired", "lost")
    assert (outcome.model, outcome.version, outcome.class_, outcome.batch_id) == (
        "digits",
        "2",
        "batch",
        "job",
    )
    (attempt,) = outcome.attempts
    assert (attempt.number, attempt.backend, attempt.error_class) == (2, "local", "lost")
    said = outcome.error or ""
    assert said.startswith("no result from local: ")
    assert "90 s after" in said
    assert (done.settled, done.open, done.missing) == ([], [due.key], 1)


def test_the_producer_is_not_answered_before_the_outcome_is_recorded() -> None:
    done = plan_sweep([_due(missing=[A, B, C])], {}, NOW)
    assert _to(done, names.REPLIES) == _to(done, names.SIGNALS) == []


def test_the_producer_gets_the_recorded_outcome_and_the_slot_is_freed() -> None:
    due = _due(lost=[B, C])
    standing = {
        name: Outcome(request_id=name, state="failed", finished_at=NOW, error=name) for name in (B, C)
    }
    done = plan_sweep([due], standing, NOW)
    replies = {
        (message.routing_key, message.correlation_id): msgspec.json.decode(message.body, type=Outcome).error
        for message in _to(done, names.REPLIES)
    }
    assert replies == {("two", "c-1"): B, ("one", C): C}
    (signal,) = _to(done, names.SIGNALS)
    feedback = msgspec.json.decode(signal.body, type=Feedback)
    assert (feedback.backend, [done.id for done in feedback.done]) == ("local", [B, C])
    assert {done.state for done in feedback.done} == {"expired"}, (
        "a failure would speak of the backend's health"
    )
    assert (done.settled, done.open) == ([due.key], [])


def test_a_request_placed_twice_ends_once_and_is_answered_once() -> None:
    first, second = _due(missing=[A]), _due(missing=[A], attempt=3)
    assert len(_outcomes(plan_sweep([first, second], {}, NOW))) == 1
    standing = {A: Outcome(request_id=A, state="failed", finished_at=NOW)}
    done = plan_sweep([_due(lost=[A]), _due(lost=[A])], standing, NOW)
    assert len(_to(done, names.REPLIES)) == 1


def test_one_sweep_separates_settled_and_open_placements() -> None:
    good, bad, half = _due(ids=None), _due(missing=[A]), _due(missing=[B], lost=[C])
    done = plan_sweep([good, bad, half], {C: Outcome(request_id=C, state="failed", finished_at=NOW)}, NOW)
    assert (done.settled, done.open, done.missing) == ([good.key], [bad.key, half.key], 2)
