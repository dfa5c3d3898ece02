"""Helpers of the commands: help with an example, JSON output."""

import argparse
from typing import Any

import msgspec


def add_command(commands: Any, name: str, *, help: str, example: str) -> argparse.ArgumentParser:  # noqa: A002
    """Add a command whose help ends with an example."""
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=help,
        description=help[0].upper() + help[1:] + ".",
        epilog=f"example:\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    return parser


def to_json(value: Any) -> str:
    """Return indented JSON."""
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode("utf-8", "replace")
