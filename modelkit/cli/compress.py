"""`python -m modelkit compress`: make the model smaller where that costs little."""

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
    """Add the command to the parser's."""
    parser = add_command(
        commands,
        "compress",
        run,
        summary="hold the weights of a project's ONNX model as 8-bit integers, and optimise its graph",
        more="It is measured before and after in the validation image; where its figure falls by more than "
        "the tolerance of model.toml, the uncompressed one stays.",
    )
    add_project(parser)
    add_runtime(parser)


def run(arguments: argparse.Namespace, environ: Mapping[str, str]) -> CommandResult:
    """Compress.

    Raises:
        StraightLineError: any of what `modelkit.compression.compress` raises.
    """
    settings = load(KitSettings, environ)
    project = chosen_project(arguments)
    runtime = chosen_runtime(arguments, environ, settings, training=False)
    with Console(project.build / "compress.log") as console:
        found = compress(project, runtime, console, wheelhouse=settings.wheelhouse)
    return CommandResult(text=f"{project.title} is compressed: {_describe(found)}", record=found)


def _describe(found: CompressionRecord) -> str:
    share = found.bytes_after / found.bytes_before
    text = f"{found.bytes_before:,} bytes before, {found.bytes_after:,} after ({share:.0%})"
    if found.before is None or found.after is None:
        return f"{text}; the project promises no figure, so none was measured"
    return f"{text}; {found.metric} {found.before:.6g} before, {found.after:.6g} after"
