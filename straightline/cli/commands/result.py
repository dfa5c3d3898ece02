"""`straightline result`: the model's answer to a request."""

import argparse
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from straightline.cli.command import GATEWAY_NOTE, add_command, add_request_id, complete_path, seconds
from straightline.cli.exit_codes import SUCCEEDED
from straightline.cli.format import format_answer
from straightline.cli.gateway import GatewayClient, open_gateway
from straightline.errors import ConfigurationError, NotFound, ResultTimeout, SchedulerUnreachable

MIN_POLL_INTERVAL_S: Final = 0.1
MAX_POLL_INTERVAL_S: Final = 2.0
"""Seconds between two polls while waiting."""


def register(commands: Any) -> None:
    """Add the command to the parser."""
    parser = add_command(
        commands,
        "result",
        help="print the result of a request",
        description="Print the model's answer to a request, whichever client submitted it." + GATEWAY_NOTE,
        example="straightline result 0193c9a2-7c5e-7b3e-8a51-1f6f2d1c9a10 --wait --timeout 300",
        json="print the V2 infer response unchanged",
    )
    add_request_id(parser)
    out = "write the V2 infer response to FILE, unchanged"
    complete_path(parser.add_argument("--out", metavar="FILE", help=out))
    parser.add_argument("--wait", action="store_true", help="wait until the request has ended")
    parser.add_argument(
        "--timeout", type=seconds, default=60.0, metavar="S", help="seconds that --wait waits (default: 60)"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Fetch the result, waiting with `--wait`, and print or write it.

    Raises:
        StraightLineError: as `GatewayClient.request`.
    """
    body = _fetch(open_gateway(environ), arguments.id, arguments.timeout if arguments.wait else 0.0)
    if arguments.out:
        try:
            Path(arguments.out).write_bytes(body)
        except OSError as error:
            raise ConfigurationError(
                f"the result cannot be written: {error}. Give --out a writable path"
            ) from error
    elif arguments.json:
        sys.stdout.buffer.write(body + b"\n")
        sys.stdout.buffer.flush()
    else:
        print("\n".join(format_answer(body)))
    return SUCCEEDED


def _fetch(gateway: GatewayClient, request_id: str, timeout: float) -> bytes:
    deadline = time.monotonic() + timeout
    pause = MIN_POLL_INTERVAL_S
    while True:
        try:
            return gateway.request("GET", "requests", request_id, "result")
        except (ResultTimeout, NotFound, SchedulerUnreachable):
            # A request that has not reached the ledger yet is unknown too.
            if time.monotonic() + pause > deadline:
                raise
        time.sleep(pause)
        pause = min(2 * pause, MAX_POLL_INTERVAL_S)
