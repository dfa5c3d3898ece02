"""`straightline batch submit | cancel`: a file of requests as one job."""

import argparse
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TextIO

import msgspec

from straightline.cli.command import add_command, complete_path, print_json, seconds
from straightline.cli.exit_codes import BAD_LINES, EXIT_CODE_HELP, FAILED, INTERRUPTED, SUCCEEDED
from straightline.contracts.parsing.error_hints import explain
from straightline.errors import ContractError
from straightline.names import BACKENDS
from straightline.settings import load
from straightline.support.terminal import printable

if TYPE_CHECKING:
    from straightline.batch.jobs import Connections, Report
    from straightline.batch.journal import Progress
    from straightline.batch.runner import RunCounts

PLAIN_PROGRESS_INTERVAL_S: Final = 10.0
"""Seconds between lines of progress where there is no terminal."""


class Settings(msgspec.Struct, frozen=True):
    """What these commands read from the environment; as `straightline submit`."""

    broker_url: str
    store: str | None = None


def register(commands: Any) -> None:
    """Add the commands to the parser's."""
    batch = commands.add_parser(
        "batch",
        help="a file of requests as one job",
        description="A file of requests as one job.",
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
        help="run a job, or take it up again",
        description="Send every line of FILE as a request of class `batch`, which waits for free resources, "
        "and write the answers. A line is a V2 infer request, or "
        '{"custom_id": ..., "model": ..., "data": {...}}. After Ctrl-C or a crash the same command goes on '
        "where it was: what is done is not done again.",
        json="print JSON: {job, state, lines, succeeded, failed, refused, out, failed_file}",
    )
    complete_path(parser.add_argument("input", metavar="FILE", help="JSON Lines, one request each"))
    parser.add_argument("--model", help="of the lines that name none")
    parser.add_argument("--model-version", metavar="VERSION", help="a version of it")
    complete_path(
        parser.add_argument("--out", required=True, metavar="FILE", help="for the answers, JSON Lines")
    )
    failed = "for the lines without an answer, with reasons (default: OUT.failed)"
    complete_path(parser.add_argument("--failed", metavar="FILE", help=failed))
    parser.add_argument("--ordered", action="store_true", help="write answers in the input's order")
    parser.add_argument("--overwrite", action="store_true", help="replace an OUT that is there already")
    parser.add_argument("--watch", action="store_true", help="show how far it came")
    parser.add_argument("--deadline", type=seconds, metavar="S", help="for each line, from when it is sent")
    parser.add_argument(
        "--allow", action="append", choices=BACKENDS, help="a backend that may answer (repeatable)"
    )
    _add_patience(parser)
    parser.set_defaults(run=submit)


def _add_patience(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--confirm-timeout",
        type=seconds,
        default=10.0,
        metavar="S",
        help="seconds until the broker counts as unreachable at the start (default 10)",
    )


def _add_cancel(commands: Any) -> None:
    parser = add_command(
        commands,
        "cancel",
        help="give up a job",
        description="Take back what was submitted of the unfinished job that writes OUT, whether it runs at "
        "present or not. Lines without an answer stand in its report, to be submitted again.",
        json="print JSON, as submit does",
    )
    complete_path(parser.add_argument("out", metavar="FILE", help="the --out of the job"))
    _add_patience(parser)
    parser.set_defaults(run=cancel)


def submit(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Run the job and print what became of it.

    Raises:
        StraightLineError: any of what `straightline.batch.jobs.run` raises.
    """
    from straightline.batch.items import Defaults  # noqa: PLC0415 - other commands need no broker
    from straightline.batch.jobs import run  # noqa: PLC0415 - likewise

    try:
        defaults = msgspec.convert(
            {
                "model": arguments.model,
                "version": arguments.model_version,
                "deadline": arguments.deadline,
                "allow": arguments.allow,
            },
            Defaults,
        )
    except msgspec.ValidationError as error:
        raise ContractError(
            f"--model or --model-version cannot be a name: {explain(error, Defaults)}"
        ) from error
    source = Path(arguments.input)
    connections = _connections(arguments, environ)
    watcher = ProgressPrinter(source, sys.stderr) if arguments.watch else None
    with _interrupts() as stopped:
        report = run(
            source,
            Path(arguments.out),
            connections,
            defaults=defaults,
            failed=Path(arguments.failed) if arguments.failed else None,
            ordered=arguments.ordered,
            overwrite=arguments.overwrite,
            stop=lambda: bool(stopped),
            progress=watcher.show if watcher else lambda *_: None,
        )
    if watcher:
        watcher.close()
    return _tell(report, as_json=arguments.json)


def cancel(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Give the job up and print what became of it.

    Raises:
        StraightLineError: any of what `straightline.batch.jobs.cancel` raises.
    """
    from straightline.batch import jobs  # noqa: PLC0415 - other commands need no broker

    report = jobs.cancel(Path(arguments.out), _connections(arguments, environ))
    if report is None:
        print(f"the job of {arguments.out} was told, and has given up")
    else:
        _tell(report, as_json=arguments.json)
    return SUCCEEDED


class ProgressPrinter:
    """Shows how far a job came: a bar at a terminal, a line now and then elsewhere.

    Args:
        source: the input.
        to: where to show it.
    """

    def __init__(self, source: Path, to: TextIO) -> None:
        from straightline.batch.rate import RateMeter  # noqa: PLC0415 - other commands show none

        self._pace = RateMeter(source.stat().st_size if source.exists() else 0)
        self._to = to
        self._terminal = to.isatty()
        self._next = 0.0
        self._width = 0
        self._last = ""

    def show(self, progress: "Progress", tally: "RunCounts") -> None:
        """Show it, where it is time."""
        from straightline.batch.rate import progress_bar, progress_line  # noqa: PLC0415 - as above

        now = time.monotonic()
        self._pace.add(now, progress.lines, progress.bytes)
        failed = progress.ended + progress.refused
        text = printable(
            progress_line(self._pace, lines=progress.lines, failed=failed, trouble=tally.trouble)
        )
        self._last = text
        if self._terminal:
            text = f"{progress_bar(self._pace.share)} {text}"[:150]
            self._to.write("\r" + text.ljust(self._width))
            self._width = len(text)
        elif now >= self._next:
            self._to.write(text + "\n")
            self._next = now + PLAIN_PROGRESS_INTERVAL_S
        self._to.flush()

    def close(self) -> None:
        """Show the end."""
        self._to.write("\n" if self._terminal else f"{self._last}\n")


def _connections(arguments: argparse.Namespace, environ: Mapping[str, str]) -> "Connections":
    from straightline.batch.jobs import Connections  # noqa: PLC0415 - as above

    settings = load(Settings, environ)
    return Connections(
        broker_url=settings.broker_url, store=settings.store, confirm_timeout=arguments.confirm_timeout
    )


@contextmanager
def _interrupts() -> Iterator[list[int]]:
    """Note the first Ctrl-C or SIGTERM in place of breaking off in the middle; a second one breaks off."""
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


def _tell(report: "Report", *, as_json: bool) -> int:
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
    text = f"job {report.job} {report.state}: {report.lines:,} lines, {report.succeeded:,} answered"
    if report.failed or report.refused:
        text += f", {report.failed:,} failed, {report.refused:,} refused (see {report.failed_file})"
    if report.state == "stopped":
        text += "; the same command goes on from here"
    return printable(text)
