"""`straightline status`: the state of a request."""

import argparse
from collections.abc import Mapping
from typing import Any

from straightline.cli.command import GATEWAY_NOTE, add_command, add_request_id, print_answer
from straightline.cli.gateway import open_gateway
from straightline.contracts.http_models import RequestStatus
from straightline.support.terminal import facts, moment, printable, seconds


def register(commands: Any) -> None:
    """Add the command to the parser."""
    parser = add_command(
        commands,
        "status",
        help="show the state of a request",
        description="Show the current state of a request, or how it ended." + GATEWAY_NOTE,
        example="straightline status 0193c9a2-7c5e-7b3e-8a51-1f6f2d1c9a10",
        json="print JSON (schema: request-status.json)",
    )
    add_request_id(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Query the gateway and print the answer.

    Raises:
        StraightLineError: as `GatewayClient.get`.
    """
    status = open_gateway(environ).get(RequestStatus, "requests", arguments.id)
    return print_answer(arguments, status, text)


def text(status: RequestStatus) -> str:
    """Format a status."""
    took = None
    if status.submitted_at is not None and status.finished_at is not None:
        took = seconds(status.finished_at - status.submitted_at)
    error = " ".join(filter(None, (status.error_class and f"{status.error_class}:", status.error)))
    lines = [f"{status.id}  {status.state}{', being cancelled' if status.cancelling else ''}"]
    lines += facts(
        [
            ("model", " ".join(filter(None, (status.model, status.version)))),
            ("class", status.class_),
            ("batch", status.batch_id),
            ("backend", status.backend),
            ("worker", status.worker),
            ("placements", str(status.attempts) if status.attempts else None),
            ("held", status.held_reason),
            ("held since", moment(status.held_since)),
            ("running since", moment(status.started_at)),
            ("submitted", moment(status.submitted_at)),
            ("deadline", moment(status.deadline)),
            ("finished", moment(status.finished_at)),
            ("took", took),
            ("data", None if status.r_d is None else f"{status.r_d:,} bytes"),
            ("cost", None if status.cost is None else f"${status.cost:.6f}"),
            ("error", error),
            ("note", status.note),
        ]
    )
    return printable("\n".join(lines))
