"""What to do about placements whose lease has ended. Pure: time is an argument."""

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from outcomes.messaging.messages import outcome_batches, reply, slots_freed
from outcomes.recording.placements import ExpiredLease, Key
from outcomes.resolutions.synthetic_outcomes import LOST, Resolution, of_id, unanswered_attempt
from straightline.amqp.publishing.outgoing import Outgoing
from straightline.contracts import Outcome
from straightline.names import Backend


class LeaseSweep(msgspec.Struct, frozen=True):
    """What one look at the ledger asks for.

    Attributes:
        messages: to be sent before anything is noted: outcomes for what is missing, answers for what was
            lost.
        settled: placements that are done with.
        open: those that must be looked at again, once the ledger has what was sent.
        missing: how many requests were missed.
    """

    messages: list[Outgoing]
    settled: list[Key]
    open: list[Key]
    missing: int


def plan_sweep(found: Sequence[ExpiredLease], standing: Mapping[str, Outcome], now: float) -> LeaseSweep:
    """Decide.

    A missing request gets an outcome, which takes the way of all outcomes: it is written behind those that
    are waiting to be written, and the first one stands. Only then, at the next look, its producer is
    answered, with what stands, and its slot is free.

    Args:
        found: placements whose lease has ended.
        standing: the outcomes of all that are `lost` in `found`, as the ledger has them.
        now: seconds since the epoch.
    """
    missing = {name: _lost(name, due, now) for due in found for name in due.missing or ()}
    answers: dict[str, list[Outgoing]] = {}
    freed: dict[Backend, list[str]] = {}
    for due in found:
        for name in due.lost or ():
            if name in standing and name not in answers:  # placed twice, it is in two placements
                answers[name] = [*_answer(due, standing[name])]
                freed.setdefault(due.backend, []).append(name)
    return LeaseSweep(
        messages=[
            *outcome_batches(list(missing.values())),
            *(message for made in answers.values() for message in made),
            *(slots_freed(backend, ids) for backend, ids in freed.items()),
        ],
        settled=[due.key for due in found if not due.missing],
        open=[due.key for due in found if due.missing],
        missing=len(missing),
    )


def _lost(request_id: str, due: ExpiredLease, now: float) -> Outcome:
    error = (
        f"its deadline passed after it was placed on {due.backend}, and nobody has answered since: "
        f"{now - due.placed_at:.0f} s after that placement no word of it had come; it may have run"
    )
    verdict = Resolution("expired", LOST, error)
    outcome = of_id(request_id, verdict, now)
    outcome.model, outcome.version = due.model, due.version
    outcome.class_, outcome.batch_id = due.class_, due.batch_id
    outcome.backend = due.backend
    outcome.attempts = [unanswered_attempt(verdict, due.backend, due.attempt, due.placed_at, now)]
    return outcome


def _answer(due: ExpiredLease, outcome: Outcome) -> Iterable[Outgoing]:
    position = (due.ids or []).index(outcome.request_id)
    for awaited in due.replies or ():
        if position in awaited.positions:
            own = awaited.correlation_ids
            correlation_id = own[awaited.positions.index(position)] if own else outcome.request_id
            yield reply(outcome, awaited.to, correlation_id)
