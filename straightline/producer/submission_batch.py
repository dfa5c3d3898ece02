"""The confirms and failures of the requests of one `submit_many`."""

import threading
from collections.abc import Callable
from functools import partial

from straightline.errors import BrokerUnavailable, PartlySubmitted, StraightLineError


class BatchTracker:
    """Counts the requests of one `submit_many` that were sent, confirmed and failed.

    The function that `add` returns may be called from another thread; all methods belong to the submitting
    thread.

    Args:
        when_settled: called once, after `closing`, when every request sent is confirmed or has failed; on the
            thread that settles the last one.
    """

    def __init__(self, when_settled: Callable[[], None] | None = None) -> None:
        self._ids: list[str | None] = []
        self._failures: dict[int, BaseException] = {}
        self._unavailable = False
        self._stopped_at: int | None = None
        self._sent = 0
        self._settled = 0
        self._lock = threading.Lock()
        self._closing = False
        self._done = threading.Event()
        self._when_settled = when_settled

    def add(self, identity: str) -> Callable[[BaseException | None], None]:
        """Add a request that is being sent; return the function to call with its result."""
        position = len(self._ids)
        self._ids.append(identity)
        self._sent += 1
        return partial(self._settle, position)

    def fail_last(self, error: StraightLineError) -> None:
        """Record that the request added last could not be sent; it keeps its id."""
        self._sent -= 1
        self._fail(len(self._ids) - 1, error)

    def skip(self, error: StraightLineError) -> None:
        """Add a request that is invalid and not sent."""
        self._ids.append(None)
        self._fail(len(self._ids) - 1, error)

    def stop_if_unavailable(self) -> bool:
        """Stop once the broker is unavailable; to be called after each request.

        Returns:
            Whether to stop consuming the input.
        """
        if self._unavailable and self._stopped_at is None:
            self._stopped_at = len(self._ids)
        return self._unavailable

    def closing(self) -> None:
        """Record that no more requests follow."""
        with self._lock:
            self._closing = True
            settled = self._settled == self._sent
        if settled:
            self._finish()

    def close(self) -> list[str]:
        """Wait for outstanding confirms and return the ids in order.

        Raises:
            PartlySubmitted: some requests failed.
        """
        self.closing()
        self._done.wait()
        return self.ids()

    def ids(self) -> list[str]:
        """Return the ids in order, once all requests are settled.

        Raises:
            PartlySubmitted: some requests failed.
        """
        if self._failures:
            raise self._error()
        return [identity for identity in self._ids if identity is not None]

    def _settle(self, position: int, error: BaseException | None) -> None:
        if error is not None:
            self._fail(position, error)
        with self._lock:
            self._settled += 1
            settled = self._closing and self._settled == self._sent
        if settled:
            self._finish()

    def _finish(self) -> None:
        self._done.set()
        if self._when_settled is not None:
            self._when_settled()

    def _fail(self, position: int, error: BaseException) -> None:
        self._failures[position] = error
        self._unavailable = self._unavailable or isinstance(error, BrokerUnavailable)

    def _error(self) -> BaseException:
        failures: dict[int, StraightLineError] = {}
        for position, failure in sorted(self._failures.items()):
            if not isinstance(failure, StraightLineError):
                return failure  # a bug must not be hidden
            failures[position] = failure
        first, error = next(iter(failures.items()))
        text = (
            f"{len(failures)} of {len(self._ids)} requests were not submitted; "
            f"the first is number {first}: {error}"
        )
        if self._stopped_at is not None:
            text += f". The broker is unavailable: nothing from number {self._stopped_at} on was sent"
        return PartlySubmitted(text, ids=self._ids, failures=failures, stopped_at=self._stopped_at)
