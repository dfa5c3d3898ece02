"""Decides what to do about placements whose lease has expired."""

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from outcomes.messaging.messages import outcome_batches, slots_freed
from outcomes.resolutions.synthetic_outcomes import LOST, Resolution, of_id, unanswered_attempt
from straightline.amqp.publishing.outgoing import Outgoing
from straightline.contracts import Outcome, ReplyAddress
from straightline.contracts.lease import ReplyGroup
from straightline.messages.results import reply
from straightline.names import Backend, RequestClass

LeaseKey = tuple[str, int]
"""Task id and part."""


class ExpiredLease(msgspec.Struct, frozen=True, kw_only=True, rename={"class_": "class"}):
    """A placement whose lease has ended.

    Attributes:
        task_id, part: the key.
        missing: ids of requests without an outcome.
        lost: ids of requests that ended as lost; their producers may not have been answered.
        ids: every id in the order of the lease; None if none is missing or lost.
        backend, model, version, class_, batch_id, attempt, placed_at: as in the lease.
        checks: earlier checks that found an outcome missing.
        replies: the lease's `awaited`.
    """

    task_id: str
    part: int
    backend: Backend
    model: str
    attempt: int
    placed_at: float
    checks: int = 0
    missing: list[str] | None = None
    lost: list[str] | None = None
    ids: list[str] | None = None
    version: str | None = None
    class_: RequestClass | None = None
    batch_id: str | None = None
    replies: list[ReplyGroup] | None = None

    @property
    def key(self) -> LeaseKey:
        """The key in the table of placements."""
        return self.task_id, self.part


class LeaseSweep(msgspec.Struct, frozen=True):
    """Actions of one sweep.

    Attributes:
        messages: to publish before any row is updated: outcomes of missing requests, answers to lost ones.
        settled: placements that need no further check.
        open: placements to check again, once the ledger has what was published.
        missing: number of requests without an outcome.
    """

    messages: list[Outgoing]
    settled: list[LeaseKey]
    open: list[LeaseKey]
    missing: int


def plan_sweep(expired: Sequence[ExpiredLease], recorded: Mapping[str, Outcome], now: float) -> LeaseSweep:
    """Decide which requests are lost and which producers to answer.

    The outcome of a missing request goes through the outcomes queue: it is written behind those that wait
    there, and the first one wins. The next check answers the producer with the recorded outcome and frees
    the slot.

    Args:
        expired: placements whose lease has ended.
        recorded: the ledger's outcomes of every id in `lost` of `expired`.
        now: Unix seconds.
    """
    missing = {name: _lost_outcome(name, lease, now) for lease in expired for name in lease.missing or ()}
    answers: dict[str, list[Outgoing]] = {}
    freed: dict[Backend, list[str]] = {}
    for lease in expired:
        for name in lease.lost or ():
            if name in recorded and name not in answers:  # a request placed twice is in two placements
                answers[name] = [*_answers(lease, recorded[name])]
                freed.setdefault(lease.backend, []).append(name)
    return LeaseSweep(
        messages=[
            *outcome_batches(list(missing.values())),
            *(message for made in answers.values() for message in made),
            *(slots_freed(backend, ids) for backend, ids in freed.items()),
        ],
        settled=[lease.key for lease in expired if not lease.missing],
        open=[lease.key for lease in expired if lease.missing],
        missing=len(missing),
    )


def _lost_outcome(request_id: str, lease: ExpiredLease, now: float) -> Outcome:
    error = (
        f"no result from {lease.backend}: {now - lease.placed_at:.0f} s after placement and past its "
        "deadline, no outcome has arrived. The request may have run"
    )
    resolution = Resolution("expired", LOST, error)
    outcome = of_id(request_id, resolution, now)
    outcome.model, outcome.version = lease.model, lease.version
    outcome.class_, outcome.batch_id = lease.class_, lease.batch_id
    outcome.backend = lease.backend
    outcome.attempts = [unanswered_attempt(resolution, lease.backend, lease.attempt, lease.placed_at, now)]
    return outcome


def _answers(lease: ExpiredLease, outcome: Outcome) -> Iterable[Outgoing]:
    position = (lease.ids or []).index(outcome.request_id)
    for awaited in lease.replies or ():
        if position in awaited.positions:
            own = awaited.correlation_ids
            correlation_id = own[awaited.positions.index(position)] if own else outcome.request_id
            yield reply(outcome, ReplyAddress(to=awaited.to, correlation_id=correlation_id))
