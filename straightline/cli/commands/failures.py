"""`straightline failures`: failure rates of backends and models."""

import argparse
from collections.abc import Mapping
from typing import Any

from straightline.cli.command import GATEWAY_NOTE, add_command, print_answer
from straightline.cli.gateway import open_gateway
from straightline.contracts.http_models import FailureReport
from straightline.report_text import failure_tables
from straightline.support.durations import duration_argument
from straightline.support.terminal import moment


def register(commands: Any) -> None:
    """Add the command to the parser."""
    parser = add_command(
        commands,
        "failures",
        help="show failure rates of backends and models",
        description="Show how often each backend and each model failed, by attempts and by outcomes."
        + GATEWAY_NOTE,
        example="straightline failures --since 24h --model digits",
        json="print JSON (schema: failure-report.json)",
    )
    parser.add_argument(
        "--since",
        type=_since,
        default="1h",
        metavar="T",
        help="length of the window, such as 30s, 15m, 1h or 7d (default: 1h)",
    )
    parser.add_argument("--model", help="show this model only")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Query the gateway and print the answer.

    Raises:
        StraightLineError: as `GatewayClient.get`.
    """
    query = {"since": arguments.since} | ({"model": arguments.model} if arguments.model else {})
    report = open_gateway(environ).get(FailureReport, "failures", **query)
    return print_answer(arguments, report, text)


def text(report: FailureReport) -> str:
    """Format failure rates as tables."""
    window = f"Failures from {moment(report.since)} to {moment(report.until)}"
    return failure_tables(window, report.by_backend, report.by_model, report.by_version)


def _since(text: str) -> str:
    duration_argument(text)
    return text
