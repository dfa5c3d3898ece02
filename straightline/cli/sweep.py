"""`straightline sweep`: remove from a store what nobody needs any more."""

import argparse
from collections.abc import Mapping
from typing import Any

import msgspec

from straightline.cli.command import add_command, print_json
from straightline.cli.exit_codes import SUCCEEDED
from straightline.errors import ConfigurationError
from straightline.settings import load
from straightline.support.durations import duration_argument


class Settings(msgspec.Struct, frozen=True):
    """What the command reads from the environment, where no `--store` is given."""

    store: str | None = None


def register(commands: Any) -> None:
    """Add the command to the parser's."""
    parser = add_command(
        commands,
        "sweep",
        help="remove old data from a store",
        description="Remove from a store the results past their retention and the inputs that a producer "
        "could not remove itself. What others keep there is left alone. To be run now and then.",
        json="print JSON: {removed, removed_bytes, kept, kept_bytes}",
    )
    parser.add_argument("--store", metavar="URL", help="of the store (default: STRAIGHTLINE_STORE)")
    parser.add_argument(
        "--older-than",
        type=_seconds,
        required=True,
        metavar="T",
        help="such as 7d: longer than the longest deadline, and than results are to be kept",
    )
    parser.add_argument("--dry-run", action="store_true", help="count, and remove nothing")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Sweep and say what was done.

    Raises:
        ConfigurationError: the store's URL is wrong, or the time too short.
        StoreUnavailable: the store does not answer.
    """
    from straightline.storage.store import Store  # noqa: PLC0415 - other commands need no store
    from straightline.storage.sweep import sweep  # noqa: PLC0415 - likewise

    url = arguments.store or load(Settings, environ).store
    if url is None:
        raise ConfigurationError("there is no store to sweep: give --store, or set STRAIGHTLINE_STORE")
    swept = sweep(Store(url), arguments.older_than, dry_run=arguments.dry_run)
    if arguments.json:
        print_json(swept)
    else:
        verb = "would be removed" if arguments.dry_run else "removed"
        print(
            f"{swept.removed:,} files of {swept.removed_bytes:,} bytes {verb}, "
            f"{swept.kept:,} of {swept.kept_bytes:,} bytes stay"
        )
    return SUCCEEDED


def _seconds(text: str) -> float:
    return duration_argument(text).total_seconds()
