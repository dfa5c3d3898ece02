"""Jobs in files: start, resume and cancel."""

import hashlib
import itertools
import time
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

from straightline.batch.files import FileJobStore
from straightline.batch.items import Defaults
from straightline.batch.journal import (
    JobDescription,
    Journal,
    JournalLocked,
    Progress,
    cancel_marker_path,
    journal_path,
)
from straightline.batch.line_state import RunCounts
from straightline.batch.runner import MAX_IN_FLIGHT, Runner
from straightline.errors import ConfigurationError
from straightline.ids import new_id
from straightline.producer.producer import Producer, new_reply_address
from straightline.storage.store import Store

CONFIRM_TIMEOUT_S: Final = 10.0
"""Until the broker counts as unreachable."""
DIGEST_EDGE_BYTES: Final = 64 * 1024
"""Of a file's beginning and end, which identify it when a job is resumed."""
CANCEL_POLL_INTERVAL_S: Final = 0.1
"""Between checks whether another process has cancelled its job."""


class Connections(msgspec.Struct, frozen=True, kw_only=True):
    """Broker and store of a job.

    Attributes:
        broker_url: URL of the broker.
        store: for large data; None sends it inline.
        confirm_timeout: seconds until the broker counts as unreachable.
    """

    broker_url: str
    store: str | Store | None = None
    confirm_timeout: float = CONFIRM_TIMEOUT_S

    def producer(self, reply_address: str | None) -> Producer:
        """Return a producer that keeps awaited results only."""
        return Producer(
            self.broker_url,
            store=self.store,
            confirm_timeout=self.confirm_timeout,
            window=2 * MAX_IN_FLIGHT,
            replies=True,
            kept_results=1,
            keep_inputs=False,
            reply_address=reply_address,
        )


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a job.

    Attributes:
        job: the job's id, and the `batch_id` of its requests.
        state: `done`, `cancelled`, or `stopped`, which can be resumed.
        lines: finished input lines.
        succeeded: lines with a result, in `out`.
        failed: lines whose request ended without a result, in `failed_file`.
        refused: lines that are not valid requests, in `failed_file`.
        out, failed_file: paths.
    """

    job: str
    state: str
    lines: int
    succeeded: int
    failed: int
    refused: int
    out: str
    failed_file: str


def run(
    source: Path,
    out: Path,
    connections: Connections,
    *,
    defaults: Defaults,
    failed: Path | None = None,
    ordered: bool = False,
    overwrite: bool = False,
    stop: Callable[[], bool] = lambda: False,
    progress: Callable[[Progress, RunCounts], object] = lambda *_: None,
) -> Report:
    """Run a job until all its lines are finished, or resume the one whose journal is beside `out`.

    Args:
        source: JSON Lines, one request per line; see `straightline.batch.items`.
        out: file for the results.
        connections: broker and store.
        defaults: for lines without these fields.
        failed: file for the report of lines without a result; None appends `.failed` to `out`.
        ordered: whether results are written in input order.
        overwrite: whether existing files are replaced, except those of an unfinished job, and never the
            input.
        stop: called several times a second; returns whether to stop.
        progress: called as often, with the job's progress and the counts of this run.

    Raises:
        ConfigurationError: a file is unusable, or the journal belongs to another job; nothing was sent.
        BrokerUnavailable: the broker is unreachable.
        Unroutable: the broker has no queue for requests.
    """
    journal = journal_path(out)
    failed = failed or out.with_name(out.name + ".failed")
    _check_distinct(source, out, failed)
    _check_directory(out)
    _check_directory(failed)
    if not journal.exists():
        cancel_marker_path(journal).unlink(missing_ok=True)
        if not overwrite:
            _check_absent(out)
            _check_absent(failed)
    with _opened(source) as file:
        about = _about(source, file, failed, ordered=ordered, defaults=defaults)
        with Journal(journal, about) as held, connections.producer(held.about.inbox) as producer:
            return _run(file, out, held, producer, connections, stop=stop, progress=progress)


def cancel(
    out: Path,
    connections: Connections,
    *,
    progress: Callable[[Progress, RunCounts], object] = lambda *_: None,
) -> Report | None:
    """Cancel the unfinished job of `out`: cancel its requests in flight and send no more.

    The report then lists every line without a result, ready to be submitted again.

    Returns:
        The job's result; None if another process was running the job and has cancelled it.

    Raises:
        ConfigurationError: there is no unfinished job.
        BrokerUnavailable, Unroutable: as `run`.
    """
    path = journal_path(out)
    if not path.exists():
        raise ConfigurationError(f"no unfinished job of {out}: {path} does not exist")
    cancel_marker_path(path).touch()
    while True:
        try:
            journal = Journal(path, None)
            break
        except ConfigurationError as error:
            if not path.exists():
                cancel_marker_path(path).unlink(missing_ok=True)
                return None
            if not isinstance(error, JournalLocked):
                raise
        time.sleep(CANCEL_POLL_INTERVAL_S)
    about = journal.about
    with journal, _opened(Path(about.source)) as file, connections.producer(about.inbox) as producer:
        return _run(file, out, journal, producer, connections, stop=lambda: False, progress=progress)


def _run(
    file: BinaryIO,
    out: Path,
    journal: Journal,
    producer: Producer,
    connections: Connections,
    *,
    stop: Callable[[], bool],
    progress: Callable[[Progress, RunCounts], object],
) -> Report:
    about = journal.about
    if producer.reply_queue is not None:
        producer.reply_queue.wait_ready(connections.confirm_timeout)
    with FileJobStore(journal, out) as files:
        runner = Runner(
            about.id,
            file,
            producer,
            files,
            about.defaults,
            stop=stop,
            progress=lambda counts: progress(journal.progress, counts),
            span=MAX_IN_FLIGHT if about.ordered else None,
        )
        finished = runner.run()
        state = ("cancelled" if files.cancelling() else "done") if finished else "stopped"
    if finished:
        journal.remove()
        if journal.progress.failed == 0:
            Path(about.failed).unlink(missing_ok=True)
    done = journal.progress
    return Report(
        job=about.id,
        state=state,
        lines=done.lines,
        succeeded=done.answered,
        failed=done.ended,
        refused=done.refused,
        out=str(out),
        failed_file=about.failed,
    )


def _about(
    source: Path, file: BinaryIO, failed: Path, *, ordered: bool, defaults: Defaults
) -> JobDescription:
    size = file.seek(0, 2)
    file.seek(0)
    digest = hashlib.sha256(file.read(DIGEST_EDGE_BYTES))
    file.seek(max(0, size - DIGEST_EDGE_BYTES))
    digest.update(file.read(DIGEST_EDGE_BYTES))
    return JobDescription(
        id=new_id(),
        source=str(source.absolute()),
        size=size,
        digest=digest.hexdigest(),
        failed=str(failed.absolute()),
        ordered=ordered,
        defaults=defaults,
        inbox=new_reply_address(),
    )


def _opened(source: Path) -> BinaryIO:
    if not source.exists():
        raise ConfigurationError(f"the input {source} does not exist")
    if not source.is_file():
        raise ConfigurationError(
            f"the input {source} is not a regular file, which a job reads more than once: save it first"
        )
    try:
        return source.open("rb")
    except OSError as error:
        raise ConfigurationError(f"the input cannot be read: {error}") from error


def _check_distinct(source: Path, out: Path, failed: Path) -> None:
    """Check that input, results and report are three files, under whatever names."""
    named = [("the input", source), ("--out", out), ("--failed", failed)]
    for (role, path), (other, second) in itertools.combinations(named, 2):
        if path.resolve() == second.resolve() or (
            path.exists() and second.exists() and path.samefile(second)
        ):
            raise ConfigurationError(
                f"{role} and {other} are the same file, {second}, which would be overwritten: give another "
                "--out or --failed (default: OUT.failed)"
            )


def _check_directory(path: Path) -> None:
    if not path.absolute().parent.is_dir():
        raise ConfigurationError(
            f"the directory {path.parent} of {path.name} does not exist: create it first"
        )


def _check_absent(path: Path) -> None:
    if path.exists() and path.stat().st_size > 0:
        raise ConfigurationError(f"{path} exists already: give --overwrite to replace it, or another name")
