"""What the ledger is told when requests are placed, so that it can tell when one was lost."""

import msgspec

from straightline.names import Backend, RequestClass


class ReplyGroup(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Those of a lease whose results are pushed to one address.

    Attributes:
        to: routing key on `straightline.replies`.
        positions: of their ids in the lease, from 0.
        correlation_ids: theirs, in the same order; empty where each is the request's own id.
    """

    to: str
    positions: list[int]
    correlation_ids: list[str] = []


class Lease(msgspec.Struct, kw_only=True, omit_defaults=True, rename={"class_": "class"}):
    """Requests that were placed together, and until when each must have an outcome.

    Attributes:
        task_id: of the Celery task that carries them.
        part: of that task, from 0: its requests may differ in what a lease says.
        ids: of the requests.
        backend: where they were placed.
        model, version, class_, batch_id: as in the requests.
        attempt: which one this is for each of them, 1 for the first.
        placed_at: seconds since the epoch.
        until: the end of the lease, seconds since the epoch: their last deadline, and some grace.
        awaited: who waits for results.
    """

    task_id: str
    ids: list[str]
    backend: Backend
    model: str
    placed_at: float
    until: float
    part: int = 0
    version: str | None = None
    class_: RequestClass | None = None
    batch_id: str | None = None
    attempt: int = 1
    awaited: list[ReplyGroup] = []


class LeaseBatch(msgspec.Struct, kw_only=True):
    """The message on `straightline.outcomes` with key `placement`: what was placed in one turn."""

    leases: list[Lease]
