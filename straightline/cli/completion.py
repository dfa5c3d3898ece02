"""`straightline completion`: what makes a shell complete the commands."""

import argparse
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from straightline.cli.completion_scripts import SHELLS, nodes
from straightline.cli.exit_codes import SUCCEEDED

PROGRAM = "straightline"


def add_to(commands: Any, parser: Callable[[], argparse.ArgumentParser]) -> None:
    """Add the command to the parser's.

    Args:
        commands: where to.
        parser: makes the whole parser, of which the script is made.
    """
    added: argparse.ArgumentParser = commands.add_parser(
        "completion",
        help="print the completion script of a shell",
        description="Print what makes a shell complete these commands. In ~/.bashrc or ~/.zshrc: "
        f'eval "$({PROGRAM} completion bash)"; in ~/.config/fish/config.fish: '
        f"{PROGRAM} completion fish | source",
    )
    added.add_argument("shell", choices=sorted(SHELLS))
    added.set_defaults(run=partial(_run, parser))


def _run(
    parser: Callable[[], argparse.ArgumentParser], arguments: argparse.Namespace, _environ: Mapping[str, str]
) -> int:
    print(SHELLS[arguments.shell](PROGRAM, list(nodes(parser(), PROGRAM))), end="")
    return SUCCEEDED
