"""Messages waiting to be published, and messages published and not confirmed yet.

Source of the rules: RabbitMQ's "Consumer Acknowledgements and Publisher Confirms": on a channel in confirm
mode messages are numbered from 1 in the order they are published; a confirm names one tag, or with `multiple`
all tags up to it (0: all published); a message that no queue takes is returned before it is acked.
"""

from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")


class ConfirmTracker(Generic[T]):
    """Items in order, each waiting or published with a tag of the current channel.

    `put` may be called from any thread; all other methods belong to the thread that owns the channel.
    """

    def __init__(self) -> None:
        self._waiting: deque[tuple[float, T]] = deque()
        self._out: dict[int, tuple[float, T]] = {}
        self._returned: dict[int, str] = {}
        self._last = 0
        self._settled_to = 0  # no tag up to this one is unconfirmed

    def __len__(self) -> int:
        return len(self._waiting) + len(self._out)

    def put(self, item: T, expires_at: float) -> None:
        """Append an item; items must be put in the order in which they expire."""
        self._waiting.append((expires_at, item))

    def take(self) -> tuple[int, T] | None:
        """Return the next item to publish with its new tag, or None."""
        if not self._waiting:
            return None
        entry = self._waiting.popleft()
        self._last += 1
        self._out[self._last] = entry
        return self._last, entry[1]

    def untake(self, tag: int) -> None:
        """Drop the item taken last, which could not be written; the next item gets its tag."""
        if tag != self._last or self._out.pop(tag, None) is None:
            raise ValueError(f"tag {tag} is not the last one taken")
        self._last -= 1

    def returned(self, tag: int, why: str) -> None:
        """Record that no queue took the message; its confirm still follows."""
        if tag in self._out:
            self._returned[tag] = why

    def settle(self, tag: int, *, multiple: bool) -> list[tuple[T, str | None]]:
        """Remove and return the items that an ack or a nack confirms.

        Returns:
            The items in order, each with the reason why it was returned, or None. Tags that were confirmed
            before or have expired are skipped.
        """
        if not multiple:
            tags = range(tag, tag + 1)
        else:
            tags = range(self._settled_to + 1, min(tag or self._last, self._last) + 1)
            self._settled_to = max(self._settled_to, tags.stop - 1)
        settled = []
        for each in tags:
            entry = self._out.pop(each, None)
            if entry is not None:
                settled.append((entry[1], self._returned.pop(each, None) if self._returned else None))
        return settled

    def disconnected(self) -> None:
        """Put the unconfirmed items back in front, in order; the next channel counts from 1."""
        self._waiting.extendleft(reversed(self._out.values()))
        self._out.clear()
        self._returned.clear()
        self._last = self._settled_to = 0

    def out(self) -> list[tuple[int, T]]:
        """Return the unconfirmed items with their tags, in order."""
        return [(tag, item) for tag, (_, item) in self._out.items()]

    def expire(self, now: float) -> list[T]:
        """Remove and return the expired items, in order."""
        expired = []
        for tag in list(self._out):
            if self._out[tag][0] > now:
                break
            expired.append(self._out.pop(tag)[1])
            self._returned.pop(tag, None)
        while self._waiting and self._waiting[0][0] <= now:
            expired.append(self._waiting.popleft()[1])
        return expired

    def clear(self) -> list[T]:
        """Remove and return all items, in order."""
        return self.expire(float("inf"))
