"""`python -m modelkit train`: make the model."""

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
    """Add the command to the parser's."""
    parser = add_command(
        commands,
        "train",
        run,
        summary="train a project's model in the training image, and assemble its bundle",
        more="The image is STRAIGHTLINE_TRAIN_IMAGE.",
    )
    add_project(parser)
    add_runtime(parser)


def run(arguments: argparse.Namespace, environ: Mapping[str, str]) -> CommandResult:
    """Train.

    Raises:
        StraightLineError: any of what `modelkit.training.train` raises.
    """
    settings = load(KitSettings, environ)
    project = chosen_project(arguments)
    runtime = chosen_runtime(arguments, environ, settings, training=True)
    with Console(project.build / "train.log") as console:
        record = train(project, runtime, console, wheelhouse=settings.wheelhouse)
    text = (
        f"{project.title} is trained in {record.seconds:.1f} s ({record.runtime}); its bundle is "
        f"{project.build / 'bundle'}, sha256:{record.bundle}"
    )
    return CommandResult(text=text, record=record)
