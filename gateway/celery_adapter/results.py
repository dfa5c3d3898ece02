"""From an outcome to a result as Celery's `rpc://` backend reads it. Pure.

Source of the format: Celery's result messages (`task_id`, `status`, `result`, `traceback`, `children`) and
exceptions in them (`exc_type`, `exc_message`, `exc_module`), of which the caller's Celery makes a class.
"""

from typing import Any, Final

import msgspec

from straightline.amqp.publishing.outgoing import Outgoing
from straightline.contracts import Outcome
from straightline.ids import canonical
from straightline.names import State

DEFAULT_EXCHANGE: Final = ""
"""Celery's reply queues hang on it alone: the key is the queue's name."""

EXCEPTIONS: Final[dict[State, tuple[str, str | None]]] = {
    "failed": ("RequestFailed", None),
    "rejected": ("RequestRejected", None),
    "expired": ("RequestExpired", None),
    "cancelled": ("TaskRevokedError", "celery.exceptions"),
}
"""For each state, the exception's type and module that the caller sees; without a module Celery makes one."""


def is_result_queue(name: str) -> bool:
    """Whether a queue can be one of results: Celery names them by a UUID, and no other queue has such a name.

    The default exchange reaches every queue of the virtual host, so a caller's word is not enough.
    """
    return canonical(name) == name


def result_of(outcome: Outcome, reply_to: str) -> Outgoing:
    """Return the result message of a request that has ended.

    Args:
        outcome: its end.
        reply_to: the caller's result queue.
    """
    if outcome.state == "succeeded":
        value: Any = outcome.result if outcome.result_ref is None else {"result_ref": outcome.result_ref}
        return _message(outcome.request_id, reply_to, "SUCCESS", value)
    kind, module = EXCEPTIONS[outcome.state]
    status = "REVOKED" if outcome.state == "cancelled" else "FAILURE"
    words = outcome.error or outcome.state
    return _message(outcome.request_id, reply_to, status, _error(kind, module, words, outcome.error_class))


def refusal(task_id: str, reply_to: str, why: str) -> Outgoing:
    """Return the result message of a task that never became a request."""
    kind, module = EXCEPTIONS["rejected"]
    return _message(task_id, reply_to, "FAILURE", _error(kind, module, why, "unsupported"))


def _error(kind: str, module: str | None, words: str, error_class: str | None) -> dict[str, Any]:
    said = f"{error_class}: {words}" if error_class else words
    return {"exc_type": kind, "exc_message": [said], "exc_module": module}


def _message(task_id: str, reply_to: str, status: str, value: Any) -> Outgoing:
    body = {"task_id": task_id, "status": status, "result": value, "traceback": None, "children": []}
    return Outgoing(
        exchange=DEFAULT_EXCHANGE,
        routing_key=reply_to,
        body=msgspec.json.encode(body),
        correlation_id=task_id,
        persistent=False,  # the queue lives as long as the caller
        mandatory=False,  # the caller may be gone; the outcome stands in the ledger
    )
