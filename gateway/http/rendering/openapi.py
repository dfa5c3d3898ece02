"""The OpenAPI 3.1 document: `gateway/http/openapi.yaml` with the schemas of the contracts."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
import yaml

from gateway.shared.request_builder import MEMBERS
from straightline import contracts
from straightline.contracts.documents.schema import components

DOCUMENT: Final = Path(__file__).parents[1] / "openapi.yaml"
"""Paths, parameters and responses; it refers to the schemas that `document` adds."""

CONTRACTS: Final[Mapping[str, type[msgspec.Struct]]] = {
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
"""The contracts whose schemas are added, by the name that the file uses."""


def document() -> dict[str, Any]:
    """Return the document that `GET /openapi.json` serves."""
    content: dict[str, Any] = yaml.safe_load(DOCUMENT.read_text(encoding="utf-8"))
    generated = components(CONTRACTS)
    _restrict_to_callers(generated["Request"])
    content["components"]["schemas"] |= generated
    return content


def _restrict_to_callers(request: dict[str, Any]) -> None:
    """Reduce the schema of a request to the members that a caller may send; the gateway adds the others."""
    request["properties"] = {name: request["properties"][name] for name in MEMBERS}
    request["properties"]["id"] = {"$ref": "#/components/schemas/Uuid"}
    request["properties"]["data"] = {"$ref": "#/components/schemas/InferRequest"}
    request["properties"]["data_ref"] = {"$ref": "#/components/schemas/DataRef"}
    request["required"] = ["model"]
    request["oneOf"] = [{"required": ["data"]}, {"required": ["data_ref"]}]
    request["additionalProperties"] = False
