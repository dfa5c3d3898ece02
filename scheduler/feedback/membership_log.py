"""Changes in the workers of a backend, as events for the log."""

from typing import NamedTuple

from scheduler.effects import PendingEffects
from straightline.names import Backend


class MembershipChange(NamedTuple):
    """Workers of a backend joined or left.

    Attributes:
        backend: the backend.
        gone: workers that stopped taking requests, each with the reason.
        come: workers that take requests from now on.
        slots: slots of each worker that takes requests now.
    """

    backend: Backend
    gone: dict[str, str]
    come: list[str]
    slots: dict[str, int]


def log_membership(effects: PendingEffects, change: MembershipChange) -> None:
    """Log each worker that joined or left, with the slots that the backend has left."""
    backend, slots = change.backend, sum(change.slots.values())
    workers = ", ".join(f"{worker} {slots}" for worker, slots in sorted(change.slots.items()))
    for worker, reason in change.gone.items():
        effects.log(
            "warning",
            "worker_left",
            backend=backend,
            worker=worker,
            reason=reason,
            slots=slots,
            slots_by_worker=workers,
        )
    for worker in change.come:
        effects.log(
            "warning", "worker_joined", backend=backend, worker=worker, slots=slots, slots_by_worker=workers
        )
    if not change.gone and not change.come:
        effects.log("warning", "slots_changed", backend=backend, slots=slots, slots_by_worker=workers)
