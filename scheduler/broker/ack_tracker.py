"""Acknowledged deliveries of a channel, so that one frame can acknowledge many.

Source of the rules: AMQP 0-9-1, `basic.ack`. Tags count from 1 on each channel. `multiple` acknowledges all
tags up to the given one, which must itself be outstanding.
"""

from collections.abc import Iterable


class AckTracker:
    """Tracks which deliveries of one channel are acknowledged."""

    def __init__(self) -> None:
        self._up_to = 0  # this tag and all before it are acknowledged
        self._ahead: set[int] = set()  # acknowledged tags after a gap

    def add(self, tags: Iterable[int]) -> tuple[int | None, list[int]]:
        """Record that tags are acknowledged now.

        Args:
            tags: outstanding tags, in any order.

        Returns:
            The tag to acknowledge with `multiple`, or None; and the tags to acknowledge one by one.
        """
        prefix: int | None = None
        single: list[int] = []
        for tag in sorted(tags):
            while self._up_to + 1 in self._ahead:
                self._up_to += 1
                self._ahead.remove(self._up_to)
            if tag == self._up_to + 1:
                self._up_to = prefix = tag
            else:
                self._ahead.add(tag)
                single.append(tag)
        return prefix, single
