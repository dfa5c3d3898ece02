"""`python -m straightline.contracts.documents.schema [DIRECTORY]`: the JSON Schema of each message."""

import argparse
import inspect
from collections.abc import Mapping
from pathlib import Path
from types import GenericAlias
from typing import Any, Final, get_args, get_origin

import msgspec

from straightline import contracts

MESSAGES: Final[dict[str, type[msgspec.Struct]]] = {
    "request": contracts.Request,
    "cancel": contracts.Cancel,
    "cancel-answer": contracts.CancelAnswer,
    "ticket": contracts.Ticket,
    "outcome": contracts.Outcome,
    "outcome-batch": contracts.OutcomeBatch,
    "recall": contracts.Recall,
    "lease-batch": contracts.LeaseBatch,
    "failed-attempts": contracts.FailedAttempts,
    "heartbeat": contracts.Heartbeat,
    "feedback": contracts.Feedback,
    "deployed": contracts.Deployed,
    "breaker-state": contracts.BreakerState,
    "status-events": contracts.StatusEvents,
    "infer-request": contracts.InferRequest,
    "infer-response": contracts.InferResponse,
    "model": contracts.ModelFile,
    "request-status": contracts.RequestStatus,
    "placement-history": contracts.PlacementHistory,
    "backend-list": contracts.BackendList,
    "model-list": contracts.ModelList,
    "failure-report": contracts.FailureReport,
    "batch-status": contracts.BatchStatus,
    "batch-list": contracts.BatchList,
    "problem": contracts.Problem,
}
"""The messages by file name."""


def schema(message: type[msgspec.Struct]) -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of a message."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **msgspec.json.schema(_documentable(message)),
    }


def components(messages: Mapping[str, type[msgspec.Struct]]) -> dict[str, Any]:
    """Return the schemas of messages by the given names, and of the structures in them by their own.

    References between them are those of components in an OpenAPI or AsyncAPI document.
    """
    found: dict[str, Any] = {}
    for name, message in messages.items():
        whole = schema(message)
        del whole["$schema"]
        for inner, content in whole.pop("$defs", {}).items():
            found.setdefault(inner, _moved(content))
        found.setdefault(name, _moved(whole))
    return found


def _moved(content: Any) -> Any:
    if isinstance(content, dict):
        return {
            key: value.replace("#/$defs/", "#/components/schemas/")
            if key == "$ref" and isinstance(value, str)
            else _moved(value)
            for key, value in content.items()
        }
    return [_moved(item) for item in content] if isinstance(content, list) else content


def _documentable(kind: Any) -> Any:
    """Return the structure without defaults of `Raw`, which msgspec cannot encode in a schema."""
    if get_origin(kind) is list:
        return GenericAlias(list, (_documentable(get_args(kind)[0]),))
    if not (isinstance(kind, type) and issubclass(kind, msgspec.Struct)):
        return kind
    fields = msgspec.structs.fields(kind)
    types = [_documentable(field.type) for field in fields]
    raw = [isinstance(field.default, msgspec.Raw) for field in fields]
    if not any(raw) and types == [field.type for field in fields]:
        return kind
    return msgspec.defstruct(
        kind.__name__,
        [
            (field.name, changed)
            if field.required
            else (
                field.name,
                changed | msgspec.UnsetType if was_raw else changed,
                msgspec.UNSET if was_raw else _default(field),
            )
            for field, changed, was_raw in zip(fields, types, raw, strict=True)
        ],
        namespace={"__doc__": inspect.getdoc(kind)},
        kw_only=True,
        rename={field.name: field.encode_name for field in fields},
        forbid_unknown_fields=kind.__struct_config__.forbid_unknown_fields,
    )


def _default(field: msgspec.structs.FieldInfo) -> Any:
    if field.default is msgspec.NODEFAULT:
        return msgspec.field(default_factory=field.default_factory)
    return field.default


def render(message: type[msgspec.Struct]) -> str:
    """Return a message's schema as text."""
    encoded = msgspec.json.encode(schema(message), order="sorted")
    return msgspec.json.format(encoded, indent=2).decode() + "\n"


def write(directory: Path) -> None:
    """Write every schema into `directory`."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, message in MESSAGES.items():
        (directory / f"{name}.json").write_text(render(message), encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Write the JSON Schema of every message.")
    parser.add_argument("directory", nargs="?", type=Path, default=Path("docs/contracts"))
    write(parser.parse_args().directory)
