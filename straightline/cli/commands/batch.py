"""`straightline batch submit | cancel`: jobs of many requests from a file."""

import argparse
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from straightline.cli.command import (
    add_command,
    add_confirm_timeout,
    complete_path,
    print_json,
    seconds,
)
from straightline.cli.exit_codes import BAD_LINES, EXIT_CODE_HELP, FAILED, INTERRUPTED, SUCCEEDED
from straightline.contracts.parsing.error_hints import explain
from straightline.errors import ContractError
from straightline.names import BACKENDS
from straightline.settings import load
from straightline.support.terminal import printable

if TYPE_CHECKING:
    from straightline.batch.items import Defaults
    from straightline.batch.jobs import Connections, Report


class Settings(msgspec.Struct, frozen=True):
    """Environment variables of these commands, as for `straightline submit`."""

    broker_url: str
    store: str | None = None


def register(commands: Any) -> None:
    """Add the commands to the parser."""
    batch = commands.add_parser(
        "batch",
        help="run a file of requests as one job",
        description="Run a file of requests as one job.",
        epilog=EXIT_CODE_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    below = batch.add_subparsers(required=True, metavar="COMMAND")
    _add_submit(below)
    _add_cancel(below)


def _add_submit(commands: Any) -> None:
    parser = add_command(
        commands,
        "submit",
        help="run a job, or resume it",
        description="Submit every line of FILE as a request of class `batch`, which waits for free "
        "resources, and write the results. A line is a V2 infer request, or "
        '{"custom_id": ..., "model": ..., "data": {...}}. After Ctrl-C or a crash run the same command to '
        "resume the job; finished lines are not computed again.",
        example="straightline batch submit questions.jsonl --model digits --out answers.jsonl --watch",
        json="print JSON: {job, state, lines, succeeded, failed, refused, out, failed_file}",
    )
    complete_path(parser.add_argument("input", metavar="FILE", help="JSON Lines, one request per line"))
    parser.add_argument("--model", help="model of lines that name none")
    parser.add_argument("--model-version", metavar="VERSION", help="version of that model")
    complete_path(parser.add_argument("--out", required=True, metavar="FILE", help="results, JSON Lines"))
    failed = "lines without a result, with the reason (default: OUT.failed)"
    complete_path(parser.add_argument("--failed", metavar="FILE", help=failed))
    parser.add_argument("--ordered", action="store_true", help="write results in input order")
    parser.add_argument("--overwrite", action="store_true", help="replace existing OUT and FAILED files")
    parser.add_argument("--watch", action="store_true", help="show progress on stderr")
    parser.add_argument(
        "--deadline",
        type=seconds,
        metavar="S",
        help="seconds until a line expires, from when it is sent (default: 86400)",
    )
    parser.add_argument(
        "--allow", action="append", choices=BACKENDS, help="allow this backend; repeatable (default: all)"
    )
    add_confirm_timeout(parser)
    parser.set_defaults(run=submit)


def _add_cancel(commands: Any) -> None:
    parser = add_command(
        commands,
        "cancel",
        help="cancel an unfinished job",
        description="Cancel the unfinished job that writes OUT, running or not: cancel the requests in "
        "flight and list all lines without a result in its report, ready to be submitted again.",
        example="straightline batch cancel answers.jsonl",
        json="print JSON, as `batch submit` does",
    )
    complete_path(parser.add_argument("out", metavar="OUT", help="the job's --out file"))
    add_confirm_timeout(parser)
    parser.set_defaults(run=cancel)


def submit(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Run the job and print its report.

    Raises:
        StraightLineError: as `straightline.batch.jobs.run`.
    """
    from straightline.batch.jobs import run  # noqa: PLC0415 - other commands need no broker
    from straightline.cli.commands.batch_progress import ProgressPrinter  # noqa: PLC0415 - likewise

    source = Path(arguments.input)
    connections = _connections(arguments, environ)
    printer = ProgressPrinter(source, sys.stderr) if arguments.watch else None
    with _interrupts() as stopped:
        report = run(
            source,
            Path(arguments.out),
            connections,
            defaults=_defaults(arguments),
            failed=Path(arguments.failed) if arguments.failed else None,
            ordered=arguments.ordered,
            overwrite=arguments.overwrite,
            stop=lambda: bool(stopped),
            progress=printer.show if printer else lambda *_: None,
        )
    if printer:
        printer.close()
    return _print_report(report, as_json=arguments.json)


def cancel(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Cancel the job and print its report.

    Raises:
        StraightLineError: as `straightline.batch.jobs.cancel`.
    """
    from straightline.batch import jobs  # noqa: PLC0415 - other commands need no broker

    report = jobs.cancel(Path(arguments.out), _connections(arguments, environ))
    if report is None:
        print(f"the process that runs the job of {arguments.out} has cancelled it")
    else:
        _print_report(report, as_json=arguments.json)
    return SUCCEEDED


def _defaults(arguments: argparse.Namespace) -> "Defaults":
    from straightline.batch.items import Defaults  # noqa: PLC0415 - as above

    try:
        return msgspec.convert(
            {
                "model": arguments.model,
                "version": arguments.model_version,
                "deadline": arguments.deadline,
                "allow": arguments.allow,
            },
            Defaults,
        )
    except msgspec.ValidationError as error:
        raise ContractError(f"--model or --model-version is invalid: {explain(error, Defaults)}") from error


def _connections(arguments: argparse.Namespace, environ: Mapping[str, str]) -> "Connections":
    from straightline.batch.jobs import Connections  # noqa: PLC0415 - as above

    settings = load(Settings, environ)
    return Connections(
        broker_url=settings.broker_url, store=settings.store, confirm_timeout=arguments.confirm_timeout
    )


@contextmanager
def _interrupts() -> Iterator[list[int]]:
    """Record the first Ctrl-C or SIGTERM, so that the job stops cleanly; a second one ends the process."""
    stopped: list[int] = []

    def note(number: int, _frame: object) -> None:
        stopped.append(number)
        signal.signal(number, before[number])

    before = {int(number): signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in before:
        signal.signal(number, note)
    try:
        yield stopped
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _print_report(report: "Report", *, as_json: bool) -> int:
    if as_json:
        print_json(report)
    else:
        print(_text(report))
    if report.state == "stopped":
        return INTERRUPTED
    if report.refused:
        return BAD_LINES
    return FAILED if report.failed else SUCCEEDED


def _text(report: "Report") -> str:
    text = f"job {report.job} {report.state}: {report.lines:,} lines, {report.succeeded:,} succeeded"
    if report.failed or report.refused:
        text += f", {report.failed:,} failed, {report.refused:,} refused (see {report.failed_file})"
    if report.state == "stopped":
        text += "; run the same command to resume"
    return printable(text)
