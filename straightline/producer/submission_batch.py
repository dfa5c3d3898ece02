"""Keeping account of many requests of which each is confirmed or fails by itself."""

import threading
from collections.abc import Callable
from functools import partial

from straightline.errors import BrokerUnavailable, PartlySubmitted, StraightLineError


class BatchTracker:
    """Which requests were sent, confirmed, refused. It serves one call of `submit_many`.

    What `sent` returns may be called from another thread; all else belongs to the thread that submits.

    Args:
        when_settled: called once, after `closing`, when every request that was sent is confirmed or has
            failed; on the thread that settles the last one.
    """

    def __init__(self, when_settled: Callable[[], None] | None = None) -> None:
        self._ids: list[str | None] = []
        self._failures: dict[int, BaseException] = {}
        self._gone = False
        self._stopped_at: int | None = None
        self._sent = 0
        self._settled = 0
        self._lock = threading.Lock()
        self._closing = False
        self._done = threading.Event()
        self._when_settled = when_settled

    def sent(self, identity: str) -> Callable[[BaseException | None], None]:
        """Note the next request, which goes on its way; return what is to be called with its fate."""
        position = len(self._ids)
        self._ids.append(identity)
        self._sent += 1
        return partial(self._settle, position)

    def unsent(self, error: StraightLineError) -> None:
        """Note that the last request that was noted as sent could not be; it keeps its id."""
        self._sent -= 1
        self._fail(len(self._ids) - 1, error)

    def refused(self, error: StraightLineError) -> None:
        """Note the next request, which is wrong."""
        self._ids.append(None)
        self._fail(len(self._ids) - 1, error)

    def stop_if_gone(self) -> bool:
        """Stop where a request was not confirmed in time; to be asked after each request.

        Returns:
            Whether no more is to be taken from the input.
        """
        if self._gone and self._stopped_at is None:
            self._stopped_at = len(self._ids)
        return self._gone

    def closing(self) -> None:
        """Note that no more will be sent."""
        with self._lock:
            self._closing = True
            settled = self._settled == self._sent
        if settled:
            self._finish()

    def close(self) -> list[str]:
        """Wait for what is open and return the ids in order.

        Raises:
            PartlySubmitted: there were failures.
        """
        self.closing()
        self._done.wait()
        return self.ids()

    def ids(self) -> list[str]:
        """Return the ids in order, once all is settled.

        Raises:
            PartlySubmitted: there were failures.
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
        self._gone = self._gone or isinstance(error, BrokerUnavailable)

    def _error(self) -> BaseException:
        failures: dict[int, StraightLineError] = {}
        for position, failure in sorted(self._failures.items()):
            if not isinstance(failure, StraightLineError):
                return failure  # a fault of ours: it is not to be hidden
            failures[position] = failure
        first, error = next(iter(failures.items()))
        text = (
            f"{len(failures)} of {len(self._ids)} requests were not submitted; "
            f"the first of them is number {first}: {error}"
        )
        if self._stopped_at is not None:
            text += f". The broker is gone: nothing from number {self._stopped_at} on was sent"
        return PartlySubmitted(text, ids=self._ids, failures=failures, stopped_at=self._stopped_at)
