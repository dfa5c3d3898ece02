"""`python -m straightline.contracts.documents.asyncapi [FILE]`: the AsyncAPI document for producers.

It describes the producer: the messages it sends and receives.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from straightline import contracts, names
from straightline.contracts.documents.schema import components

VERSION: Final = "1"
"""Version of the messages, as in their AMQP types."""
SCHEMAS: Final[Mapping[str, type[msgspec.Struct]]] = {
    "Request": contracts.Request,
    "InferRequest": contracts.InferRequest,
    "InferResponse": contracts.InferResponse,
    "Outcome": contracts.Outcome,
    "Cancel": contracts.Cancel,
    "CancelAnswer": contracts.CancelAnswer,
}
OWN: Final = ("id", "submitted_at")
"""Fields of a request that are not arguments of the Celery task."""

_BINDING: Final = {"bindingVersion": "0.3.0"}
_UUID: Final = {"type": "string", "format": "uuid"}
_ID: Final = "0193c9a2-7c5e-7b3e-8a51-1f6f2d1c9a10"
_ASKED: Final = {"inputs": [{"name": "images", "shape": [1, 2], "datatype": "FP32", "data": [0.0, 1.5]}]}
_ANSWER: Final = {
    "model_name": "digits",
    "outputs": [{"name": "label", "shape": [1], "datatype": "INT64", "data": [7]}],
}
_TRACE: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {
        "traceparent": {"type": "string", "description": "W3C trace context, optional"},
        "tracestate": {"type": "string"},
    },
}
_CORRELATION: Final = {
    "location": "$message.header#/correlation_id",
    "description": "the AMQP property `correlation_id`, repeated in the reply",
}


def document() -> dict[str, Any]:
    """Return the document."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "StraightLine for producers",
            "version": VERSION,
            "description": (
                "Machine-learning requests, placed on the backend that answers soonest and most reliably. "
                "Publish in confirm mode: a request is submitted once the broker has confirmed it and "
                "has not returned it."
            ),
        },
        "defaultContentType": "application/json",
        "servers": {"broker": _broker()},
        "channels": _channels(),
        "operations": _operations(),
        "components": {
            "schemas": {**_bodies(), **_celery_bodies()},
            "messages": _messages(),
            "securitySchemes": {"user": {"type": "userPassword"}},
        },
    }


def _broker() -> dict[str, Any]:
    return {
        "host": "{host}",
        "pathname": "/{vhost}",
        "protocol": "amqp",
        "protocolVersion": "0-9-1",
        "variables": {
            "host": {"default": "localhost:5672"},
            "vhost": {"default": "%2F", "description": "percent-encoded, as in an AMQP URL"},
        },
        "security": [_ref("securitySchemes", "user")],
    }


def _channels() -> dict[str, Any]:
    return {
        **{class_: _route(class_, "request") for class_ in ("interactive", "batch")},
        "cancel": _route("cancel", "cancel"),
        "celery": _route("celery", "celeryTask"),
        "replies": _queue(
            f"The producer's own queue, whose name begins with `{names.REPLY_QUEUE_PREFIX}`. Bind it to "
            f"`{names.REPLIES}` with that name as the key, and consume it before publishing.",
            "outcome",
            "cancelAnswer",
        ),
        "celeryResults": _queue("The caller's queue of results, declared by Celery.", "celeryResult"),
    }


def _route(key: str, message: str) -> dict[str, Any]:
    exchange = {"name": names.REQUESTS, "type": "direct", "durable": True, "autoDelete": False}
    return {
        "address": key,
        "messages": {message: _ref("messages", message)},
        "bindings": {"amqp": {"is": "routingKey", "exchange": exchange, **_BINDING}},
    }


def _queue(description: str, *messages: str) -> dict[str, Any]:
    queue = {"durable": False, "exclusive": True, "autoDelete": True}
    return {
        "address": None,
        "description": description,
        "messages": {message: _ref("messages", message) for message in messages},
        "bindings": {"amqp": {"is": "queue", "queue": queue, **_BINDING}},
    }


def _operations() -> dict[str, Any]:
    return {
        "submitInteractive": _ask(
            "Submit a request and receive its outcome", "interactive", "request", ("replies", "outcome")
        ),
        "submitBatch": _ask(
            "Submit a request that may wait for free resources", "batch", "request", ("replies", "outcome")
        ),
        "cancel": _ask("Cancel a request", "cancel", "cancel", ("replies", "cancelAnswer")),
        "sendTask": _ask(
            "Submit a request as a Celery task, without code of StraightLine",
            "celery",
            "celeryTask",
            ("celeryResults", "celeryResult"),
            mandatory=False,  # Celery does not support it
        ),
    }


def _ask(
    summary: str, channel: str, message: str, reply: tuple[str, str], *, mandatory: bool = True
) -> dict[str, Any]:
    into, answer = reply
    return {
        "action": "send",
        "summary": summary,
        "channel": {"$ref": f"#/channels/{channel}"},
        "messages": [{"$ref": f"#/channels/{channel}/messages/{message}"}],
        "bindings": {"amqp": {"deliveryMode": 2, "mandatory": mandatory, **_BINDING}},
        "reply": {
            "address": {
                "location": "$message.header#/reply_to",
                "description": "the AMQP property `reply_to`; without it no reply is sent",
            },
            "channel": {"$ref": f"#/channels/{into}"},
            "messages": [{"$ref": f"#/channels/{into}/messages/{answer}"}],
        },
    }


def _messages() -> dict[str, Any]:
    request = {"id": _ID, "model": "digits", "submitted_at": 1732500000.25, "data": _ASKED}
    outcome = {"request_id": _ID, "finished_at": 1732500000.5}
    refused = {"error_class": "unknown_model", "error": "there is no model digitz"}
    return {
        "request": _message(
            "Request", names.TYPE_REQUEST, request, {**request, "class": "batch", "allow": ["local"]}
        )
        | {"headers": _TRACE},
        "outcome": _message(
            "Outcome",
            names.TYPE_OUTCOME,
            {**outcome, "state": "succeeded", "backend": "local", "result": _ANSWER},
            {**outcome, "state": "rejected", **refused},
        ),
        "cancel": _message("Cancel", names.TYPE_CANCEL, {"id": _ID}),
        "cancelAnswer": _message(
            "CancelAnswer", names.TYPE_CANCEL_ANSWER, {"id": _ID, "verdict": "cancelled"}
        ),
        "celeryTask": _message("CeleryTask", None) | {"headers": _task_headers()},
        "celeryResult": _message("CeleryResult", None),
    }


def _message(body: str, kind: str | None, *examples: dict[str, Any]) -> dict[str, Any]:
    """Return a message with that body; `kind` is its AMQP type, or None for Celery's messages."""
    message: dict[str, Any] = {
        "name": kind or body,
        "contentType": "application/json",
        "correlationId": _CORRELATION,
        "payload": _ref("schemas", body),
    }
    if kind is not None:
        message["bindings"] = {"amqp": {"messageType": kind, **_BINDING}}
    if kind in {names.TYPE_REQUEST, names.TYPE_CANCEL}:
        message["x-amqp-properties"] = {
            "message_id": "the request's `id`: it names the request where the body cannot be read"
            if kind == names.TYPE_REQUEST
            else "an id of this message",
            "correlation_id": "what tells the answers to several requests apart: the same as `message_id`",
            "reply_to": "the name of the producer's own queue, where an answer is wanted",
        }
    if examples:
        message["examples"] = [{"payload": example} for example in examples]
    return message


def _bodies() -> dict[str, Any]:
    """Return the schemas of the contracts, and of the members that they leave undecoded."""
    schemas = components(SCHEMAS)
    request = schemas["Request"]
    request["properties"]["data"] = _ref("schemas", "InferRequest")
    request["properties"]["data_ref"] = _ref("schemas", "DataRef")
    request["oneOf"] = [{"required": ["data"]}, {"required": ["data_ref"]}]
    schemas["Outcome"]["properties"]["result"] = _ref("schemas", "InferResponse")
    return schemas


def _task_headers() -> dict[str, Any]:
    return {
        "type": "object",
        "required": ["task", "id"],
        "properties": {
            "task": {"const": names.INFER_TASK},
            "id": {**_UUID, "description": "the request's id"},
            "expires": {"type": ["string", "null"], "description": "ISO 8601: a deadline"},
            **{name: {"type": "null"} for name in ("eta", "compression")},
            **_TRACE["properties"],
        },
    }


def _celery_bodies() -> dict[str, Any]:
    taken = [field.encode_name for field in msgspec.structs.fields(contracts.Request)]
    known = {
        name: {"$ref": f"#/components/schemas/Request/properties/{name}"} for name in taken if name not in OWN
    }
    kwargs = {"type": "object", "required": ["model"], "properties": known, "additionalProperties": False}
    canvas = {name: {"type": ["array", "null"], "maxItems": 0} for name in ("callbacks", "errbacks", "chain")}
    embed = {"type": "object", "properties": {**canvas, "chord": {"type": "null"}}}
    task = {
        "description": "Celery's protocol 2: no positional arguments; fields of a request as keyword "
        "arguments; no callbacks, errbacks, chain or chord.",
        "type": "array",
        "items": [{"type": "array", "maxItems": 0}, kwargs, embed],
        "minItems": 3,
        "maxItems": 3,
    }
    error = {
        "type": "object",
        "required": ["exc_type", "exc_message", "exc_module"],
        "properties": {"exc_type": {"type": "string"}, "exc_message": {"type": "array"}},
    }
    large = {
        "type": "object",
        "required": ["result_ref"],
        "properties": {"result_ref": _ref("schemas", "DataRef")},
    }
    result = {
        "type": "object",
        "required": ["task_id", "status", "result"],
        "properties": {
            "task_id": _UUID,
            "status": {"enum": ["SUCCESS", "FAILURE", "REVOKED"]},
            "result": {"anyOf": [_ref("schemas", "InferResponse"), large, error]},
            "traceback": {"type": "null"},
            "children": {"type": "array", "maxItems": 0},
        },
    }
    return {"CeleryTask": task, "CeleryResult": result}


def _ref(kind: str, name: str) -> dict[str, str]:
    return {"$ref": f"#/components/{kind}/{name}"}


def render() -> str:
    """Return the document as text."""
    encoded = msgspec.json.encode(document())
    return msgspec.json.format(encoded, indent=2).decode() + "\n"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description="Write the AsyncAPI document of the messages that producers send and receive."
    )
    parser.add_argument("file", nargs="?", type=Path, default=Path("docs/contracts/asyncapi.json"))
    parser.parse_args().file.write_text(render(), encoding="utf-8")
