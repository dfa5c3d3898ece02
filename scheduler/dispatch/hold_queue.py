"""Requests that no backend can take now: the oldest in memory, the others in the broker's delay queues."""

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Final

from scheduler.dispatch.delay_index import DelayedRequest, DelayIndex
from scheduler.dispatch.hold_window import HoldWindow
from scheduler.effects import Delivery, Ownership, PendingEffects
from scheduler.feedback.retries import fit_delay
from scheduler.lifecycle import Lifecycle, PendingRequest
from straightline import names
from straightline.contracts import Request, Ticket
from straightline.messages.delays import delayed_message

HOLD_DELAYS_MS: Final = ((1_000, 1_000), (10_000, 5_000))
"""For each bound on the requests held in the broker: milliseconds until each of them is tried again."""
MAX_HOLD_DELAY_MS: Final = 30_000
"""Milliseconds above the last bound; it bounds how long a round through all of them takes."""
MAX_MEMORY_HOLD_S: Final = 60.0
"""Seconds in memory after which a request moves to the broker, well below its consumer timeout."""

Finish = Callable[[PendingRequest], None]


class HoldQueue:
    """Holds requests, and owns a reference to the delivery of each one in memory.

    Args:
        effects: receives the messages to the delay queues.
        lifecycle: records each hold.
        interactive: size of the window for interactive requests.
        batch: size of the window for batch requests.
    """

    def __init__(
        self, effects: PendingEffects, lifecycle: Lifecycle, *, interactive: int, batch: int
    ) -> None:
        self._effects = effects
        self._lifecycle = lifecycle
        self._delayed = DelayIndex()
        self._away: Counter[str] = Counter()  # by model: held in the broker, as far as known here
        self._windows = {"interactive": HoldWindow(interactive), "batch": HoldWindow(batch)}

    @property
    def in_memory(self) -> int:
        """Number of requests in memory."""
        return sum(map(len, self._windows.values()))

    @property
    def total(self) -> int:
        """Number of requests in memory and, as far as known, in the broker."""
        return self.in_memory + self._away.total()

    @property
    def batch_waits(self) -> bool:
        """Whether a batch request is in memory."""
        return bool(self._windows["batch"].held)

    def ahead_of(self, model: str) -> int:
        """Count the held interactive requests of a model, which a new one waits for."""
        return self._windows["interactive"].count(model) + self._away[model]

    def is_empty(self, class_: names.RequestClass) -> bool:
        """Whether no request of a class is in memory."""
        return not self._windows[class_].held

    def has_older(self, pending: PendingRequest) -> bool:
        """Whether a request in memory with the same hold key goes first."""
        return self._windows[pending.request.class_].older(pending)

    def any(self, which: Callable[[PendingRequest], bool]) -> bool:
        """Whether such a request is in memory."""
        return any(window.any(which) for window in self._windows.values())

    def in_order(self) -> Iterator[PendingRequest]:
        """Return the requests in memory, interactive ones first, each class oldest first."""
        for window in self._windows.values():
            yield from window.held

    def add(self, pending: PendingRequest, now: float) -> None:
        """Hold a request in memory; requests that exceed the window move to the broker."""
        pending.since = now
        pending.owned = self._effects.owning(pending.delivery)
        self._lifecycle.hold(pending.request, pending.ticket, now)
        for pushed_out in self._windows[pending.request.class_].add(pending):
            self._move_to_broker(pushed_out, now)

    def defer(self, request: Request, ticket: Ticket, delivery: Delivery, now: float) -> None:
        """Hold a request in the broker: it comes back after a delay."""
        self._lifecycle.hold(request, ticket, now)
        away = self._away.total()
        delay = next((delay for bound, delay in HOLD_DELAYS_MS if away < bound), MAX_HOLD_DELAY_MS)
        delay = fit_delay(delay, seconds=ticket.deadline - now) or names.DELAYS_MS[0]
        self._away[request.model] += 1
        self.delay(request, ticket, delivery, delay)

    def delay(self, request: Request, ticket: Ticket, delivery: Delivery, milliseconds: int) -> None:
        """Send a request to a delay queue."""
        self._delayed.add(request, ticket)
        self._effects.send(delayed_message(ticket, milliseconds), delivery)

    def on_return(self, request: Request, ticket: Ticket) -> None:
        """Note that a request came out of a delay queue."""
        self._delayed.take(request.id)
        if ticket.held_since is not None and self._away[request.model] > 0:
            self._away[request.model] -= 1

    def find_delayed(self, request_id: str) -> DelayedRequest | None:
        """Return the request in a delay queue with an id, without its data; None where it is not known."""
        return self._delayed.find(request_id)

    def take_delayed(self, request_id: str) -> DelayedRequest | None:
        """Forget and return what `find_delayed` returns; the message comes back all the same."""
        return self._delayed.take(request_id)

    def release(
        self, try_place: Callable[[PendingRequest], bool], urgent: Callable[[PendingRequest], bool]
    ) -> None:
        """Offer the requests in memory to `try_place`, oldest first.

        Args:
            try_place: returns whether the request is placed, or ended.
            urgent: whether a backend may refuse a request for its close deadline, and take others with the
                same hold key.
        """

        def placed(pending: PendingRequest) -> bool:
            if not try_place(pending):
                return False
            with _owned(pending):
                return True

        for window in self._windows.values():
            window.release(placed, lambda pending: (pending.hold_key, urgent(pending)))

    def take(self, which: Callable[[PendingRequest], bool], finish: Finish) -> int:
        """Take requests out of memory and pass each to `finish`; return their number."""
        taken = [pending for window in self._windows.values() for pending in window.drop(which)]
        for pending in taken:
            with _owned(pending):
                finish(pending)
        return len(taken)

    def move_long_holds(self, now: float) -> None:
        """Move requests that were long in memory to the broker, before its consumer timeout."""
        for window in self._windows.values():
            for pending in window.drop(lambda pending: now - pending.since > MAX_MEMORY_HOLD_S):
                self._move_to_broker(pending, now)

    def abandon(self) -> list[PendingRequest]:
        """Forget all requests without an acknowledgement: the broker delivers them again."""
        self._away.clear()
        self._delayed.clear()
        dropped = [pending for window in self._windows.values() for pending in window.drop(lambda _: True)]
        for pending in dropped:
            _owned(pending).abandon()
        return dropped

    def _move_to_broker(self, pending: PendingRequest, now: float) -> None:
        with _owned(pending):
            self.defer(pending.request, pending.ticket, pending.delivery, now)


def _owned(pending: PendingRequest) -> Ownership:
    if pending.owned is None:
        raise AssertionError("a held request owns no reference to its delivery")
    return pending.owned
