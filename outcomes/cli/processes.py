"""`python -m outcomes record | reconcile`: the long-running processes."""

import argparse
import os
from typing import Any, Final

from outcomes.cli.command import add_command
from outcomes.service import run_reconciler, run_recorder
from outcomes.settings import ReconcilerSettings, RecorderSettings
from straightline.settings import load
from straightline.support import failpoints, logs


def register(commands: Any) -> None:
    """Add the commands to the parser."""
    record = add_command(
        commands,
        "record",
        help="write outcomes from the queue into the ledger until SIGTERM",
        example="python -m outcomes record",
    )
    record.set_defaults(run=_record)

    reconcile = add_command(
        commands,
        "reconcile",
        help="expire lost requests and process dead letters until SIGTERM; of several, one is active",
        example="python -m outcomes reconcile",
    )
    reconcile.set_defaults(run=_reconcile)


def _record(_asked: argparse.Namespace) -> int:
    output = logs.set_up("recorder")
    failpoints.configure(os.environ)
    return run_recorder(load(RecorderSettings, os.environ), output)


def _reconcile(_asked: argparse.Namespace) -> int:
    logs.set_up("reconciler")
    failpoints.configure(os.environ)
    return run_reconciler(load(ReconcilerSettings, os.environ))


COMMANDS: Final = (_record, _reconcile)
