"""The Celery adapter process: one relay for tasks and one for results, over one publisher."""

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
from straightline.support.event_log import EventLogger

log = EventLogger(__name__)

PREFETCH: Final = 64
"""Unacknowledged messages of each relay, of up to 16 MiB each."""
CONFIRM_TIMEOUT_S: Final = 86_400.0
"""A day: a blocked broker has the message, and publishing it again would duplicate it."""
UNBOUNDED: Final = 1 << 30
"""Publishing must never block the consuming threads; the prefetch limits what is in flight."""


class AdapterSettings(msgspec.Struct, frozen=True):
    """Settings of `python -m gateway celery`.

    Attributes:
        broker_url: `amqp://user:password@host:port/vhost` of a user that may write to the default exchange.
    """

    broker_url: str


def serve(settings: AdapterSettings) -> None:
    """Translate tasks and outcomes until SIGTERM or SIGINT; must run in the main thread."""
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
        log.info("process_started")
        serve_all(relays, lambda: _wait(stop))
    log.info("process_stopped")


def request_for(properties: Any, body: bytes) -> Outgoing:
    """Return the request for a task message, or a result that rejects the task.

    Raises:
        UnreadableMessage: the task is rejected and ignores results, or its reply_to is not a result queue.
    """
    task = task_of(properties)
    if task.reply_to is not None and not is_result_queue(task.reply_to):
        raise UnreadableMessage("its reply_to is not a Celery result queue")
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
    """Return the Celery result for a pushed outcome, whose correlation id is the result queue.

    Raises:
        UnreadableMessage: the body is not an outcome, or the correlation id is not a result queue.
    """
    try:
        outcome = decode(body, Outcome)
    except ContractError as error:
        raise UnreadableMessage(f"not an outcome: {error}") from error
    if not isinstance(properties.correlation_id, str) or not is_result_queue(properties.correlation_id):
        raise UnreadableMessage("its correlation id is not a Celery result queue")
    return result_of(outcome, properties.correlation_id)


def _settle_delivery(delivered: Future[None], sent: Future[None]) -> None:
    """Treat a result that the caller's queue rejects as delivered: its outcome is in the ledger."""
    error = sent.exception()
    if isinstance(error, Rejected):
        log.warning("celery_result_not_delivered", error=error)
    if error is None or isinstance(error, Rejected):
        delivered.set_result(None)
    else:
        delivered.set_exception(error)


def _wait(stop: threading.Event) -> None:
    while not stop.wait(0.2):  # an unbounded wait would block signal handlers
        pass
