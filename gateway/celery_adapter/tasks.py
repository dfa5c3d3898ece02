"""Requests made from Celery task messages.

Source of the format: Celery's message protocol, version 2. Messages are never unpickled or decompressed.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from straightline import names
from straightline.amqp.publishing.outgoing import Outgoing
from straightline.contracts.parsing.decoding import decode
from straightline.errors import ContractError
from straightline.ids import canonical
from straightline.messages.requests import request_message

ARGUMENTS: Final = ("model", "version", "class", "deadline", "allow", "batch_id", "data", "data_ref")
"""Keyword arguments of the task: the members of a request without those that Celery sends itself."""
TRACE_HEADERS: Final = ("traceparent", "tracestate")
UNSUPPORTED_CANVAS: Final = {
    "chain": "a chain",
    "chord": "a chord",
    "callbacks": "link",
    "errbacks": "link_error",
}
"""Canvas features by their key in a message."""


@dataclass(frozen=True, slots=True)
class Task:
    """The AMQP properties of a task message.

    Attributes:
        name: name of the task; None without that header (protocol 1, or not a Celery message).
        id: id that the caller chose.
        reply_to: result queue of the caller; None if results are ignored.
        headers: all headers.
        content_type: media type of the body.
        encoding: text encoding of the body.
    """

    name: str | None
    id: str | None
    reply_to: str | None
    headers: Mapping[str, Any]
    content_type: str | None
    encoding: str | None


class UnsupportedTask(Exception):  # noqa: N818 - named for the task
    """A task that is rejected; the message tells the caller why and what to do instead."""


class _Body(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    args: list[msgspec.Raw]
    kwargs: dict[str, msgspec.Raw]
    embed: dict[str, Any]


def task_of(properties: Any) -> Task:
    """Read pika's properties without validating them."""
    headers = properties.headers or {}
    return Task(
        name=_text(headers.get("task")),
        id=_text(headers.get("id")) or _text(properties.correlation_id),
        reply_to=None if headers.get("ignore_result") is True else _text(properties.reply_to),
        headers=headers,
        content_type=_text(properties.content_type),
        encoding=_text(properties.content_encoding),
    )


def request_of(task: Task, body: bytes, now: float) -> Outgoing:
    """Return the request to publish for a task.

    The scheduler validates the model, its tensors and the types of the members.

    Raises:
        UnsupportedTask: the task is malformed or uses an unsupported feature.
    """
    request_id = _check(task)
    try:
        read = decode(body, _Body)
    except ContractError as error:
        raise UnsupportedTask(f"the body is not Celery protocol 2 in JSON: {error}") from error
    _check_canvas(read.embed)
    if read.args:
        raise UnsupportedTask(
            "straightline.infer takes only keyword arguments: kwargs={'model': ..., 'data': ...}"
        )
    unknown = sorted(read.kwargs.keys() - set(ARGUMENTS))
    if unknown:
        raise UnsupportedTask(
            f"straightline.infer has no argument {', '.join(unknown)}; it has {', '.join(ARGUMENTS)}"
        )
    members: dict[str, Any] = {"id": request_id, "submitted_at": now, **read.kwargs}
    expires = _expiry(task.headers.get("expires"))
    if expires is not None:
        members["deadline"] = min(expires, _number(read.kwargs.get("deadline"), expires))
    traces = {name: value for name in TRACE_HEADERS if (value := _text(task.headers.get(name))) is not None}
    batch = bytes(read.kwargs.get("class", b"")) == b'"batch"'
    return request_message(
        request_id,
        msgspec.json.encode(members),
        class_="batch" if batch else "interactive",
        reply_to=names.CELERY_REPLY_KEY if task.reply_to else None,
        correlation_id=task.reply_to,
        headers=traces,
    )


def _check(task: Task) -> str:
    """Check the properties and return the id of the request."""
    if task.name != names.INFER_TASK:
        raise UnsupportedTask(f"no task {task.name!r}: send {names.INFER_TASK!r} in Celery protocol 2")
    request_id = canonical(task.id or "")
    if request_id is None or request_id != task.id:
        raise UnsupportedTask("the task id must be a UUID, as Celery creates them: it is the request id")
    if task.content_type != "application/json" or (task.encoding or "utf-8").lower() != "utf-8":
        raise UnsupportedTask("the task must be JSON in UTF-8: set task_serializer to 'json'")
    if task.headers.get("compression"):
        raise UnsupportedTask("compressed tasks are not supported: set task_compression to None")
    if task.headers.get("eta") is not None:
        raise UnsupportedTask("eta and countdown are not supported: send the task when it is due")
    if any(limit is not None for limit in _items(task.headers.get("timelimit"))):
        raise UnsupportedTask(
            "time limits are not supported: set the argument `deadline`, or `expires` of the task"
        )
    return request_id


def _check_canvas(embed: Mapping[str, Any]) -> None:
    asked = [words for key, words in UNSUPPORTED_CANVAS.items() if embed.get(key)]
    if asked:
        raise UnsupportedTask(
            f"{' and '.join(asked)} is not supported, and nothing was done: wait for the result, "
            "then send the next one; groups are supported"
        )


def _expiry(value: object) -> float | None:
    if value is None:
        return None
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        moment = None
    if moment is None:
        raise UnsupportedTask("`expires` of the task is not an ISO 8601 time")
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _number(raw: msgspec.Raw | None, otherwise: float) -> float:
    try:
        value = decode(raw, float | None) if raw is not None else None
    except ContractError as error:
        raise UnsupportedTask(f"deadline is not a time in seconds since the epoch: {error}") from error
    return value if value is not None and math.isfinite(value) else otherwise


def _items(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
