"""`python -m modelkit new`: write a project that works."""

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
    """Add the command to the parser's."""
    parser = add_command(
        commands,
        "new",
        run,
        summary="write a model project that trains, validates, packages and is served",
    )
    parser.add_argument("name", help="the model's name")
    parser.add_argument("--flavour", choices=("onnx", "python", "external"), default="onnx")
    parser.add_argument("--directory", type=Path, metavar="DIR", help="where to write it (default: ./NAME)")
    parser.add_argument(
        "--url", default="http://127.0.0.1:8000", help="address of the server, for the flavour external"
    )


def run(arguments: argparse.Namespace, _: Mapping[str, str]) -> CommandResult:
    """Write the project.

    Raises:
        ConfigurationError: the name cannot be one, the directory has something in it, or cannot be written.
    """
    if not _NAME.fullmatch(arguments.name):
        raise ConfigurationError(
            f"{arguments.name!r} cannot be a model's name: it has letters, digits, dots, dashes and "
            "underscores, and begins with a letter or digit"
        )
    target: Path = arguments.directory or Path(arguments.name)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise ConfigurationError(f"{target} exists and is not empty: choose another --directory")
    try:
        with replace_directory(target) as fresh:
            for file in sorted((TEMPLATES / arguments.flavour).iterdir()):
                if file.is_file():
                    text = file.read_text(encoding="utf-8")
                    text = text.replace("NAME", arguments.name).replace('"URL"', f'"{arguments.url}"')
                    (fresh / file.name).write_text(text, encoding="utf-8")
            read_project(fresh)
    except OSError as error:
        raise ConfigurationError(f"{target} cannot be written: {error}") from error
    external = arguments.flavour == "external"
    steps = ["validate"] if external else ["train", "validate"]
    text = f"{arguments.name} is written to {target}; next: " + ", then ".join(
        f"python -m modelkit {step} {target}" for step in steps
    )
    record = {"name": arguments.name, "flavour": arguments.flavour, "directory": str(target.resolve())}
    return CommandResult(text=text, record=record)
