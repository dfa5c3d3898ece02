"""Keeping account of many requests of which each is confirmed or fails by itself."""

from collections import deque
from concurrent.futures import Future

from straightline.errors import BrokerUnavailable, PartlySubmitted, StraightLineError


class Account:
    """Which requests were sent, confirmed, refused. Not thread-safe: it serves one call of `submit_many`."""

    def __init__(self) -> None:
        self._ids: list[str | None] = []
        self._failures: dict[int, StraightLineError] = {}
        self._open: deque[tuple[int, Future[None]]] = deque()
        self._gone = False
        self._stopped_at: int | None = None

    def sent(self, identity: str, confirmed: Future[None]) -> None:
        """Note the next request, which is on its way; settles those before it that are done."""
        self._open.append((len(self._ids), confirmed))
        self._ids.append(identity)
        while self._open and self._open[0][1].done():
            self._collect()

    def refused(self, error: StraightLineError) -> None:
        """Note the next request, which was not sent."""
        self._fail(len(self._ids), error)
        self._ids.append(None)

    def stop_if_gone(self) -> bool:
        """Stop where a request was not confirmed in time; to be asked after each request.

        Returns:
            Whether no more is to be taken from the input.
        """
        if self._gone and self._stopped_at is None:
            self._stopped_at = len(self._ids)
        return self._gone

    def close(self) -> list[str]:
        """Wait for what is open and return the ids in order.

        Raises:
            PartlySubmitted: there were failures.
        """
        while self._open:
            self._collect()
        if self._failures:
            raise self._error()
        return [identity for identity in self._ids if identity is not None]

    def _collect(self) -> None:
        position, confirmed = self._open.popleft()
        error = confirmed.exception()
        if isinstance(error, StraightLineError):
            self._fail(position, error)
        elif error is not None:
            raise error

    def _fail(self, position: int, error: StraightLineError) -> None:
        self._failures[position] = error
        self._gone = self._gone or isinstance(error, BrokerUnavailable)

    def _error(self) -> PartlySubmitted:
        failures = dict(sorted(self._failures.items()))
        first, error = next(iter(failures.items()))
        text = (
            f"{len(failures)} of {len(self._ids)} requests were not submitted; "
            f"the first of them is number {first}: {error}"
        )
        if self._stopped_at is not None:
            text += f". The broker is gone: nothing from number {self._stopped_at} on was sent"
        return PartlySubmitted(text, ids=self._ids, failures=failures, stopped_at=self._stopped_at)
