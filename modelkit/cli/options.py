"""Options that several commands share."""

import argparse
import textwrap
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from model_server.models.bundle import check_digest
from modelkit.cli.exit_codes import EXIT_CODES
from modelkit.cli.result import CommandResult
from modelkit.jobs.child import ChildRuntime
from modelkit.jobs.job import Runtime
from modelkit.project import Project, assemble, read_project
from modelkit.settings import KitSettings
from modelkit.validation import require_validated

HELP_WIDTH: Final = 100
RunCommand = Callable[[argparse.Namespace, Mapping[str, str]], CommandResult]


def add_command(
    commands: Any, name: str, run: RunCommand, *, summary: str, description: str, example: str
) -> argparse.ArgumentParser:
    """Add the parser of a command, with `--json`, an example and the exit codes.

    Args:
        commands: the subparsers to add it to.
        name: the command's name.
        run: runs the command.
        summary: a few words for the list of commands.
        description: sentences for the command's own help.
        example: a command line that works as printed.
    """
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=summary,
        description=textwrap.fill(description, HELP_WIDTH, break_on_hyphens=False),
        epilog=f"example:\n  {example}\n\n{EXIT_CODES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--json", action="store_true", help="print the result, or the error, as JSON")
    parser.set_defaults(run=run)
    return parser


def add_project(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that `chosen_project` reads."""
    parser.add_argument(
        "project", type=Path, nargs="?", default=Path(), help="project directory (default: this directory)"
    )
    parser.add_argument(
        "--build", type=Path, metavar="DIR", help="build directory (default: build/ in the project)"
    )


def chosen_project(arguments: argparse.Namespace) -> Project:
    """Read the project that the arguments name.

    Raises:
        ConfigurationError: the project is unusable.
    """
    return read_project(arguments.project, arguments.build)


def add_bundle(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that `chosen_bundle` reads, and the wheelhouse."""
    add_project(parser)
    parser.add_argument(
        "--bundle", type=Path, metavar="DIR", help="use this validated bundle instead of a project"
    )
    parser.add_argument("--digest", help="SHA-256 that the bundle must have, in hexadecimal (default: any)")
    parser.add_argument(
        "--wheelhouse",
        type=Path,
        metavar="DIR",
        help="directory of wheels to install from, without a network (default: STRAIGHTLINE_WHEELHOUSE)",
    )


def chosen_bundle(arguments: argparse.Namespace) -> tuple[Path, Project | None]:
    """Return the bundle that the arguments name, and its project unless `--bundle` is given.

    Raises:
        ConfigurationError: the project or the digest is unusable.
        NotValidated, BelowMinimum: the project's bundle has no accepted validation.
        DigestMismatch: the bundle has another digest than `--digest`.
    """
    project = None
    if arguments.bundle is not None:
        bundle: Path = arguments.bundle
    else:
        project = chosen_project(arguments)
        bundle = assemble(project)
        require_validated(project, bundle)
    if arguments.digest is not None:
        check_digest(bundle, arguments.digest)
    return bundle, project


def add_runtime(parser: argparse.ArgumentParser, setting: str) -> None:
    """Add the arguments that `chosen_runtime` reads."""
    parser.add_argument(
        "--runtime",
        choices=("docker", "local"),
        default="docker",
        help="docker: a container of the engine at DOCKER_HOST; local: a child process (default: docker)",
    )
    parser.add_argument("--image", help=f"image of the container (default: {setting})")


def chosen_runtime(
    arguments: argparse.Namespace, environ: Mapping[str, str], settings: KitSettings, *, training: bool
) -> Runtime:
    """Return the runtime that the arguments name."""
    if arguments.runtime == "local":
        return ChildRuntime(environ)
    from modelkit.jobs.container import ContainerRuntime  # noqa: PLC0415 - loads Docker's SDK

    name = "TRAIN" if training else "VALIDATE"
    image = arguments.image or (settings.train_image if training else settings.validate_image)
    return ContainerRuntime(image, environ, f"--image or STRAIGHTLINE_{name}_IMAGE", settings.job_tmp)
