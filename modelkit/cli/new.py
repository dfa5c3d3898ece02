"""`python -m modelkit new`: write a new model project."""

import argparse
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from modelkit.cli.options import add_command
from modelkit.cli.result import CommandResult
from modelkit.project import read_project
from straightline.errors import ConfigurationError
from straightline.support.atomic_directory import replace_directory

TEMPLATES: Final = Path(__file__).parents[1] / "templates"
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


def register(commands: Any) -> None:
    """Add the command's parser."""
    parser = add_command(
        commands,
        "new",
        run,
        summary="write a new model project",
        description="Write a small model project that trains, validates, packages and deploys as it is.",
        example="python -m modelkit new plane --flavour python",
    )
    parser.add_argument("name", help="name of the model")
    parser.add_argument(
        "--flavour",
        choices=("onnx", "python", "external"),
        default="onnx",
        help="onnx: an ONNX file; python: a Python callable; external: a running V2 server (default: onnx)",
    )
    parser.add_argument("--directory", type=Path, metavar="DIR", help="project directory (default: ./NAME)")
    parser.add_argument(
        "--url",
        default="http://127.0.0.1:8000",
        help="base URL of the server, with --flavour external (default: %(default)s)",
    )


def run(arguments: argparse.Namespace, _: Mapping[str, str]) -> CommandResult:
    """Write the project.

    Raises:
        ConfigurationError: the name is invalid, or the directory is not empty or cannot be written.
    """
    if not _NAME.fullmatch(arguments.name):
        raise ConfigurationError(
            f"{arguments.name!r} cannot be a model's name: use at most 128 letters, digits, dots, dashes and "
            "underscores, and begin with a letter or digit"
        )
    target: Path = arguments.directory or Path(arguments.name)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise ConfigurationError(
            f"the project cannot be written: {target} exists and is not empty. Choose another --directory"
        )
    try:
        _write(target, arguments.flavour, arguments.name, arguments.url)
    except OSError as error:
        raise ConfigurationError(f"the project cannot be written to {target}: {error}") from error
    steps = ["validate"] if arguments.flavour == "external" else ["train", "validate"]
    commands = "".join(f"\n  python -m modelkit {step} {target}" for step in steps)
    return CommandResult(
        text=f"Wrote the project {arguments.name} to {target}. Next:{commands}",
        record={
            "name": arguments.name,
            "flavour": arguments.flavour,
            "directory": str(target.resolve()),
        },
    )


def _write(target: Path, flavour: str, name: str, url: str) -> None:
    with replace_directory(target) as fresh:
        for file in sorted((TEMPLATES / flavour).iterdir()):
            if file.is_file():
                text = file.read_text(encoding="utf-8").replace("NAME", name).replace('"URL"', f'"{url}"')
                (fresh / file.name).write_text(text, encoding="utf-8")
        read_project(fresh)
