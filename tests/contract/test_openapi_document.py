"""The OpenAPI document: what is served, and that it agrees with the routes and constants of the gateway."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from flask import Flask

from gateway.http.app import build
from gateway.http.context import AppContext
from gateway.http.rendering.openapi import CONTRACTS, DOCUMENT, document
from gateway.http.rendering.paging import DEFAULT_LIMIT, MAX_LIMIT
from gateway.http.routes.introspection import SINCE
from gateway.http.settings import Settings
from gateway.shared.request_builder import MEMBERS, WEBHOOK_HEADER
from gateway.webhooks.address import MAX_URL_CHARS
from straightline.contracts.documents.schema import components
from straightline.names import BACKENDS, Backend


@pytest.fixture(scope="module")
def app() -> Flask:
    unused: Any = None
    return build(
        AppContext(
            settings=Settings(broker_url="", database_url="", models_dir=Path()),
            broker=unused,
            ledger=unused,
            auth=unused,
            models=unused,
            workers=unused,
            statuses=unused,
            store=None,
            requests=unused,
        )
    )


@pytest.fixture(scope="module")
def served(app: Flask) -> dict[str, Any]:
    answer = app.test_client().get("/openapi.json")
    content: dict[str, Any] = json.loads(answer.data)
    return content


def _literal() -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(DOCUMENT.read_text(encoding="utf-8"))
    return content


def _refs(content: Any) -> Iterator[str]:
    if isinstance(content, dict):
        for key, value in content.items():
            if key == "$ref":
                yield value
            else:
                yield from _refs(value)
    elif isinstance(content, list):
        for value in content:
            yield from _refs(value)


def test_the_served_document_is_the_file_with_the_generated_schemas(served: dict[str, Any]) -> None:
    expected = _literal()
    generated = json.loads(json.dumps(components(CONTRACTS)))
    assert not expected["components"]["schemas"].keys() & generated.keys()
    expected["components"]["schemas"] |= generated
    # Callers send fewer members of a request than a producer: the next test covers it.
    expected["components"]["schemas"]["Request"] = served["components"]["schemas"]["Request"]
    assert served == expected == json.loads(json.dumps(document()))


def test_a_caller_sends_the_members_that_the_gateway_accepts(served: dict[str, Any]) -> None:
    request = served["components"]["schemas"]["Request"]
    generated = components(CONTRACTS)["Request"]["properties"]
    assert tuple(request["properties"]) == MEMBERS
    assert request["additionalProperties"] is False
    for name in set(MEMBERS) - {"id", "data", "data_ref"}:
        assert request["properties"][name] == json.loads(json.dumps(generated[name]))


def test_every_route_is_described_and_every_description_is_a_route(
    app: Flask, served: dict[str, Any]
) -> None:
    routes = {
        (re.sub(r"<(?:\w+_)?(\w+)>", r"{\1}", rule.rule), method.lower())
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    described = {
        (path, method) for path, item in served["paths"].items() for method in item if method != "parameters"
    }
    assert routes - {("/openapi.json", "get")} == described


def test_every_reference_leads_somewhere_and_every_component_is_used(served: dict[str, Any]) -> None:
    components = {
        f"#/components/{kind}/{name}"
        for kind, named in served["components"].items()
        if kind != "securitySchemes"
        for name in named
    }
    assert set(_refs(served)) == components


def test_limits_and_names_are_those_of_the_code(served: dict[str, Any]) -> None:
    parameters = served["components"]["parameters"]
    limit = parameters["Limit"]["schema"]
    assert (limit["maximum"], limit["default"]) == (MAX_LIMIT, DEFAULT_LIMIT)
    assert parameters["Since"]["schema"]["pattern"] == f"^{SINCE}$"
    assert parameters["Webhook"]["name"] == parameters["BatchWebhook"]["name"] == WEBHOOK_HEADER
    reference = served["components"]["schemas"]["BatchReference"]["properties"]
    allow = parameters["Allow"]["schema"]
    assert allow == reference["allow"]
    assert tuple(allow["items"]["enum"]) == BACKENDS == get_args(Backend)
    assert parameters["Deadline"]["schema"] == reference["deadline"]
    assert served["components"]["schemas"]["NewWebhook"]["properties"]["url"]["maxLength"] == MAX_URL_CHARS


def test_every_operation_has_a_summary(served: dict[str, Any]) -> None:
    for path, item in served["paths"].items():
        for method, operation in item.items():
            if method != "parameters":
                assert operation["summary"], (path, method)
