"""A pika connection that can join many small writes into one (as TCP_CORK does)."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from straightline.amqp.connection.tolerant_connection import TolerantConnection

MAX_WRITE_BYTES: Final = 256 * 1024


class CorkedConnection(TolerantConnection):
    """Sends everything published inside `corked()` with one write.

    pika writes every frame separately: three system calls a message, each of which releases the interpreter
    lock, which a busy thread then keeps for its whole switch interval. Overrides `_adapter_emit_data`, a
    private hook of pika; should pika rename it, writes become small again but stay correct.
    """

    _cork: list[bytes] | None = None
    _corked_bytes = 0

    @contextmanager
    def corked(self) -> Iterator[None]:
        """Buffer writes until the block ends, or `MAX_WRITE_BYTES` are buffered."""
        self._cork = []
        try:
            yield
        finally:
            pieces, self._cork, self._corked_bytes = self._cork, None, 0
            if pieces:
                super()._adapter_emit_data(b"".join(pieces))

    def _adapter_emit_data(self, data: bytes) -> None:
        if self._cork is None:
            super()._adapter_emit_data(data)
            return
        self._cork.append(data)
        self._corked_bytes += len(data)
        if self._corked_bytes > MAX_WRITE_BYTES:
            joined = b"".join(self._cork)
            self._cork.clear()
            self._corked_bytes = 0
            super()._adapter_emit_data(joined)
