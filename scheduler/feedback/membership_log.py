"""Which hosts' workers came and went, in sentences for the log. Pure."""

from collections.abc import Iterator

from scheduler.feedback.backend_state import MembershipChange


def describe(membership_change: MembershipChange) -> Iterator[str]:
    """Give a sentence for each worker that came or went, with what the backend has left."""
    left = _left(membership_change)
    for worker, why in membership_change.gone.items():
        yield f"{membership_change.backend}: {worker} takes no more requests ({why}); {left}"
    for worker in membership_change.come:
        yield f"{membership_change.backend}: {worker} takes requests; {left}"
    if not membership_change.gone and not membership_change.come:
        yield f"{membership_change.backend}: its slots are other ones; {left}"


def _left(membership_change: MembershipChange) -> str:
    if not membership_change.slots:
        return "no worker is left"
    each = ", ".join(f"{worker} {slots}" for worker, slots in sorted(membership_change.slots.items()))
    return f"{sum(membership_change.slots.values())} slots now: {each}"
