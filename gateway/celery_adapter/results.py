"""Results for Celery's `rpc://` backend, made from outcomes.

Source of the format: Celery's result messages (`task_id`, `status`, `result`, `traceback`, `children`) and
exceptions (`exc_type`, `exc_message`, `exc_module`), from which the caller's Celery creates a class.
"""

from typing import Any, Final

import msgspec

from straightline.amqp.publishing.outgoing import Outgoing
from straightline.contracts import Outcome
from straightline.ids import canonical
from straightline.names import State

DEFAULT_EXCHANGE: Final = ""
"""The only exchange that reaches Celery's reply queues; the key is the name of the queue."""

EXCEPTIONS: Final[dict[State, tuple[str, str | None]]] = {
    "failed": ("RequestFailed", None),
    "rejected": ("RequestRejected", None),
    "expired": ("RequestExpired", None),
    "cancelled": ("TaskRevokedError", "celery.exceptions"),
}
"""Type and module of the exception for each state; without a module Celery creates one."""


def is_result_queue(name: str) -> bool:
    """Return whether a queue can be a Celery result queue: only those have a UUID as their name.

    The default exchange reaches every queue of the virtual host, so the name that a caller sends is checked.
    """
    return canonical(name) == name


def result_of(outcome: Outcome, reply_to: str) -> Outgoing:
    """Return the result message of a request that has ended.

    Args:
        outcome: outcome of the request.
        reply_to: result queue of the caller.
    """
    if outcome.state == "succeeded":
        value: Any = outcome.result if outcome.result_ref is None else {"result_ref": outcome.result_ref}
        return _message(outcome.request_id, reply_to, "SUCCESS", value)
    kind, module = EXCEPTIONS[outcome.state]
    status = "REVOKED" if outcome.state == "cancelled" else "FAILURE"
    words = outcome.error or outcome.state
    return _message(outcome.request_id, reply_to, status, _error(kind, module, words, outcome.error_class))


def refusal(task_id: str, reply_to: str, why: str) -> Outgoing:
    """Return the result message of a rejected task."""
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
        mandatory=False,  # the caller may be gone; the outcome is in the ledger
    )
