"""`straightline models`: the deployed models."""

import argparse
from collections.abc import Iterable, Mapping
from typing import Any

from straightline.cli.command import GATEWAY_NOTE, add_command, print_answer
from straightline.cli.gateway import open_gateway
from straightline.contracts.http_models import ModelEntry, ModelList
from straightline.contracts.model import TensorSpec
from straightline.support.terminal import printable, table

HEADINGS = ("model", "version", "", "runs on", "inputs", "outputs")


def register(commands: Any) -> None:
    """Add the command to the parser."""
    parser = add_command(
        commands,
        "models",
        help="list deployed models",
        description="List every version of every model with its backends and tensors." + GATEWAY_NOTE,
        example="straightline models",
        json="print JSON (schema: model-list.json)",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Query the gateway and print the answer.

    Raises:
        StraightLineError: as `GatewayClient.get`.
    """
    found = open_gateway(environ).get(ModelList, "models")
    return print_answer(arguments, found, text)


def text(found: ModelList) -> str:
    """Format one row per version."""
    if not found.models:
        return "No model is deployed."
    return printable(table([HEADINGS, *map(_row, found.models)], left=range(len(HEADINGS))))


def _row(model: ModelEntry) -> tuple[str, ...]:
    canary = "" if model.share is None else f"canary {model.share:g} %"
    return (
        model.name,
        model.version,
        "default" if model.default else canary,
        ", ".join(model.backends),
        _tensors(model.inputs),
        _tensors(model.outputs),
    )


def _tensors(tensors: Iterable[TensorSpec]) -> str:
    return ", ".join(f"{each.name} {each.datatype}{list(each.shape)}" for each in tensors)
