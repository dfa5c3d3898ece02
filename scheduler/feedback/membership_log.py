"""Which hosts' workers came and went, in sentences for the log. Pure."""

from collections.abc import Iterator

from scheduler.feedback.backend_state import Muster


def told(muster: Muster) -> Iterator[str]:
    """Give a sentence for each worker that came or went, with what the backend has left."""
    left = _left(muster)
    for worker, why in muster.gone.items():
        yield f"{muster.backend}: {worker} takes no more requests ({why}); {left}"
    for worker in muster.come:
        yield f"{muster.backend}: {worker} takes requests; {left}"
    if not muster.gone and not muster.come:
        yield f"{muster.backend}: its slots are other ones; {left}"


def _left(muster: Muster) -> str:
    if not muster.slots:
        return "no worker is left"
    each = ", ".join(f"{worker} {slots}" for worker, slots in sorted(muster.slots.items()))
    return f"{sum(muster.slots.values())} slots now: {each}"
