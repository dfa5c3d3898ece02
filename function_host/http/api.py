"""Flask application of AWS Lambda's API: Invoke, reads, and the routes of deployment and concurrency.

Source: the API reference of AWS Lambda (Invoke, GetFunction, GetFunctionConfiguration, ListFunctions).
"""

import base64
import binascii
import uuid
from typing import Any, Final

import msgspec
from flask import Flask, Response, request

from function_host.hosting.errors import UnknownFunction
from function_host.hosting.event_queue import EventQueue
from function_host.hosting.host import Host
from function_host.http.concurrency_api import PUBLISHED_VERSION, add_concurrency_routes
from function_host.http.deploy_api import (
    MAX_DEPLOY_BODY_BYTES,
    create_function,
    delete_function,
    update_function_code,
    update_function_settings,
)
from function_host.http.errors import BadRequest, error_response, json_response
from function_host.instances.channel import MAX_PAYLOAD_BYTES
from function_host.instances.invocation import Event
from function_host.instances.report import VERSION, log_tail
from function_host.names import arn, plain_name
from function_host.packages import Function, list_functions
from straightline.contracts.parsing.decoding import decode
from straightline.errors import ContractError
from straightline.support.event_log import EventLogger

_FUNCTIONS: Final = "/2015-03-31/functions"
_log = EventLogger(__name__)


def build(host: Host, events: EventQueue, *, deploy: bool = False) -> Flask:
    """Return the application.

    Args:
        host: runs invocations.
        events: runs asynchronous invocations.
        deploy: whether functions may be created, updated and deleted.
    """
    app = Flask(__name__)
    app.config["MAX_CONTENT_LENGTH"] = MAX_PAYLOAD_BYTES

    @app.post(f"{_FUNCTIONS}/<path:name>/invocations")
    def invoke(name: str) -> Response:
        name = _function_name(name)
        event = Event(str(uuid.uuid4()), _payload(), _client_context())
        kind = request.headers.get("X-Amz-Invocation-Type", "RequestResponse")
        if kind == "RequestResponse":
            return _invoke(host, name, event)
        host.find(name)
        if kind == "Event":
            events.submit(name, event)
            return _empty(202, event)
        if kind == "DryRun":
            return _empty(204, event)
        raise BadRequest("InvalidParameterValueException", f"unknown invocation type {kind[:32]!r}")

    @app.get(_FUNCTIONS, strict_slashes=False)
    def functions() -> Response:
        return json_response({"Functions": [_configuration(each) for each in list_functions(host.packages)]})

    @app.get(f"{_FUNCTIONS}/<path:name>")
    def function(name: str) -> Response:
        found = host.find(_function_name(name))
        return json_response(
            {"Configuration": _configuration(found), "Code": {"RepositoryType": "local"}, "Tags": {}}
        )

    @app.get(f"{_FUNCTIONS}/<path:name>/configuration")
    def configuration(name: str) -> Response:
        return json_response(_configuration(host.find(_function_name(name))))

    _add_deploy_routes(app, host, allowed=deploy)

    def find(name: str) -> Function:
        _check_deploy_allowed(deploy)
        return host.find(_function_name(name))

    add_concurrency_routes(app, find, host.ready_count, host.max_instances, _configuration)
    app.register_error_handler(Exception, error_response)
    return app


def _add_deploy_routes(app: Flask, host: Host, *, allowed: bool) -> None:
    @app.post(_FUNCTIONS, strict_slashes=False)
    def create() -> Response:
        _check_deploy_allowed(allowed)
        request.max_content_length = MAX_DEPLOY_BODY_BYTES
        return json_response(
            _configuration(create_function(host.packages, request.get_data(cache=False))), 201
        )

    @app.put(f"{_FUNCTIONS}/<name>/code")
    def update_code(name: str) -> Response:
        _check_deploy_allowed(allowed)
        request.max_content_length = MAX_DEPLOY_BODY_BYTES
        found = host.find(_function_name(name))
        return json_response(_configuration(update_function_code(found, request.get_data(cache=False))))

    @app.put(f"{_FUNCTIONS}/<name>/configuration")
    def update_configuration(name: str) -> Response:
        _check_deploy_allowed(allowed)
        found = host.find(_function_name(name))
        return json_response(_configuration(update_function_settings(found, request.get_data(cache=False))))

    @app.delete(f"{_FUNCTIONS}/<path:name>")
    def delete(name: str) -> Response:
        _check_deploy_allowed(allowed)
        delete_function(host.find(_function_name(name)))
        return Response(b"", 204)


def _check_deploy_allowed(allowed: bool) -> None:
    if not allowed:
        raise BadRequest(
            "AccessDeniedException",
            "deployment is disabled on this host. Start it with STRAIGHTLINE_FUNCTIONS_DEPLOY=true",
            403,
        )


def _invoke(host: Host, name: str, event: Event) -> Response:
    result = host.invoke(name, event)
    response = Response(result.payload, 200, mimetype="application/json")
    response.headers["X-Amzn-RequestId"] = event.request_id
    response.headers["X-Amz-Executed-Version"] = VERSION
    if result.failed:
        response.headers["X-Amz-Function-Error"] = "Unhandled"
    if request.headers.get("X-Amz-Log-Type") == "Tail":
        response.headers["X-Amz-Log-Result"] = base64.b64encode(log_tail(result.log)).decode()
    return response


def _function_name(name: str) -> str:
    plain = plain_name(name)
    if plain is None or request.args.get("Qualifier", VERSION) not in (VERSION, PUBLISHED_VERSION):
        raise UnknownFunction(f"Function not found: {arn(name[:256])}; this host has only version {VERSION}")
    return plain


def _payload() -> bytes:
    payload = request.get_data(cache=False) or b"{}"
    try:
        decode(payload, msgspec.Raw)
    except ContractError as error:
        raise BadRequest(
            "InvalidRequestContentException", f"Could not parse request body into json: {error}"
        ) from error
    return payload


def _client_context() -> str | None:
    header = request.headers.get("X-Amz-Client-Context")
    if header is None:
        return None
    try:
        return base64.b64decode(header, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError) as error:
        raise BadRequest(
            "InvalidRequestContentException", "Client context must be a valid Base64-encoded JSON object."
        ) from error


def _configuration(function: Function) -> dict[str, Any]:
    return {
        "FunctionName": function.name,
        "FunctionArn": arn(function.name),
        "Handler": function.handler,
        "Timeout": function.timeout,
        "MemorySize": function.memory,
        "Version": VERSION,
        "CodeSha256": function.code,
        "RevisionId": function.revision,
        "PackageType": "Zip",
        "State": "Active",
        "LastUpdateStatus": "Successful",
    }


def _empty(status: int, event: Event) -> Response:
    response = Response(b"", status)
    response.headers["X-Amzn-RequestId"] = event.request_id
    return response
