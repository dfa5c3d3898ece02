"""`straightline completion`: completion scripts for shells."""

import argparse
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

from straightline.cli.exit_codes import EXIT_CODE_HELP, SUCCEEDED
from straightline.errors import ConfigurationError

PROGRAM: Final = "straightline"
SHELLS: Final = ("bash", "fish", "zsh")

# shtab's zsh script registers itself with `compdef`, which is there only after `compinit`.
_PREAMBLE: Final = {"zsh": "(( $+functions[compdef] )) || { autoload -Uz compinit && compinit }"}


def register(commands: Any, parser: Callable[[], argparse.ArgumentParser]) -> None:
    """Add the command to the parser.

    Args:
        commands: the subparsers to add it to.
        parser: makes the parser of all commands, which the script completes.
    """
    added: argparse.ArgumentParser = commands.add_parser(
        "completion",
        help="print the completion script of a shell",
        description=f"""Print a script that completes these commands, their options and values.

In ~/.bashrc or ~/.zshrc:      eval "$({PROGRAM} completion bash)"   # or zsh
In ~/.config/fish/config.fish: {PROGRAM} completion fish | source

Needs shtab: pip install '{PROGRAM}[completion]'""",
        epilog=EXIT_CODE_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    added.add_argument("shell", choices=SHELLS, help="the shell that runs the script")
    added.set_defaults(run=partial(_run, parser))


def script(parser: argparse.ArgumentParser, shell: str) -> str:
    """Return the completion script of a parser for one of `SHELLS`.

    Raises:
        ConfigurationError: shtab is not installed.
    """
    try:
        import shtab  # noqa: PLC0415 - the extra `completion`; other commands must start without it
    except ImportError as error:
        raise ConfigurationError(
            f"completion scripts need shtab: install it with `pip install '{PROGRAM}[completion]'`"
        ) from error
    return shtab.complete(parser, shell, preamble=_PREAMBLE.get(shell, ""))


def _run(
    parser: Callable[[], argparse.ArgumentParser], arguments: argparse.Namespace, _environ: Mapping[str, str]
) -> int:
    print(script(parser(), arguments.shell))
    return SUCCEEDED
