"""A file of requests as a job: begun, taken up again, or given up."""

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
from straightline.batch.runner import MAX_IN_FLIGHT, RunCounts, Runner
from straightline.errors import ConfigurationError
from straightline.ids import new_id
from straightline.producer.producer import Producer, new_reply_address
from straightline.storage.store import Store

CONFIRM_TIMEOUT_S: Final = 10.0
"""Seconds until the broker counts as unreachable."""
DIGEST_EDGE_BYTES: Final = 64 * 1024
"""Bytes of a file's beginning and end by which it is known again."""
CANCEL_POLL_INTERVAL_S: Final = 0.1
"""Seconds between looks whether a running job has given up."""


class Connections(msgspec.Struct, frozen=True, kw_only=True):
    """What a job is sent through.

    Attributes:
        broker_url: of the broker.
        store: of large data; None sends it inline.
        confirm_timeout: seconds until the broker counts as unreachable.
    """

    broker_url: str
    store: str | Store | None = None
    confirm_timeout: float = CONFIRM_TIMEOUT_S

    def producer(self, reply_address: str | None) -> Producer:
        """Return a producer that keeps no results beside those that are waited for; `inbox` as there."""
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
    """What became of a job.

    Attributes:
        job: its id, the `batch_id` of its requests.
        state: `done`, `cancelled`, or `stopped`, which can be taken up again.
        lines: of the input, that are done.
        succeeded: answered, in `out`.
        failed: of which the request ended otherwise, in `failed_file`.
        refused: that were no request, there as well.
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
    """Run a job until all its lines are done, or take up again the one that `out` has the journal of.

    Args:
        source: JSON Lines, one request each; see `straightline.batch.items`.
        out: for the answers.
        connections: to the broker, and to a store.
        defaults: for lines that do not say it themselves.
        failed: for the report of lines without an answer; None takes `out` with `.failed` behind it.
        ordered: whether the answers are written in the input's order.
        overwrite: whether an `out` that is there already, and no unfinished job's, is written anew; never the
            input, under any name.
        stop: asked several times a second: whether to leave off.
        progress: told as often.

    Raises:
        ConfigurationError: a file cannot be used, or the journal is of another job; nothing was sent.
        BrokerUnavailable: there is no broker.
        Unroutable: it has no queue for requests.
    """
    journal = journal_path(out)
    failed = failed or out.with_name(out.name + ".failed")
    _apart(source, out, failed)
    _somewhere(out)
    _somewhere(failed)
    if not journal.exists():
        cancel_marker_path(journal).unlink(missing_ok=True)
        if not overwrite:
            _absent(out)
            _absent(failed)
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
    """Give up the unfinished job of `out`: what was submitted is taken back, the rest not sent.

    Every line that has no answer stands in the report then, to be submitted again.

    Returns:
        What became of it; None where another process runs it, which was told and has given it up.

    Raises:
        ConfigurationError: there is none.
        BrokerUnavailable, Unroutable: as `run`.
    """
    path = journal_path(out)
    if not path.exists():
        raise ConfigurationError(f"there is no unfinished job of {out}: {path} is not there")
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
            progress=lambda tally: progress(journal.progress, tally),
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
        raise ConfigurationError(f"there is no input {source}")
    if not source.is_file():
        raise ConfigurationError(f"the input {source} is no file: a job reads it more than once")
    try:
        return source.open("rb")
    except OSError as error:
        raise ConfigurationError(f"the input cannot be read: {error}") from error


def _apart(source: Path, out: Path, failed: Path) -> None:
    """Refuse to write over the input, and answers and report over each other: one file by any two names."""
    named = [("the input", source), ("--out", out), ("--failed", failed)]
    for (role, path), (other, second) in itertools.combinations(named, 2):
        if path.resolve() == second.resolve() or (
            path.exists() and second.exists() and path.samefile(second)
        ):
            raise ConfigurationError(
                f"{role} and {other} are the same file, {second}, which would be lost: give another --out "
                "or --failed (by itself the report is OUT.failed)"
            )


def _somewhere(path: Path) -> None:
    if not path.absolute().parent.is_dir():
        raise ConfigurationError(f"there is no directory {path.parent} for {path.name}: make it first")


def _absent(path: Path) -> None:
    if path.exists() and path.stat().st_size > 0:
        raise ConfigurationError(f"{path} is there already: give --overwrite to replace it, or another name")
