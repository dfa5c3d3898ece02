"""`straightline failures`: failure rates of backends and models."""

import argparse
from collections.abc import Mapping, Sequence
from typing import Any, Final

from straightline.cli.command import GATEWAY_NOTE, add_command, print_answer
from straightline.cli.gateway import open_gateway
from straightline.contracts.http_models import FailureRate, FailureReport
from straightline.support.durations import duration_argument
from straightline.support.terminal import moment, percent, printable, table

HEADINGS = ("attempts", "failed", "rate", "outcomes", "failed", "rate", "rejected", "cold", "errors")
NEVER_PLACED: Final = {"backend": "(never placed)", "model": "(none readable)"}
"""What stands for outcomes without a backend, and for those of messages that name no model."""


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
    return tables(window, report.by_backend, report.by_model, report.by_version)


def tables(
    window: str,
    by_backend: Sequence[FailureRate],
    by_model: Sequence[FailureRate],
    by_version: Sequence[FailureRate],
) -> str:
    """Lay out rates below the words that say of which window: versions where models have several; pure."""
    if not by_backend and not by_model:
        return f"{window}: nothing was attempted."
    named = [("backend", by_backend), ("model", by_model)]
    if by_version:
        named.append(("version", by_version))
    return "\n\n".join([window, *(_table(name, rates) for name, rates in named)])


def _table(name: str, rates: Sequence[FailureRate]) -> str:
    return table([(name, *HEADINGS), *(_row(rate, NEVER_PLACED.get(name, "-")) for rate in rates)])


def _row(rate: FailureRate, no_name: str) -> tuple[str, ...]:
    return (
        printable(rate.name or no_name),
        str(rate.attempts),
        str(rate.attempts_failed),
        percent(rate.attempt_failure_rate),
        str(rate.outcomes),
        str(rate.outcomes_failed),
        percent(rate.failure_rate),
        str(rate.rejected),
        str(rate.cold_starts),
        printable(", ".join(f"{name} {count}" for name, count in rate.errors.items())),
    )


def _since(text: str) -> str:
    duration_argument(text)
    return text
