"""`python -m modelkit train`: train a model."""

import argparse
from collections.abc import Mapping
from typing import Any

from modelkit.cli.console import Console
from modelkit.cli.options import add_command, add_project, add_runtime, chosen_project, chosen_runtime
from modelkit.cli.result import CommandResult
from modelkit.settings import KitSettings
from modelkit.training import train
from straightline.settings import load


def register(commands: Any) -> None:
    """Add the command's parser."""
    parser = add_command(
        commands,
        "train",
        run,
        summary="train a project's model",
        description="Run the entry point of [train] in model.toml, and assemble the bundle. If the training "
        "fails, the previous result is kept.",
        example="python -m modelkit train plane --runtime local",
    )
    add_project(parser)
    add_runtime(parser, "STRAIGHTLINE_TRAIN_IMAGE")


def run(arguments: argparse.Namespace, environ: Mapping[str, str]) -> CommandResult:
    """Train the project's model.

    Raises:
        StraightLineError: as `modelkit.training.train`.
    """
    settings = load(KitSettings, environ)
    project = chosen_project(arguments)
    runtime = chosen_runtime(arguments, environ, settings, training=True)
    with Console(project.build / "train.log") as console:
        record = train(project, runtime, console, wheelhouse=settings.wheelhouse)
    text = (
        f"Trained {project.title} in {record.seconds:.1f} s ({record.runtime}).\n"
        f"  bundle  {project.build / 'bundle'}\n"
        f"  digest  sha256:{record.bundle}"
    )
    return CommandResult(text=text, record=record)
