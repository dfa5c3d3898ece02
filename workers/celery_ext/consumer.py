"""Celery's consumer, hardened against malformed messages.

Celery acknowledges and so loses a message whose body it cannot decode, and some malformed messages stop the
worker, are redelivered and stop the next. Here all of them are dead-lettered, and no log repeats their
content.
"""

import gc
import logging
import time
from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar, Final

from amqp.exceptions import AccessRefused, NotFound
from celery.bootsteps import RUN
from celery.exceptions import InvalidTaskError
from celery.worker.consumer import Consumer

from straightline.support.event_log import EventLogger

logger = EventLogger(__name__)

EVENT_FLUSH_INTERVAL_S: Final = 0.25
"""How far Flower may lag behind."""
QUEUE_RETRY_INTERVAL_S: Final = 1.0
"""Delay before a missing or forbidden queue is tried again; Celery would try ten times as often."""
RECONNECT_BACKOFF_S: Final = {"interval_start": 0.5, "interval_step": 0.5, "interval_max": 5.0}
"""Delays between tries to connect. Celery's grow up to 30 s: after an outage of half a minute a pool would
stay disconnected for as long again."""


class PoolConsumer(Consumer):
    """Rejects malformed messages, and runs without gossip, mingle and delayed delivery.

    Pools coordinate through the scheduler: no worker needs the events of the others or has to wait for their
    replies at start-up. Celery's delayed delivery would declare two dozen exchanges and queues without a use.
    """

    class Blueprint(Consumer.Blueprint):
        """The steps of Celery's consumer that a pool needs."""

        default_steps: ClassVar[list[str]] = [
            step for step in Consumer.Blueprint.default_steps if "delayed_delivery" not in step
        ]

    _flush_scheduled = False

    def __init__(self, *args: Any, worker_options: dict[str, Any] | None = None, **kwargs: Any) -> None:
        options = {**(worker_options or {}), "without_gossip": True, "without_mingle": True}
        super().__init__(*args, worker_options=options, **kwargs)
        (self._queue,) = self.app.amqp.queues.consume_from  # a worker drives one pool

    def ensure_connected(self, conn: Any) -> Any:
        """Connect, with the backoff of the system's other components."""
        conn.ensure_connection = partial(conn.ensure_connection, **RECONNECT_BACKOFF_S)
        return super().ensure_connected(conn)

    def on_send_event_buffered(self) -> None:
        """Schedule one flush of the buffered events; Celery would publish them in each turn of its loop.

        Called from any thread. Publishing single events took a third of a busy worker's time.
        """
        if self.hub and not self._flush_scheduled:
            self._flush_scheduled = True
            self.hub.call_soon(self.hub.call_later, EVENT_FLUSH_INTERVAL_S, self._flush_scheduled_events)

    def _flush_scheduled_events(self) -> None:
        self._flush_scheduled = False
        self._flush_events()

    def set_consuming(self, wanted: bool, on_changed: Callable[[bool], None]) -> None:
        """Start or stop consuming the pool's queue; idempotent, may be called from any thread.

        Args:
            wanted: whether to consume it, now and after a reconnect.
            on_changed: called with `wanted` once the broker has confirmed.
        """
        self.call_soon(self._set_consuming, wanted, on_changed)

    def _set_consuming(self, wanted: bool, on_changed: Callable[[bool], None]) -> None:
        queues, consumer = self.app.amqp.queues, self.task_consumer
        if not wanted:
            queues.deselect(self._queue)
        elif self._queue not in queues.consume_from:
            queues.select_add(queues[self._queue])
        if consumer is None or self.blueprint.state != RUN:
            return  # the next connection consumes the selected queues; a stopping worker consumes none
        if wanted and not consumer.consuming_from(self._queue):
            consumer.add_queue(queues[self._queue])
            consumer.consume()
        elif not wanted and consumer.consuming_from(self._queue):
            consumer.cancel_by_queue(self._queue)
        on_changed(wanted)

    def create_task_handler(self, *args: Any, **kwargs: Any) -> Callable[[Any], None]:
        """Return Celery's handler, guarded against malformed messages; called once for each connection."""
        # The last connection leaves reference cycles of some hundred objects. Python collects old ones only
        # once they are a quarter of all objects: memory would grow over dozens of outages until then.
        gc.collect()
        inner = super().create_task_handler(*args, **kwargs)

        def on_task_received(message: Any) -> None:
            try:
                if not isinstance((message.headers or {}).get("task"), str):
                    raise InvalidTaskError("its headers name no task")
                inner(message)
            except (*self.connection_errors, *self.channel_errors):
                raise
            except Exception as error:  # noqa: BLE001 - no message may stop the worker
                self.dead_letter(message, error)

        return on_task_received

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        """Drop the lost connection's resources; for a missing or forbidden queue, log the remedy."""
        dispatcher = self.event_dispatcher
        if dispatcher is not None and dispatcher.connection is not None:
            # Celery would close it properly, and wait forever for an answer if the peer is gone.
            dispatcher.connection.collect()
        super().on_connection_error_after_connected(exc)
        if isinstance(exc, (NotFound, AccessRefused)):
            logger.error("queue_not_consumed", error=exc.reply_text, retry_in_s=QUEUE_RETRY_INTERVAL_S)
            time.sleep(QUEUE_RETRY_INTERVAL_S)

    def on_decode_error(self, message: Any, exc: Exception) -> None:
        """Dead-letter the message; Celery would acknowledge it."""
        self.dead_letter(message, exc)

    def on_unknown_message(self, body: Any, message: Any) -> None:  # noqa: ARG002 - Celery's signature
        """Dead-letter the message without repeating it in the log."""
        self.dead_letter(message, InvalidTaskError("it is not a Celery task message"))

    def on_unknown_task(self, body: Any, message: Any, exc: Exception) -> None:  # noqa: ARG002
        """Dead-letter the message without repeating it in the log."""
        self.dead_letter(message, InvalidTaskError("its task is unknown"))

    def on_invalid_task(self, body: Any, message: Any, exc: Exception) -> None:  # noqa: ARG002
        """Dead-letter the message without repeating it in the log."""
        self.dead_letter(message, exc)

    def dead_letter(self, message: Any, error: Exception) -> None:
        """Dead-letter a message; drop one of remote control, which is consumed without acknowledgement."""
        done = message.acknowledged or _is_no_ack(message)
        logger.error(
            "message_unusable",
            size_bytes=len(message.body or b""),
            dropped=done,
            error=f"{type(error).__name__}: {error}",
        )
        if not done:
            message.reject_log_error(logging.getLogger("kombu"), self.connection_errors)


def _is_no_ack(message: Any) -> bool:
    """Return whether the message must not be acknowledged: the broker would close the channel."""
    tags = message.channel.no_ack_consumers or ()
    return message.delivery_info.get("consumer_tag") in tags
