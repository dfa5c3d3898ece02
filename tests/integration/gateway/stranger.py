"""A scheduler that leads and knows of no request: it answers who asks where one is."""

import threading
from types import TracebackType
from typing import Any, Final, Self

import msgspec
import pika

from straightline import names
from straightline.contracts import StatusQuery, StatusReply

STOPPING: Final = 60.0
"""Seconds that it has to stop."""


class Stranger:
    """Answers every question that it does not know the request."""

    def __init__(self, url: str) -> None:
        self._connection = pika.BlockingConnection(pika.URLParameters(url))
        self._channel = self._connection.channel()
        queue = self._channel.queue_declare("", exclusive=True).method.queue
        self._channel.queue_bind(queue, names.QUESTIONS, names.QUESTION_KEY)
        self._channel.basic_consume(queue, self._on_question, auto_ack=True)
        self._thread = threading.Thread(target=self._channel.start_consuming, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.add_callback_threadsafe(self._channel.stop_consuming)
        self._thread.join(STOPPING)
        assert not self._thread.is_alive()
        self._connection.close()

    def _on_question(self, channel: Any, _method: Any, _properties: Any, body: bytes) -> None:
        question = msgspec.json.decode(body, type=StatusQuery)
        channel.basic_publish(
            names.REPLIES,
            question.reply_to,
            msgspec.json.encode(StatusReply(id=question.id)),
            pika.BasicProperties(correlation_id=question.correlation_id, type=names.TYPE_WHEREABOUTS),
        )
