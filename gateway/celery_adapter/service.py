"""The door as a process: two relays over one publisher, until a signal."""

import logging
import signal
import threading
import time
from concurrent.futures import Future
from functools import partial
from typing import Any, Final

import msgspec

from gateway.celery_adapter.results import is_result_queue, refusal, result_of
from gateway.celery_adapter.tasks import UnsupportedTask, request_of, task_of
from gateway.shared.relay import Relay, UnreadableMessage, serve_all
from straightline import names
from straightline.amqp import Outgoing, Publisher
from straightline.amqp.publishing.outgoing import invalid_reason as amqp_problem
from straightline.contracts import Outcome
from straightline.contracts.parsing.decoding import decode
from straightline.contracts.request import MAX_BODY_BYTES
from straightline.errors import ContractError, Rejected

log = logging.getLogger(__name__)

PREFETCH: Final = 64
"""Messages, of up to 16 MiB each, that are in memory at once."""
CONFIRM_TIMEOUT_S: Final = 86_400.0
"""Seconds: a blocked broker has what was written, and publishing it again would double it."""
UNBOUNDED: Final = 1 << 30
"""Publishing must never block the threads that read; what may be on its way is bounded by the prefetch."""


class AdapterSettings(msgspec.Struct, frozen=True):
    """What the door reads from the environment.

    Attributes:
        broker_url: `amqp://user:password@host:port/vhost`, of a user that may write the default exchange.
    """

    broker_url: str


def serve(settings: AdapterSettings) -> None:
    """Translate tasks and results until SIGTERM or SIGINT; must run in the main thread."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    publisher = Publisher(
        settings.broker_url,
        name="straightline-gateway-celery",
        confirm_timeout=CONFIRM_TIMEOUT_S,
        window=UNBOUNDED,
        window_bytes=UNBOUNDED,
        max_body=2 * MAX_BODY_BYTES,
    )

    def deliver(result: Outgoing) -> Future[None]:
        delivered: Future[None] = Future()
        publisher.publish(result).add_done_callback(partial(_settle_delivery, delivered))
        return delivered

    with publisher:
        relays = [
            Relay(settings.broker_url, names.CELERY_QUEUE, request_for, publisher.publish, prefetch=PREFETCH),
            Relay(settings.broker_url, names.CELERY_REPLIES_QUEUE, result_for, deliver, prefetch=PREFETCH),
        ]
        log.info("taking Celery's tasks")
        serve_all(relays, lambda: _wait(stop))
    log.info("stopped")


def request_for(properties: Any, body: bytes) -> Outgoing:
    """Return the request of a task message, or the result that refuses it.

    Raises:
        Unreadable: it is refused, and nobody waits for a result; or its result would go to another's queue.
    """
    task = task_of(properties)
    if task.reply_to is not None and not is_result_queue(task.reply_to):
        raise UnreadableMessage("the queue that it names for its result is none of Celery's")
    try:
        made = request_of(task, body, time.time())
        problem = amqp_problem(made)
        if problem is not None:
            raise UnsupportedTask(problem)
    except UnsupportedTask as why:
        if task.reply_to is None or task.id is None:
            raise UnreadableMessage(str(why)) from why
        return refusal(task.id, task.reply_to, str(why))
    return made


def result_for(properties: Any, body: bytes) -> Outgoing:
    """Return the Celery result of a pushed outcome; its correlation id is the caller's queue.

    Raises:
        Unreadable: it is no outcome.
    """
    try:
        outcome = decode(body, Outcome)
    except ContractError as error:
        raise UnreadableMessage(f"not an outcome: {error}") from error
    if not isinstance(properties.correlation_id, str) or not is_result_queue(properties.correlation_id):
        raise UnreadableMessage("it names no result queue of Celery's")
    return result_of(outcome, properties.correlation_id)


def _settle_delivery(delivered: Future[None], sent: Future[None]) -> None:
    """Count a result that its caller's queue refuses as delivered: its outcome stands in the ledger."""
    error = sent.exception()
    if isinstance(error, Rejected):
        log.warning("a result was not delivered: %s", error)
    if error is None or isinstance(error, Rejected):
        delivered.set_result(None)
    else:
        delivered.set_exception(error)


def _wait(stop: threading.Event) -> None:
    while not stop.wait(0.2):  # a plain wait would keep a signal's handler from running
        pass
