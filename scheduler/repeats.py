"""Which ids were seen lately, so that a repeated one gets its first outcome instead of another run."""

from collections import OrderedDict
from dataclasses import dataclass

from scheduler.deliveries import Delivery


@dataclass(slots=True)
class Seen:
    """What is remembered of an id: its content, whether it has ended, and what it was last read from."""

    digest: str
    delivery: Delivery
    ended: bool = False


class Repeats:
    """The ids of the last `size` requests; for older ones the ledger's key keeps their outcome one."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._seen: OrderedDict[str, Seen] = OrderedDict()

    def find(self, request_id: str) -> Seen | None:
        """Return what is remembered of an id."""
        return self._seen.get(request_id)

    def remember(self, request_id: str, digest: str, delivery: Delivery) -> None:
        """Note an id, or the message that it came back with."""
        seen = self._seen.get(request_id)
        if seen is None:
            self._seen[request_id] = Seen(digest, delivery)
            if len(self._seen) > self._size:
                self._seen.popitem(last=False)
        else:
            seen.delivery = delivery

    def end(self, request_id: str) -> None:
        """Note that the request has its outcome."""
        seen = self._seen.get(request_id)
        if seen is not None:
            seen.ended = True

    def forget(self, request_id: str) -> None:
        """Know nothing of an id any more: its message will be delivered again and begins anew."""
        self._seen.pop(request_id, None)

    def resume(self, request_id: str, delivery: Delivery) -> Delivery | None:
        """Recognise a redelivery of a message that was already taken up.

        After a lost connection the broker delivers again what was not acknowledged. Where the work that the
        first delivery caused is still known here, doing it again would only duplicate it: the delivery that
        is returned stands for both, and has the tag that can be acknowledged now.

        Returns:
            The earlier delivery, or None where this message is new here.
        """
        seen = self._seen.get(request_id)
        if (
            seen is None
            or not delivery.redelivered
            or delivery.message_id is None
            or (seen.delivery.queue, seen.delivery.message_id) != (delivery.queue, delivery.message_id)
        ):
            return None
        seen.delivery.epoch, seen.delivery.tag = delivery.epoch, delivery.tag
        return seen.delivery
