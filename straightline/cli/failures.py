"""`straightline failures`: how often backends and models fail."""

import argparse
from collections.abc import Mapping
from typing import Any

from straightline.cli.command import GATEWAY, add_command, print_json
from straightline.cli.exits import SUCCEEDED
from straightline.cli.gateway import open_gateway
from straightline.contracts.answers import FailureRate, FailureReport
from straightline.durations import duration
from straightline.terminal import moment, percent, printable, table

HEADINGS = ("attempts", "failed", "rate", "outcomes", "failed", "rate", "rejected", "cold", "errors")
NO_NAME = "(never placed)"


def add_to(commands: Any) -> None:
    """Add the command to the parser's."""
    parser = add_command(
        commands,
        "failures",
        help="failure rates of backends and models",
        description="Say how often each backend and each model failed, by attempts and by outcomes."
        + GATEWAY,
        json="print JSON: failure-report.json of the contracts",
    )
    parser.add_argument(
        "--since", type=_since, default="1h", metavar="T", help="how far back: 30s, 15m, 1h, 7d (default 1h)"
    )
    parser.add_argument("--model", help="this model alone")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Ask and print.

    Raises:
        StraightLineError: any of what `Gateway.get` raises.
    """
    query = {"since": arguments.since} | ({"model": arguments.model} if arguments.model else {})
    report = open_gateway(environ).get(FailureReport, "failures", **query)
    if arguments.json:
        print_json(report)
    else:
        print(text(report))
    return SUCCEEDED


def text(report: FailureReport) -> str:
    """Lay out failure rates for people, as tables; pure."""
    window = f"Failures from {moment(report.since)} to {moment(report.until)}"
    if not report.by_backend and not report.by_model:
        return f"{window}: nothing was attempted."
    tables = [("backend", report.by_backend), ("model", report.by_model)]
    if report.by_version:
        tables.append(("version", report.by_version))
    return printable(
        "\n\n".join([window, *(table([(name, *HEADINGS), *map(_row, rates)]) for name, rates in tables)])
    )


def _row(rate: FailureRate) -> tuple[str, ...]:
    return (
        rate.name or NO_NAME,
        str(rate.attempts),
        str(rate.attempts_failed),
        percent(rate.attempt_failure_rate),
        str(rate.outcomes),
        str(rate.outcomes_failed),
        percent(rate.failure_rate),
        str(rate.rejected),
        str(rate.cold_starts),
        ", ".join(f"{name} {count}" for name, count in rate.errors.items()),
    )


def _since(text: str) -> str:
    try:
        duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return text
