"""Leases: until when placed requests must have an outcome, so that the ledger detects lost ones."""

import msgspec

from straightline.names import Backend, RequestClass


class ReplyGroup(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Requests of a lease whose results are pushed to one address.

    Attributes:
        to: routing key on `straightline.replies`.
        positions: indexes of their ids in the lease, from 0.
        correlation_ids: their correlation ids, in the same order; empty if each is the request's id.
    """

    to: str
    positions: list[int]
    correlation_ids: list[str] = []


class Lease(msgspec.Struct, kw_only=True, omit_defaults=True, rename={"class_": "class"}):
    """Requests placed together, and until when each must have an outcome.

    Attributes:
        task_id: id of the Celery task that carries them.
        part: part of that task, from 0; the requests of one part have the same lease.
        ids: ids of the requests.
        backend: where they were placed.
        model, version, class_, batch_id: as in the requests.
        attempt: number of the attempt for each of them, 1 for the first.
        placed_at: seconds since the epoch.
        until: end of the lease in seconds since the epoch: their last deadline and a grace period.
        awaited: addresses of the results.
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
    """The message on `straightline.outcomes` with key `placement`: the leases of one scheduler turn."""

    leases: list[Lease]
