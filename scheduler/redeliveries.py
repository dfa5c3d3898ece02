"""Which messages were taken up lately, so that one that comes again is not worked twice."""

from collections import OrderedDict
from typing import Literal

from scheduler.deliveries import Delivery
from straightline import names

Verdict = Literal["new", "again", "copy"]
Key = tuple[str, str | None, str]


class Redeliveries:
    """The last `size` messages, each with the delivery that stands for it.

    After a lost connection the broker delivers again what was not acknowledged. Where the work that the first
    delivery caused is still known here, doing it again would only duplicate it.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._taken: OrderedDict[Key, Delivery] = OrderedDict()

    def take(self, delivery: Delivery, subject: str) -> tuple[Verdict, Delivery]:
        """Judge a message before it is worked.

        Args:
            delivery: as it came.
            subject: the id of the request it is about, beside the message's own id: producers may give many
                messages the same one.

        Returns:
            `new`: work it. `again`: the broker delivers it again; the earlier delivery, which is returned,
            stands for both and has the tag that can be acknowledged now. `copy`: another copy of a message of
            ours, which was published twice since its confirm was lost; acknowledge it and do nothing. A
            producer's copy is new: it is a repeated request.
        """
        key = (delivery.queue, delivery.message_id, subject)
        earlier = self._taken.get(key)
        ours = delivery.queue not in names.REQUEST_QUEUES
        if earlier is not None and earlier.epoch != delivery.epoch and delivery.redelivered:
            earlier.epoch, earlier.tag = delivery.epoch, delivery.tag
            return "again", earlier
        if earlier is not None and ours:
            return "copy", earlier
        if earlier is None:
            self._taken[key] = delivery
            if len(self._taken) > self._size:
                self._taken.popitem(last=False)
        return "new", delivery

    def forget(self, delivery: Delivery, subject: str) -> None:
        """Its work is dropped: when it is delivered again it begins anew."""
        self._taken.pop((delivery.queue, delivery.message_id, subject), None)

    def disown(self, delivery: Delivery) -> None:
        """Forget every trace of a delivery whose work broke off."""
        for key in [key for key, taken in self._taken.items() if taken is delivery]:
            del self._taken[key]
