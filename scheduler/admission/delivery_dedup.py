"""Which messages were taken up lately, so that one that comes again is not worked twice."""

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
"""Messages in work that are looked at when one comes in: no more than twice as many as are open are kept."""
_PRODUCER_QUEUES: Final = (*names.REQUEST_QUEUES, names.CANCELS_QUEUE)
"""Queues of what producers send: not all of them give each message an id of its own."""


class DeliveryDeduplicator:
    """The last `size` messages, each with the delivery that stands for it.

    After a lost connection the broker delivers again what was not acknowledged. Where the work that the first
    delivery caused is still known here, doing it again would only duplicate it.

    Of a message that is in work its delivery is kept. Of one that is done there is no more to know than that,
    and which connection brought it: 12 bytes, allotted at the start.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._in_work: OrderedDict[Key, Delivery] = OrderedDict()
        self._done = FixedSizeKeyCache(size, width=8)
        self._epochs = array("i", [-1]) * self._done.slots

    def take(self, delivery: Delivery, subject: str) -> tuple[Verdict, Delivery]:
        """Judge a message before it is worked.

        Args:
            delivery: as it came.
            subject: the id of the request it is about, beside the message's own id: producers may give many
                messages the same one.

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
        # Nothing done speaks against a producer's message that was not delivered before.
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
        """Its work is dropped: when it is delivered again it begins anew."""
        self._in_work.pop((delivery.queue, delivery.message_id, subject), None)

    def disown(self, delivery: Delivery) -> None:
        """Forget every trace of a delivery whose work broke off."""
        for key in [key for key, taken in self._in_work.items() if taken is delivery]:
            del self._in_work[key]

    def _sweep(self) -> None:
        """Of what is done keep the key alone; what was taken before now has been worked as far as it goes."""
        for _ in range(min(SWEEPS_PER_DELIVERY, len(self._in_work))):
            key, delivery = self._in_work.popitem(last=False)
            if delivery.pending:
                self._in_work[key] = delivery  # behind the others, so that these are looked at, too
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
    """64 bits of a keyed hash: by chance one of 10^14 messages is taken for another, by intent none."""
    return _PACK(hash(key))
