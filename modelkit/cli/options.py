"""Options that several commands have."""

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from modelkit.cli.exit_codes import EXIT_CODES
from modelkit.cli.result import CommandResult
from modelkit.jobs.child import ChildRuntime
from modelkit.jobs.job import Runtime
from modelkit.project import Project, read_project
from modelkit.settings import KitSettings

RunCommand = Callable[[argparse.Namespace, Mapping[str, str]], CommandResult]


def add_command(
    commands: Any, name: str, run: RunCommand, *, summary: str, more: str = ""
) -> argparse.ArgumentParser:
    """Add a command with what all have: `--help` with the exit codes, and `--json`."""
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=summary,
        description=f"{summary[0].upper()}{summary[1:]}. {more}".strip(),
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--json", action="store_true", help="print the result as JSON, errors too")
    parser.set_defaults(run=run)
    return parser


def add_project(parser: argparse.ArgumentParser) -> None:
    """Add the project's directory, and where to build."""
    parser.add_argument("project", type=Path, nargs="?", default=Path(), help="its directory (default: here)")
    parser.add_argument(
        "--build", type=Path, metavar="DIR", help="where to build (default: build/ in the project)"
    )


def chosen_project(arguments: argparse.Namespace) -> Project:
    """Read the project that the arguments name.

    Raises:
        ConfigurationError: it cannot be used.
    """
    return read_project(arguments.project, arguments.build)


def add_runtime(parser: argparse.ArgumentParser) -> None:
    """Add where jobs run."""
    parser.add_argument(
        "--runtime",
        choices=("docker", "local"),
        default="docker",
        help="a container of the engine at DOCKER_HOST (default), or a child process of this one",
    )
    parser.add_argument("--image", help="the container's image, instead of the setting's")


def chosen_runtime(
    arguments: argparse.Namespace, environ: Mapping[str, str], settings: KitSettings, *, training: bool
) -> Runtime:
    """Return where jobs run."""
    if arguments.runtime == "local":
        return ChildRuntime(environ)
    from modelkit.jobs.container import ContainerRuntime  # noqa: PLC0415 - Docker's SDK for this alone

    name = "TRAIN" if training else "VALIDATE"
    image = arguments.image or (settings.train_image if training else settings.validate_image)
    return ContainerRuntime(image, environ, f"--image or STRAIGHTLINE_{name}_IMAGE", settings.job_tmp)
