"""From a Celery task message to a request, or to the reason why not. Pure: time is an argument.

Source of the format: Celery's message protocol, version 2. The message is read as data: nothing in it is ever
unpickled or decompressed.
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
from straightline.messages import request_message

ARGUMENTS: Final = ("model", "version", "class", "deadline", "allow", "batch_id", "data", "data_ref")
"""Keyword arguments of the task: members of a request, but for those that Celery brings itself."""
TRACE_HEADERS: Final = ("traceparent", "tracestate")
UNSUPPORTED_CANVAS: Final = {
    "chain": "a chain",
    "chord": "a chord",
    "callbacks": "link",
    "errbacks": "link_error",
}
"""What a message may ask to be done after the task, and how callers name it."""


@dataclass(frozen=True, slots=True)
class Task:
    """A task message, as far as its AMQP properties tell.

    Attributes:
        name: of the task; None where no header says it (protocol 1, or no Celery message).
        id: as the caller chose it.
        reply_to: the caller's result queue; None where nobody waits.
        headers: all of them.
        content_type: of the body.
        encoding: of the body's text.
    """

    name: str | None
    id: str | None
    reply_to: str | None
    headers: Mapping[str, Any]
    content_type: str | None
    encoding: str | None


class UnsupportedTask(Exception):  # noqa: N818 - it is an answer, not an error
    """The task cannot be done; the message tells its caller why, and what to do instead."""


class _Body(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    args: list[msgspec.Raw]
    kwargs: dict[str, msgspec.Raw]
    embed: dict[str, Any]


def task_of(properties: Any) -> Task:
    """Take from pika's properties what matters; nothing is believed yet."""
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

    What only the scheduler can judge (the model, its tensors, the members' types) is left to it.

    Raises:
        Unfit: the task asks for what cannot be honoured, or cannot be read.
    """
    request_id = _check(task)
    try:
        read = decode(body, _Body)
    except ContractError as error:
        raise UnsupportedTask(
            f"the task's body cannot be read as Celery's protocol 2 in JSON: {error}"
        ) from error
    _check_canvas(read.embed)
    if read.args:
        raise UnsupportedTask(
            "straightline.infer takes keyword arguments alone: kwargs={'model': ..., 'data': ...}"
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
    """Return the request's id where the properties let the body be read."""
    if task.name != names.INFER_TASK:
        raise UnsupportedTask(
            f"there is no task {task.name!r} here: send {names.INFER_TASK!r}, in Celery's protocol 2"
        )
    request_id = canonical(task.id or "")
    if request_id is None or request_id != task.id:
        raise UnsupportedTask("the task's id must be a UUID, as Celery makes them: it is the request's id")
    if task.content_type != "application/json" or (task.encoding or "utf-8").lower() != "utf-8":
        raise UnsupportedTask("the task must be JSON in UTF-8: set task_serializer to 'json'")
    if task.headers.get("compression"):
        raise UnsupportedTask("compressed tasks are not read: set task_compression to None")
    if task.headers.get("eta") is not None:
        raise UnsupportedTask("eta and countdown cannot be honoured: send the task when it is due")
    if any(limit is not None for limit in _items(task.headers.get("timelimit"))):
        raise UnsupportedTask(
            "time limits cannot be honoured: give the request a deadline, or the task `expires`"
        )
    return request_id


def _check_canvas(embed: Mapping[str, Any]) -> None:
    asked = [words for key, words in UNSUPPORTED_CANVAS.items() if embed.get(key)]
    if asked:
        raise UnsupportedTask(
            f"{' and '.join(asked)} cannot be honoured, and nothing was done: wait for this task's result, "
            "then send the next one; a group works"
        )


def _expiry(value: object) -> float | None:
    if value is None:
        return None
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        moment = None
    if moment is None:
        raise UnsupportedTask("the task's `expires` is not a time in ISO 8601")
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
