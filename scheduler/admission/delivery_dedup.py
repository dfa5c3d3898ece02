"""Messages seen lately: a redelivery or a duplicate is not processed twice."""

from array import array
from collections import OrderedDict
from struct import Struct
from typing import Final, Literal

from scheduler.admission.recent_keys import FixedSizeKeyCache
from scheduler.effects import Delivery
from straightline import names

Verdict = Literal["new", "redelivered", "duplicate"]
Key = tuple[str, str | None, str]
_PACK: Final = Struct("q").pack
SWEEPS_PER_DELIVERY: Final = 2
"""Messages in work that each new one checks for completion; at most twice the open ones are kept."""
_PRODUCER_QUEUES: Final = (*names.REQUEST_QUEUES, names.CANCELS_QUEUE)
"""Queues that producers feed; some producers give several messages the same id."""


class DeliveryDeduplicator:
    """The last `size` messages, each with the delivery that represents it.

    After a lost connection the broker redelivers unacknowledged messages. Where the work of the first
    delivery is still known here, repeating it would only duplicate it. For a message in work the delivery is
    kept; for a finished one 12 bytes, allocated at the start: a hash and the connection that brought it.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._in_work: OrderedDict[Key, Delivery] = OrderedDict()
        self._done = FixedSizeKeyCache(size, width=8)
        self._epochs = array("i", [-1]) * self._done.slots

    def take(self, delivery: Delivery, subject: str) -> tuple[Verdict, Delivery]:
        """Classify a message before it is processed.

        Args:
            delivery: the new delivery.
            subject: id of its request. Producers may give several messages the same message id.

        Returns:
            `new`: process it. `redelivered`: the broker delivers it again; the earlier delivery, which is
            returned, represents both and has the tag that can be acknowledged now. `duplicate`: another copy
            of a message of ours, published twice because its confirm was lost; acknowledge it and do nothing.
            A producer's copy is new: a repeated request, or a cancellation that needs another answer.
        """
        self._sweep()
        key = (delivery.queue, delivery.message_id, subject)
        earlier = self._in_work.get(key)
        if earlier is not None:
            return _compared(delivery, earlier)
        # A producer's message that was not delivered before is new, whatever is finished.
        ours = delivery.queue not in _PRODUCER_QUEUES
        slot = self._done.find(_packed(key)) if ours or delivery.redelivered else None
        if slot is not None:
            verdict, earlier = _compared(delivery, Delivery(delivery.queue, self._epochs[slot], tag=0))
            self._epochs[slot] = earlier.epoch
            return verdict, earlier
        self._in_work[key] = delivery
        if len(self._in_work) > self._size:
            self._in_work.popitem(last=False)
        return "new", delivery

    def forget(self, delivery: Delivery, subject: str) -> None:
        """Forget a message whose work was dropped: its redelivery is new."""
        self._in_work.pop((delivery.queue, delivery.message_id, subject), None)

    def disown(self, delivery: Delivery) -> None:
        """Forget a delivery whose processing failed."""
        for key in [key for key, taken in self._in_work.items() if taken is delivery]:
            del self._in_work[key]

    def _sweep(self) -> None:
        """Reduce finished messages to their key."""
        for _ in range(min(SWEEPS_PER_DELIVERY, len(self._in_work))):
            key, delivery = self._in_work.popitem(last=False)
            if delivery.pending:
                self._in_work[key] = delivery  # behind the others, so that these are checked, too
            else:
                self._epochs[self._done.add(_packed(key))] = delivery.epoch


def _compared(delivery: Delivery, earlier: Delivery) -> tuple[Verdict, Delivery]:
    if earlier.epoch != delivery.epoch and delivery.redelivered:
        earlier.epoch, earlier.tag = delivery.epoch, delivery.tag
        return "redelivered", earlier
    if delivery.queue not in _PRODUCER_QUEUES:
        return "duplicate", earlier
    return "new", delivery


def _packed(key: Key) -> bytes:
    """Return 64 bits of a keyed hash: one message in 10^14 collides by chance, none by intent."""
    return _PACK(hash(key))
