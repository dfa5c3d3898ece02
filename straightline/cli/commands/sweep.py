"""`straightline sweep`: removal of old data from a store."""

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
    """Environment variables of the command; `--store` overrides them."""

    store: str | None = None


def register(commands: Any) -> None:
    """Add the command to the parser."""
    parser = add_command(
        commands,
        "sweep",
        help="remove old data from a store",
        description="Remove results past their retention and orphaned inputs from a store. Files that "
        "StraightLine did not write are kept. Run it once a day.",
        example="straightline sweep --store s3://bucket/straightline --older-than 7d --dry-run",
        json="print JSON: {removed, removed_bytes, kept, kept_bytes}",
    )
    parser.add_argument("--store", metavar="URL", help="root URL of the store (default: STRAIGHTLINE_STORE)")
    parser.add_argument(
        "--older-than",
        type=_seconds,
        required=True,
        metavar="T",
        help="minimum age, such as 7d; longer than any deadline and than the retention of results",
    )
    parser.add_argument("--dry-run", action="store_true", help="count files without removing them")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Sweep and print the number of files and bytes.

    Raises:
        ConfigurationError: the store's URL is wrong, or the age too short.
        StoreUnavailable: the store cannot be listed or written.
    """
    from straightline.storage.store import Store  # noqa: PLC0415 - other commands need no store
    from straightline.storage.sweep import sweep  # noqa: PLC0415 - likewise

    url = arguments.store or load(Settings, environ).store
    if url is None:
        raise ConfigurationError("no store to sweep: give --store or set STRAIGHTLINE_STORE")
    swept = sweep(Store(url), arguments.older_than, dry_run=arguments.dry_run)
    if arguments.json:
        print_json(swept)
    else:
        verb = "would remove" if arguments.dry_run else "removed"
        print(
            f"{verb} {swept.removed:,} files ({swept.removed_bytes:,} bytes), "
            f"kept {swept.kept:,} ({swept.kept_bytes:,} bytes)"
        )
    return SUCCEEDED


def _seconds(text: str) -> float:
    return duration_argument(text).total_seconds()
