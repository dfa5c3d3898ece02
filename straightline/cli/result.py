"""`straightline result`: the answer of the model to a request."""

import argparse
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from straightline.cli.command import GATEWAY_NOTE, add_command, complete_path, request_id, seconds
from straightline.cli.exit_codes import SUCCEEDED
from straightline.cli.format import format_answer
from straightline.cli.gateway import GatewayClient, open_gateway
from straightline.errors import ConfigurationError, NotFound, ResultTimeout, SchedulerUnreachable

MIN_POLL_INTERVAL_S: Final = 0.1
MAX_POLL_INTERVAL_S: Final = 2.0
"""Seconds between two questions while waiting."""


def register(commands: Any) -> None:
    """Add the command to the parser's."""
    parser = add_command(
        commands,
        "result",
        help="the answer to a request",
        description="Print the answer of the model to a request, whoever submitted it." + GATEWAY_NOTE,
        json="print the V2 infer response as it came",
    )
    parser.add_argument("id", type=request_id, metavar="ID", help="of the request")
    out = "write the V2 infer response there, as it came"
    complete_path(parser.add_argument("--out", metavar="FILE", help=out))
    parser.add_argument("--wait", action="store_true", help="wait until the request has ended")
    parser.add_argument(
        "--timeout", type=seconds, default=60.0, metavar="S", help="seconds that --wait waits (default 60)"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Ask, wait where that is wanted, and print.

    Raises:
        StraightLineError: any of what `GatewayClient.ask` raises.
    """
    body = _ask(open_gateway(environ), arguments.id, arguments.timeout if arguments.wait else 0.0)
    if arguments.out:
        try:
            Path(arguments.out).write_bytes(body)
        except OSError as error:
            raise ConfigurationError(f"the answer cannot be written: {error}") from error
    elif arguments.json:
        sys.stdout.buffer.write(body + b"\n")
        sys.stdout.buffer.flush()
    else:
        print("\n".join(format_answer(body)))
    return SUCCEEDED


def _ask(gateway: GatewayClient, request_id: str, patience: float) -> bytes:
    until = time.monotonic() + patience
    pause = MIN_POLL_INTERVAL_S
    while True:
        try:
            return gateway.ask("GET", "requests", request_id, "result")
        except (ResultTimeout, NotFound, SchedulerUnreachable):
            # Unknown is also what has not come to the ledger yet.
            if time.monotonic() + pause > until:
                raise
        time.sleep(pause)
        pause = min(2 * pause, MAX_POLL_INTERVAL_S)
