"""What is to be published and what the broker has not answered yet; no I/O.

Source of the rules: RabbitMQ's "Consumer Acknowledgements and Publisher Confirms": on a channel in confirm
mode messages are numbered from 1 in the order they are published; an answer names one tag, or with `multiple`
all up to it (0: all that are out); a message that no queue took is returned before it is acked.
"""

from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")


class ConfirmTracker(Generic[T]):
    """Items in order, each waiting or out under a tag of the present channel.

    `put` may be called from any thread; all else belongs to the thread that owns the channel.
    """

    def __init__(self) -> None:
        self._waiting: deque[tuple[float, T]] = deque()
        self._out: dict[int, tuple[float, T]] = {}
        self._returned: dict[int, str] = {}
        self._last = 0
        self._settled_to = 0  # no tag up to this one is out

    def __len__(self) -> int:
        return len(self._waiting) + len(self._out)

    @property
    def waiting(self) -> int:
        """How many items have not been written to the present channel."""
        return len(self._waiting)

    def put(self, item: T, expires_at: float) -> None:
        """Add an item at the end; items are to be put in the order in which they expire."""
        self._waiting.append((expires_at, item))

    def take(self) -> tuple[int, T] | None:
        """Return the next item to publish and the tag it has from now on, or None where none waits."""
        if not self._waiting:
            return None
        entry = self._waiting.popleft()
        self._last += 1
        self._out[self._last] = entry
        return self._last, entry[1]

    def untake(self, tag: int) -> None:
        """Forget the item last taken, which could not be written: its tag goes to the next one."""
        if tag != self._last or self._out.pop(tag, None) is None:
            raise ValueError(f"tag {tag} is not the last one taken")
        self._last -= 1

    def returned(self, tag: int, why: str) -> None:
        """Note that no queue took the message; its confirm is still to come."""
        if tag in self._out:
            self._returned[tag] = why

    def settle(self, tag: int, *, multiple: bool) -> list[tuple[T, str | None]]:
        """Remove what an ack or a nack answers.

        Returns:
            Each item in order, with the reason why it was returned, or None where it was not. Tags that are
            not out (answered before, or expired) bring nothing.
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
        """Put what is unanswered before what waits, in its order; the next channel counts from 1."""
        self._waiting.extendleft(reversed(self._out.values()))
        self._out.clear()
        self._returned.clear()
        self._last = self._settled_to = 0

    def out(self) -> list[tuple[int, T]]:
        """Return what is out, with its tags, in order."""
        return [(tag, item) for tag, (_, item) in self._out.items()]

    def expire(self, now: float) -> list[T]:
        """Remove and return the items whose time is over, in order."""
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
        """Remove and return everything, in order."""
        return self.expire(float("inf"))
