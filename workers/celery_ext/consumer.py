"""Celery's consumer, made to outlive what it cannot read.

As it stands, a message without a body to decode is acknowledged and lost, and some malformed ones stop the
worker, come back and stop the next. Here all of them go to the dead-letter queue, and no log repeats them.
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

logger = logging.getLogger(__name__)

EVENT_FLUSH_INTERVAL_S: Final = 0.25
"""Seconds that Flower may be behind."""
QUEUE_RETRY_INTERVAL_S: Final = 1.0
"""Seconds until a missing or forbidden queue is asked for again; Celery would ask ten times as often."""
RECONNECT_BACKOFF_S: Final = {"interval_start": 0.5, "interval_step": 0.5, "interval_max": 5.0}
"""Seconds between tries to connect. Celery's own go up to 30: after an outage of half a minute a pool would
stay away for as long again."""


class PoolConsumer(Consumer):
    """Rejects what is malformed, and neither gossips nor mingles.

    Pools do not talk with each other (the scheduler hears them all), so the events of all workers need not
    come to each, nor start-up wait for the others' greetings. Nor is Celery's delayed delivery declared: two
    dozen exchanges and queues that nobody here uses.
    """

    class Blueprint(Consumer.Blueprint):
        """The steps of Celery's consumer that a pool needs."""

        default_steps: ClassVar[list[str]] = [
            step for step in Consumer.Blueprint.default_steps if "delayed_delivery" not in step
        ]

    _flush_planned = False

    def __init__(self, *args: Any, worker_options: dict[str, Any] | None = None, **kwargs: Any) -> None:
        options = {**(worker_options or {}), "without_gossip": True, "without_mingle": True}
        super().__init__(*args, worker_options=options, **kwargs)
        (self._queue,) = self.app.amqp.queues.consume_from  # a worker drives one pool

    def ensure_connected(self, conn: Any) -> Any:
        """Connect, and try again as often as every other component of ours."""
        conn.ensure_connection = partial(conn.ensure_connection, **RECONNECT_BACKOFF_S)
        return super().ensure_connected(conn)

    def on_send_event_buffered(self) -> None:
        """Plan one flush of the events that tasks leave; Celery would publish them at every turn of its loop.

        Called by whatever thread sends an event. A third of a busy worker's time went into single events.
        """
        if self.hub and not self._flush_planned:
            self._flush_planned = True
            self.hub.call_soon(self.hub.call_later, EVENT_FLUSH_INTERVAL_S, self._flush_planned_events)

    def _flush_planned_events(self) -> None:
        self._flush_planned = False
        self._flush_events()

    def set_consuming(self, wanted: bool, told: Callable[[bool], None]) -> None:
        """Consume the pool's queue, or leave it to others' pools; called from any thread, again and again.

        Args:
            wanted: whether it is to be consumed, from now on and after a lost connection.
            told: called with the same when the broker knows.
        """
        self.call_soon(self._set_consuming, wanted, told)

    def _set_consuming(self, wanted: bool, told: Callable[[bool], None]) -> None:
        queues, consumer = self.app.amqp.queues, self.task_consumer
        if not wanted:
            queues.deselect(self._queue)
        elif self._queue not in queues.consume_from:
            queues.select_add(queues[self._queue])
        if consumer is None or self.blueprint.state != RUN:
            return  # the next connection begins with what is selected; a worker that stops begins nothing
        if wanted and not consumer.consuming_from(self._queue):
            consumer.add_queue(queues[self._queue])
            consumer.consume()
        elif not wanted and consumer.consuming_from(self._queue):
            consumer.cancel_by_queue(self._queue)
        told(wanted)

    def create_task_handler(self, *args: Any, **kwargs: Any) -> Callable[[Any], None]:
        """Return Celery's handler, kept from failing on a message; called once for each connection."""
        # What hung on the last one is rings of some hundred objects. Python looks for such when they are a
        # quarter of all objects: memory would grow over dozens of outages until then.
        gc.collect()
        inner = super().create_task_handler(*args, **kwargs)

        def on_task_received(message: Any) -> None:
            try:
                if not isinstance((message.headers or {}).get("task"), str):
                    raise InvalidTaskError("no task is named in its headers")
                inner(message)
            except (*self.connection_errors, *self.channel_errors):
                raise
            except Exception as error:  # noqa: BLE001 - whatever a message does to Celery, the worker lives on
                self.dead_letter(message, error)

        return on_task_received

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        """Let go of what hangs on the lost broker; say what mends it where the queue is not to be had."""
        dispatcher = self.event_dispatcher
        if dispatcher is not None and dispatcher.connection is not None:
            # Celery would say goodbye on it, and wait for an answer for ever where the other end is gone.
            dispatcher.connection.collect()
        super().on_connection_error_after_connected(exc)
        if isinstance(exc, (NotFound, AccessRefused)):
            logger.error(
                "the broker gives no queue (%s): declare it with `python -m broker_config`, or give the user "
                "the right to read it; trying again",
                exc.reply_text,
            )
            time.sleep(QUEUE_RETRY_INTERVAL_S)

    def on_decode_error(self, message: Any, exc: Exception) -> None:
        """Reject it; Celery would acknowledge it."""
        self.dead_letter(message, exc)

    def on_unknown_message(self, body: Any, message: Any) -> None:  # noqa: ARG002 - Celery's signature
        """Reject it without repeating it in the log."""
        self.dead_letter(message, InvalidTaskError("the form of the message is unknown"))

    def on_unknown_task(self, body: Any, message: Any, exc: Exception) -> None:  # noqa: ARG002
        """Reject it without repeating it in the log."""
        self.dead_letter(message, InvalidTaskError("the task is unknown here"))

    def on_invalid_task(self, body: Any, message: Any, exc: Exception) -> None:  # noqa: ARG002
        """Reject it without repeating it in the log."""
        self.dead_letter(message, exc)

    def dead_letter(self, message: Any, error: Exception) -> None:
        """Send a message to the dead-letter queue; one of remote control, which wants no answer, is lost."""
        done = message.acknowledged or _wants_no_answer(message)
        logger.error(
            "a message of %d bytes %s: %s: %s",
            len(message.body or b""),
            "is dropped" if done else "goes to the dead-letter queue",
            type(error).__name__,
            str(error)[:300],
        )
        if not done:
            message.reject_log_error(logger, self.connection_errors)


def _wants_no_answer(message: Any) -> bool:
    """Whether the broker takes no answer to this message, and closes the channel over one."""
    tags = message.channel.no_ack_consumers or ()
    return message.delivery_info.get("consumer_tag") in tags
