"""The gateway's OpenAPI document (3.1), made of the contracts that it answers with. Pure."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from gateway.http.rendering.paging import DEFAULT_LIMIT, MAX_LIMIT
from gateway.shared.request_builder import MEMBERS, WEBHOOK_HEADER
from straightline import contracts
from straightline.contracts.documents.schema import components
from straightline.names import BACKENDS

SCHEMAS: Final[Mapping[str, type[msgspec.Struct]]] = {
    "Request": contracts.Request,
    "InferRequest": contracts.InferRequest,
    "InferResponse": contracts.InferResponse,
    "RequestStatus": contracts.RequestStatus,
    "PlacementHistory": contracts.PlacementHistory,
    "ModelList": contracts.ModelList,
    "BackendList": contracts.BackendList,
    "FailureReport": contracts.FailureReport,
    "BatchStatus": contracts.BatchStatus,
    "BatchList": contracts.BatchList,
    "Problem": contracts.Problem,
}
VERSION: Final = "1"
"""Of the interface, as in its paths."""
SINCE: Final = "[1-9][0-9]{0,2}[smhd]"
"""How far back failure rates go: a number and its unit."""
_UUID: Final = {"type": "string", "format": "uuid"}
_NAME: Final = {"type": "string", "pattern": r"^[A-Za-z0-9][A-Za-z0-9._-]*$", "maxLength": 128}
_PREFER: Final = {
    "name": "Prefer",
    "in": "header",
    "description": "`respond-async`, or `respond-async, wait=N`: 202 after N seconds without an outcome",
    "schema": {"type": "string"},
}
_IDEMPOTENCY: Final = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "the same key of the same caller is the same request; an `id` in the body goes before it",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": r"^[\x21-\x7e]+$"},
}

_WEBHOOK: Final = {
    "name": WEBHOOK_HEADER,
    "in": "header",
    "description": "id of a webhook of this key, which is told when the request has ended; answered 202 then",
    "schema": _UUID,
}
_BATCH_WEBHOOK: Final = {
    **_WEBHOOK,
    "description": "id of a webhook of this key, which is told when the job has ended",
}
_LIMIT: Final = {
    "name": "limit",
    "in": "query",
    "schema": {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT},
}
_BEFORE: Final = {
    "name": "before",
    "in": "query",
    "description": "those that are older than it: `next` of the answer before",
    "schema": _UUID,
}


def document() -> dict[str, Any]:
    """Return the whole document."""
    schemas = components(SCHEMAS)
    _open_to_callers(schemas["Request"])
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "StraightLine",
            "version": VERSION,
            "description": "Machine-learning requests, answered where it is soonest and surest.",
        },
        "security": [{"key": []}],
        "paths": {**_protocol(), **_resources(), **_webhooks(), **_batches()},
        "components": {
            "schemas": schemas,
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
    }


def _protocol() -> dict[str, Any]:
    infer = {
        "summary": "Ask a model, and wait for its answer",
        "parameters": [_PREFER, _IDEMPOTENCY, _WEBHOOK],
        "requestBody": _body("InferRequest"),
        "responses": {
            "200": _answer("InferResponse"),
            "202": _taken(),
            **_errors("v2", 400, 401, 403, 404, 409, 410, 413, 422, 502, 503, 504),
        },
    }
    plain = {"type": "object"}
    paths: dict[str, Any] = {}
    for path in ("/v2", "/v2/health/live", "/v2/health/ready"):
        answers = {"200": _json(plain), **({"503": _json(plain)} if path.endswith("ready") else {})}
        paths[path] = {"get": {"summary": path, "security": [], "responses": answers}}
    model, version = _path("name", _NAME), _path("version", _NAME)
    for base, where in (
        ("/v2/models/{name}", [model]),
        ("/v2/models/{name}/versions/{version}", [model, version]),
    ):
        open_answers = {"200": _json(plain), **_errors("v2", 404, 503)}
        paths[base] = {
            "parameters": where,
            "get": {"summary": "The model's tensors", "security": [], "responses": open_answers},
        }
        paths[f"{base}/ready"] = {
            "parameters": where,
            "get": {"summary": "Whether it can be asked", "security": [], "responses": open_answers},
        }
        paths[f"{base}/infer"] = {"parameters": where, "post": infer}
    return paths


def _resources() -> dict[str, Any]:
    one = _path("id", _UUID)
    asked = (400, 401, 403, 404, 503)
    return {
        "/v1/requests": {
            "post": {
                "summary": "Take a request",
                "parameters": [_PREFER, _IDEMPOTENCY, _WEBHOOK],
                "requestBody": _body("Request"),
                "responses": {
                    "200": _answer("RequestStatus"),
                    "202": _taken(),
                    **_errors("v1", 400, 401, 403, 404, 409, 410, 413, 503, 504),
                },
            }
        },
        "/v1/requests/{id}": {
            "parameters": [one],
            "get": {
                "summary": "How far it came, or how it ended",
                "responses": {"200": _answer("RequestStatus"), **_errors("v1", *asked)},
            },
            "delete": {
                "summary": "Take it back",
                "responses": {
                    "200": _answer("RequestStatus"),
                    "202": _answer("RequestStatus"),
                    **_errors("v1", *asked),
                },
            },
        },
        "/v1/requests/{id}/result": {
            "parameters": [one],
            "get": {
                "summary": "The model's answer",
                "responses": {
                    "200": _answer("InferResponse"),
                    **_errors("v1", *asked, 409, 410, 413, 422, 500, 502, 504),
                },
            },
        },
        "/v1/placements/{id}": {
            "parameters": [one],
            "get": {
                "summary": "Why it was placed where it was",
                "responses": {"200": _answer("PlacementHistory"), **_errors("v1", *asked)},
            },
        },
        "/v1/models": {
            "get": {
                "summary": "What is deployed",
                "responses": {"200": _answer("ModelList"), **_errors("v1", 401, 403, 503)},
            }
        },
        "/v1/backends": {
            "get": {
                "summary": "What there is to answer requests, host by host",
                "responses": {"200": _answer("BackendList"), **_errors("v1", 401, 403, 503)},
            }
        },
        "/v1/failures": {
            "get": {
                "summary": "Failure rates of backends and models",
                "parameters": [
                    {
                        "name": "since",
                        "in": "query",
                        "schema": {"type": "string", "pattern": f"^{SINCE}$", "default": "1h"},
                    },
                    {"name": "model", "in": "query", "schema": _NAME},
                ],
                "responses": {"200": _answer("FailureReport"), **_errors("v1", 400, 401, 403, 503)},
            }
        },
    }


def _webhooks() -> dict[str, Any]:
    shown = {"id": {"type": "string"}, "url": {"type": "string"}}
    # Of a host's name: its last part is no number, so that it is no address, which may be a private one.
    name = r"(?!([^/:]*\.)?localhost(:|/|$))([a-z0-9][a-z0-9-]*\.)*[a-z][a-z0-9-]*"
    pattern = rf"^https://{name}(:[0-9]{{1,4}})?(/[!-~]*)?$"
    url = {"type": "string", "maxLength": 2048, "pattern": pattern}
    wanted = {
        "type": "object",
        "required": ["url"],
        "properties": {"url": url},
        "additionalProperties": False,
    }
    made = {"type": "object", "properties": {**shown, "secret": {"type": "string"}}}
    return {
        "/v1/webhooks": {
            "get": {
                "summary": "The webhooks of this key",
                "responses": {"200": _json({"type": "object"}), **_errors("v1", 401, 403, 503)},
            },
            "post": {
                "summary": "Where to tell that a request or a batch job has ended",
                "requestBody": {"required": True, "content": {"application/json": {"schema": wanted}}},
                "responses": {"201": _json(made), **_errors("v1", 400, 401, 403, 503)},
            },
        },
        "/v1/webhooks/{id}": {
            "parameters": [_path("id", _UUID)],
            "delete": {
                "summary": "Tell there no more",
                "responses": {
                    "204": {"description": "it is forgotten"},
                    **_errors("v1", 401, 403, 404, 503),
                },
            },
        },
    }


def _batches() -> dict[str, Any]:
    one = _path("id", _UUID)
    asked = (401, 403, 404, 503)
    lines = {"type": "string", "minLength": 1}
    deadline = {"type": "number", "exclusiveMinimum": 0, "maximum": 31_536_000}
    allow = {"type": "array", "items": {"enum": list(BACKENDS)}, "minItems": 1, "maxItems": 3}
    options = {"model": _NAME, "version": _NAME, "deadline": deadline, "allow": allow}
    reference = {
        "type": "object",
        "required": ["uri"],
        "properties": {"uri": {"type": "string"}, **options},
        "additionalProperties": False,
    }
    stream = {
        "200": {
            "description": "JSON Lines",
            "content": {"application/jsonl": {"schema": {"type": "string"}}},
        },
        **_errors("v1", *asked, 400, 500),
    }
    return {
        "/v1/batches": {
            "get": {
                "summary": "The jobs of this key, the newest first",
                "parameters": [_LIMIT, _BEFORE],
                "responses": {"200": _answer("BatchList"), **_errors("v1", 400, 401, 403, 503)},
            },
            "post": {
                "summary": "Take a file of requests: one a line, or where it lies in the store",
                "parameters": [
                    _IDEMPOTENCY,
                    _BATCH_WEBHOOK,
                    *(
                        {
                            "name": name,
                            "in": "query",
                            "schema": kind,
                            **({"style": "form", "explode": False} if name == "allow" else {}),
                        }
                        for name, kind in options.items()
                    ),
                ],
                "requestBody": {
                    "required": True,
                    "content": {
                        "application/jsonl": {"schema": lines},
                        "application/json": {"schema": reference},
                    },
                },
                "responses": {
                    "202": {
                        **_answer("BatchStatus"),
                        "headers": {
                            "Location": {"description": "where to ask for it", "schema": {"type": "string"}}
                        },
                    },
                    **_errors("v1", 400, 401, 403, 404, 409, 413, 500, 503),
                },
            },
        },
        "/v1/batches/{id}": {
            "parameters": [one],
            "get": {
                "summary": "How far it came",
                "responses": {"200": _answer("BatchStatus"), **_errors("v1", *asked)},
            },
            "delete": {
                "summary": "Take back what was submitted of it",
                "responses": {
                    "200": _answer("BatchStatus"),
                    "202": _answer("BatchStatus"),
                    **_errors("v1", *asked),
                },
            },
        },
        "/v1/batches/{id}/results": {
            "parameters": [one],
            "get": {"summary": "The answers, in the order of the lines", "responses": stream},
        },
        "/v1/batches/{id}/failed": {
            "parameters": [one],
            "get": {"summary": "The lines without an answer, and why", "responses": stream},
        },
    }


def _open_to_callers(request: dict[str, Any]) -> None:
    """Leave of a request what a caller over HTTP gives; the gateway adds the rest."""
    request["properties"] = {name: request["properties"][name] for name in MEMBERS}
    request["properties"]["id"] = _UUID
    request["properties"]["data"] = {"$ref": "#/components/schemas/InferRequest"}
    request["properties"]["data_ref"] = {"$ref": "#/components/schemas/DataRef"}
    request["required"] = ["model"]
    request["oneOf"] = [{"required": ["data"]}, {"required": ["data_ref"]}]
    request["additionalProperties"] = False


def _path(name: str, kind: Mapping[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": kind}


def _body(name: str) -> dict[str, Any]:
    return {
        "required": True,
        "content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{name}"}}},
    }


def _answer(name: str) -> dict[str, Any]:
    return _json({"$ref": f"#/components/schemas/{name}"})


def _json(kind: Mapping[str, Any], media: str = "application/json") -> dict[str, Any]:
    return {"description": "", "content": {media: {"schema": kind}}}


def _taken() -> dict[str, Any]:
    location = {"description": "where to ask for it", "schema": {"type": "string"}}
    return {**_answer("RequestStatus"), "headers": {"Location": location}}


def _errors(shape: str, *statuses: int) -> dict[str, Any]:
    if shape == "v2":
        kind = {"type": "object", "required": ["error"], "properties": {"error": {"type": "string"}}}
        return {str(status): _json(kind) for status in statuses}
    problem = {"$ref": "#/components/schemas/Problem"}
    return {str(status): _json(problem, "application/problem+json") for status in statuses}
