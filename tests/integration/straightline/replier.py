"""Answers requests on a real broker as the system would, for tests of the client."""

import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Final, Self

import msgspec
import pika

from straightline import names
from straightline.contracts import Outcome, Request, decode_request

Answer = Callable[[Request], Outcome]

PREFETCH: Final = 100
"""Requests that it has at once: all of these are answered before it stops."""
STOPPING: Final = 60.0
"""Seconds that it has to stop."""


def echo(request: Request) -> Outcome:
    """Succeed with the request's own data."""
    return Outcome(
        request_id=request.id,
        state="succeeded",
        finished_at=time.time(),
        model=request.model,
        result=request.data,
    )


class Replier:
    """Consumes a queue of requests and pushes what `answer` makes of each; `requests` keeps what it saw."""

    def __init__(self, url: str, answer: Answer = echo, queue: str = names.INTERACTIVE_QUEUE) -> None:
        self.requests: list[Request] = []
        self._answer = answer
        self._connection = pika.BlockingConnection(pika.URLParameters(url))
        self._channel = self._connection.channel()
        self._channel.basic_qos(prefetch_count=PREFETCH)
        self._channel.basic_consume(queue, self._on_request)
        self._thread = threading.Thread(target=self._channel.start_consuming, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.add_callback_threadsafe(self._channel.stop_consuming)
        self._thread.join(STOPPING)
        assert not self._thread.is_alive(), f"the replier has not stopped within {STOPPING:g} s"
        self._connection.close()  # only one thread may use it

    def _on_request(self, channel: Any, method: Any, properties: Any, body: bytes) -> None:
        request = decode_request(body, message_id=properties.message_id)
        self.requests.append(request)
        outcome = self._answer(request)  # which may note it: there is one whether or not anybody waits for it
        if properties.reply_to:
            channel.basic_publish(
                names.reply_exchange(properties.reply_to),
                properties.reply_to,
                msgspec.json.encode(outcome),
                pika.BasicProperties(correlation_id=properties.correlation_id, type=names.TYPE_OUTCOME),
            )
        channel.basic_ack(method.delivery_tag)
