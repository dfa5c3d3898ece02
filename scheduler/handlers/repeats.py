"""Answers a repeated id with its first outcome, by a recall that the recorder resolves."""

from scheduler.dispatch.hold_queue import MAX_MEMORY_HOLD_S
from scheduler.effects import Delivery
from scheduler.handlers.shared import Shared
from straightline import names
from straightline.contracts import Recall, ReplyAddress
from straightline.messages.delays import delayed_message
from straightline.messages.ledger import recall_message

MAX_RECALL_WAIT_S = MAX_MEMORY_HOLD_S
"""Seconds that a recall waits for the first outcome before the recorder decides."""


class RepeatHandler:
    """Sends recalls now, or later while the first outcome is not known."""

    def __init__(self, shared: Shared) -> None:
        self._effects = shared.effects
        self._idempotency = shared.idempotency

    def replay_if_repeated(
        self, delivery: Delivery, request_id: str, digest: str, reply: ReplyAddress | None, now: float
    ) -> bool:
        """Answer an id that was seen before; return False where it is new.

        The same id with other content is a conflict, which is answered at once.
        """
        seen = self._idempotency.find(request_id)
        if seen is None:
            return False
        conflict = not seen.matches(digest)
        recall = Recall(request_id=request_id, digest=digest, conflict=conflict, seen_at=now, reply=reply)
        self._send(delivery, recall, ready=seen.ended or conflict)
        return True

    def replay_unreadable(
        self, delivery: Delivery, request_id: str, digest: str, reply: ReplyAddress | None, now: float
    ) -> bool:
        """Answer an unreadable message whose id was seen before; return False where the id is new."""
        seen = self._idempotency.find(request_id)
        if seen is None:
            return False
        conflict = not seen.matches(digest)
        recall = Recall(request_id=request_id, digest=digest, conflict=conflict, seen_at=now, reply=reply)
        self._send(delivery, recall, ready=True)
        return True

    def resume(self, delivery: Delivery, recall: Recall, now: float) -> None:
        """Send a recall that comes back from a delay queue, or delay it again."""
        seen = self._idempotency.find(recall.request_id)
        waits = seen is not None and not seen.ended and now - recall.seen_at < MAX_RECALL_WAIT_S
        self._send(delivery, recall, ready=not waits)

    def _send(self, delivery: Delivery, recall: Recall, *, ready: bool) -> None:
        outgoing = recall_message(recall) if ready else delayed_message(recall, names.DELAYS_MS[0])
        self._effects.send(outgoing, delivery)
