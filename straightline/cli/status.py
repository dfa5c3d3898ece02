"""`straightline status`: where a request is."""

import argparse
from collections.abc import Mapping
from typing import Any

from straightline.cli.command import GATEWAY_NOTE, add_command, print_answer, request_id
from straightline.cli.gateway import open_gateway
from straightline.contracts.http_models import RequestStatus
from straightline.support.terminal import facts, moment, printable, seconds


def register(commands: Any) -> None:
    """Add the command to the parser's."""
    parser = add_command(
        commands,
        "status",
        help="where a request is",
        description="Say how far a request came, or how it ended." + GATEWAY_NOTE,
        json="print JSON: request-status.json of the contracts",
    )
    parser.add_argument("id", type=request_id, metavar="ID", help="of the request")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Ask and print.

    Raises:
        StraightLineError: any of what `Gateway.get` raises.
    """
    status = open_gateway(environ).get(RequestStatus, "requests", arguments.id)
    return print_answer(arguments, status, text)


def text(status: RequestStatus) -> str:
    """Lay out a status for people; pure."""
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
