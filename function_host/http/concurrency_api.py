"""Lambda's API for the provisioned and reserved concurrency of functions.

Lambda provisions only published versions. Here, the only one is version 1, which is the function itself.

Source: the API reference of AWS Lambda (PublishVersion, PutProvisionedConcurrencyConfig,
GetProvisionedConcurrencyConfig, ListProvisionedConcurrencyConfigs, DeleteProvisionedConcurrencyConfig,
PutFunctionConcurrency, DeleteFunctionConcurrency).
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any, Final

import msgspec
from flask import Flask, Response, request

from function_host.http.deploy_api import update_concurrency
from function_host.http.errors import BadRequest, decode_body
from function_host.packages import Function

PUBLISHED_VERSION: Final = "1"
_PROVISIONED: Final = "/2019-09-30/functions/<path:name>/provisioned-concurrency"
_RESERVED: Final = "/2017-10-31/functions/<path:name>/concurrency"
_VERSIONS: Final = "/2015-03-31/functions/<path:name>/versions"


class _Provisioned(msgspec.Struct, rename="pascal"):
    provisioned_concurrent_executions: Annotated[int, msgspec.Meta(ge=1)]


class _Reserved(msgspec.Struct, rename="pascal"):
    reserved_concurrent_executions: Annotated[int, msgspec.Meta(ge=1)]


def add_concurrency_routes(
    app: Flask,
    find: Callable[[str], Function],
    ready: Callable[[Function], int],
    most: Callable[[Function], int],
    describe: Callable[[Function], dict[str, Any]],
) -> None:
    """Add the routes.

    Args:
        app: the application.
        find: returns the function with a name, if deployment is allowed.
        ready: counts the initialised instances of a function.
        most: returns the limit of instances of a function.
        describe: returns Lambda's description of a function.
    """

    @app.post(_VERSIONS)
    def publish(name: str) -> tuple[dict[str, Any], int]:
        return {**describe(find(name)), "Version": PUBLISHED_VERSION}, 201

    @app.put(_PROVISIONED)
    def provision(name: str) -> tuple[dict[str, Any], int]:
        function = find(_require_published(name))
        wanted = decode_body(request.get_data(cache=False), _Provisioned).provisioned_concurrent_executions
        if wanted > most(function):
            raise BadRequest(
                "InvalidParameterValueException",
                f"{wanted} provisioned instances exceed the limit of {most(function)}. Raise the function's "
                "limit, or STRAIGHTLINE_FUNCTIONS_FUNCTION_CONCURRENCY and "
                "STRAIGHTLINE_FUNCTIONS_CONCURRENCY of this host",
            )
        return _state(update_concurrency(function, minimum=wanted), 0), 202

    @app.get(_PROVISIONED)
    def provisioned(name: str) -> dict[str, Any]:
        if request.args.get("List") == "ALL":
            function = find(name)
            of_it = {"FunctionArn": f"{describe(function)['FunctionArn']}:{PUBLISHED_VERSION}"}
            states = [{**of_it, **_state(function, ready(function))}] if function.minimum else []
            return {"ProvisionedConcurrencyConfigs": states}
        function = find(_require_published(name))
        if not function.minimum:
            raise BadRequest(
                "ProvisionedConcurrencyConfigNotFoundException",
                "No Provisioned Concurrency Config found for this function",
                404,
            )
        return _state(function, ready(function))

    @app.delete(_PROVISIONED)
    def unprovision(name: str) -> Response:
        update_concurrency(find(_require_published(name)), minimum=0)
        return Response(b"", 204)

    @app.put(_RESERVED)
    def reserve(name: str) -> dict[str, Any]:
        wanted = decode_body(request.get_data(cache=False), _Reserved).reserved_concurrent_executions
        update_concurrency(find(name), maximum=wanted)
        return {"ReservedConcurrentExecutions": wanted}

    @app.delete(_RESERVED)
    def unreserve(name: str) -> Response:
        update_concurrency(find(name), maximum=0)
        return Response(b"", 204)


def _require_published(name: str) -> str:
    if request.args.get("Qualifier") != PUBLISHED_VERSION:
        raise BadRequest(
            "InvalidParameterValueException",
            "only a published version can have provisioned concurrency: set Qualifier to "
            f"{PUBLISHED_VERSION}",
        )
    return name


def _state(function: Function, ready: int) -> dict[str, Any]:
    available = min(ready, function.minimum)
    return {
        "RequestedProvisionedConcurrentExecutions": function.minimum,
        "AllocatedProvisionedConcurrentExecutions": available,
        "AvailableProvisionedConcurrentExecutions": available,
        "Status": "READY" if available == function.minimum else "IN_PROGRESS",
        "LastModified": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S+0000"),
    }
