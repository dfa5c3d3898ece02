"""Checkpoints of a batch job in the ledger (a `straightline.batch.job_store.JobStore`)."""

import time
from contextlib import suppress
from datetime import timedelta
from typing import Final

import msgspec

from outcomes.db.errors import LedgerUnavailable
from outcomes.db.pool import LedgerPool
from outcomes.queries.batch_runs import checkpoint_job, finished_ids
from outcomes.queries.batches import Job, LineRefusal, refusals_of
from straightline.batch.custom_ids import CustomIds
from straightline.batch.items import Defaults, LineFailure, parse_line
from straightline.batch.job_store import Checkpoint, LinePosition
from straightline.batch.lines import Line, Source, lines
from straightline.contracts import Outcome
from straightline.errors import ContractError
from straightline.ids import id_of_line
from straightline.support.event_log import EventLogger

log = EventLogger(__name__)

LEASE: Final = timedelta(seconds=60)
"""Time after which another process takes a job whose runner is silent."""
MAX_LEDGER_OUTAGE_S: Final = 40.0
"""A runner stops after it: its lease is about to expire."""
LOOKUP_BATCH_SIZE: Final = 500
"""Lines of one ledger query."""
LEASE_RENEWAL_LINES: Final = 10_000
"""Lines read again between two renewals of the lease."""


class LedgerJobStore:
    """The progress of one job. The recorder stores the outcomes of its requests.

    Args:
        ledger: holds the job.
        job: the job as it was leased.
        owner: id of the runner that leased it.
        source: the lines of the job.

    Raises:
        LedgerUnavailable, LedgerNotMigrated: the ledger cannot be used.
    """

    def __init__(self, ledger: LedgerPool, job: Job, owner: str, source: Source) -> None:
        self._ledger = ledger
        self._job = job
        self._owner = owner
        self._refusals: list[LineRefusal] = []
        self._known: set[int] = set()
        self._known_up_to = 0
        self._cancelling = job.cancelling
        self._kept_at = time.monotonic()
        self._ids = CustomIds.temporary()
        self._defaults = msgspec.convert(job.defaults, Defaults)
        self.lost = False
        self.lines = 0
        """Lines done, including those of earlier runs."""
        self.ended = 0
        """Those of them that are or will be in the ledger."""
        self._read_again(source)

    def close(self) -> None:
        """Remove the temporary files."""
        self._ids.close()

    @property
    def safe(self) -> bool:
        """Whether all failed lines are in the ledger."""
        return not self.lost and not self._refusals

    def renew_lease(self) -> bool:
        """Renew the lease; return False if another process has the job."""
        with self._ledger.connection() as connection:
            cancelling = checkpoint_job(connection, self._job.id, self._owner, lease=LEASE)
        self._cancelling = bool(cancelling)
        return cancelling is not None

    def mark(self) -> Checkpoint:
        """Return the checkpoint to resume from."""
        return Checkpoint(self._job.line, self._job.at)

    def sent(self, number: int) -> bool:
        """Return whether an earlier run may have submitted the line."""
        return number <= self._job.read_up_to

    def done(self, number: int) -> bool:
        """Return whether the ledger has the end of a line after the checkpoint."""
        if not self.sent(number):
            return False
        if number > self._known_up_to:
            self._look_up(number)
        known = number in self._known
        self._count(known, known)
        return known

    def earlier(self, custom_id: str, number: int) -> int | None:
        """Register a `custom_id`; return the number of an earlier line with it, or None."""
        return self._ids.earlier(custom_id, number)

    def crowded(self) -> bool:
        """Return False: nothing is buffered here."""
        return False

    def answered(self, _place: LinePosition, _custom_id: str | None, _outcome: Outcome) -> None:
        """Count the line; the recorder stores its outcome."""
        self._count(True, True)

    def failed(self, line: Line, why: LineFailure) -> None:
        """Keep the reason of an invalid line; the recorder stores other failures."""
        refused = why.state == "refused"
        self._count(True, refused or why.id is not None)
        if refused:
            self._refusals.append(LineRefusal(line.number, why.error_class, _storable(why.message)))

    def commit(self, mark: Checkpoint, read_up_to: int) -> None:
        """Store the checkpoint; tolerate an outage of the ledger for `MAX_LEDGER_OUTAGE_S`."""
        try:
            with self._ledger.connection() as connection:
                cancelling = checkpoint_job(
                    connection,
                    self._job.id,
                    self._owner,
                    lease=LEASE,
                    refusals=self._refusals,
                    line=mark.number,
                    at=mark.offset,
                    read_up_to=max(read_up_to, self._job.read_up_to),
                )
        except LedgerUnavailable as error:
            if time.monotonic() - self._kept_at > MAX_LEDGER_OUTAGE_S:
                log.warning("job_released", job_id=self._job.id, error=error)
                self.lost = True
            return
        self._kept_at = time.monotonic()
        self._refusals = []
        self.lost = cancelling is None
        self._cancelling = bool(cancelling)

    def cancelling(self) -> bool:
        """Return whether the job is to be cancelled."""
        return self._cancelling

    def _count(self, done: int, ended: int) -> None:
        self.lines += done
        self.ended += ended

    def _look_up(self, number: int) -> None:
        last = number + LOOKUP_BATCH_SIZE - 1
        ids = {id_of_line(self._job.id, each): each for each in range(number, last + 1)}
        with self._ledger.connection() as connection:
            ended = finished_ids(connection, list(ids))
            refused = refusals_of(connection, self._job.id, number, last)
        self._known = {ids[each] for each in ended} | refused.keys()
        self._known_up_to = last

    def _read_again(self, source: Source) -> None:
        """Register the `custom_id`s of the lines before the checkpoint: no table has them."""
        for line in lines(source):
            if line.number >= self._job.line:
                return
            self._count(True, True)
            with suppress(ContractError):
                custom_id = parse_line(line.text, self._defaults).custom_id
                if custom_id is not None:
                    self._ids.earlier(custom_id, line.number)
            if line.number % LEASE_RENEWAL_LINES == 0:
                self.commit(self.mark(), self._job.read_up_to)


def _storable(text: str) -> str:
    """Return a message without the characters that Postgres rejects: it may quote the line."""
    return text.replace("\0", "\ufffd").encode(errors="replace").decode()[:2000]
