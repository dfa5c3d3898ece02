"""`python -m modelkit compress`: reduce the size of an ONNX model."""

import argparse
from collections.abc import Mapping
from typing import Any

from modelkit.cli.console import Console
from modelkit.cli.options import add_command, add_project, add_runtime, chosen_project, chosen_runtime
from modelkit.cli.result import CommandResult
from modelkit.compression import compress
from modelkit.project import CompressionRecord
from modelkit.settings import KitSettings
from straightline.settings import load


def register(commands: Any) -> None:
    """Add the command's parser."""
    parser = add_command(
        commands,
        "compress",
        run,
        summary="quantise the weights of a project's ONNX model to 8 bits",
        description="Quantise the weights of a project's ONNX model to 8-bit integers, and optimise its "
        "graph. The model is validated before and after. The compressed model is rejected if the metric "
        "falls by more than the tolerance in model.toml or below the minimum, or if the file does not get "
        "smaller.",
        example="python -m modelkit compress plane --runtime local",
    )
    add_project(parser)
    add_runtime(parser, "STRAIGHTLINE_VALIDATE_IMAGE")


def run(arguments: argparse.Namespace, environ: Mapping[str, str]) -> CommandResult:
    """Compress the project's model.

    Raises:
        StraightLineError: as `modelkit.compression.compress`.
    """
    settings = load(KitSettings, environ)
    project = chosen_project(arguments)
    runtime = chosen_runtime(arguments, environ, settings, training=False)
    with Console(project.build / "compress.log") as console:
        record = compress(project, runtime, console, wheelhouse=settings.wheelhouse)
    return CommandResult(text=f"Compressed {project.title}: {_describe(record)}", record=record)


def _describe(found: CompressionRecord) -> str:
    share = found.bytes_after / found.bytes_before
    size = f"{found.bytes_before:,} to {found.bytes_after:,} bytes ({share:.0%})"
    if found.before is None or found.after is None:
        return f"{size}; not validated, because model.toml has no [validate]"
    return f"{size}; {found.metric} {found.before:.6g} to {found.after:.6g}"
