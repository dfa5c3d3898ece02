"""A job that is kept in the ledger; see `straightline.batch.job_store.JobStore`."""

import logging
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

log = logging.getLogger(__name__)

LEASE: Final = timedelta(seconds=60)
"""How long a job is left to a runner of which nothing is heard."""
MAX_LEDGER_OUTAGE_S: Final = 40.0
"""Seconds without the ledger after which a runner stops: another may take the job soon."""
LOOKUP_BATCH_SIZE: Final = 500
"""Lines about which the ledger is asked at once."""
LEASE_RENEWAL_LINES: Final = 10_000
"""Lines that are read again before the lease is lengthened."""


class LedgerJobStore:
    """The book of one job. What became of its requests is the recorder's to note.

    Args:
        reader: of the ledger.
        job: as it was taken.
        owner: who took it.
        source: its lines.

    Raises:
        LedgerUnavailable, LedgerNotMigrated: the ledger cannot be asked.
    """

    def __init__(self, reader: LedgerPool, job: Job, owner: str, source: Source) -> None:
        self._reader = reader
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
        """Lines that are done, the job's earlier runs included."""
        self.ended = 0
        """Of them, those that the ledger knows of, or will."""
        self._read_again(source)

    def close(self) -> None:
        """Let go of what is kept here."""
        self._ids.close()

    @property
    def safe(self) -> bool:
        """Whether all that was to be kept here is in the ledger."""
        return not self.lost and not self._refusals

    def keep(self) -> bool:
        """Have the job for another while; False where another process has it by now."""
        with self._reader.connection() as connection:
            cancelling = checkpoint_job(connection, self._job.id, self._owner, lease=LEASE)
        self._cancelling = bool(cancelling)
        return cancelling is not None

    def mark(self) -> Checkpoint:
        """Return from where on lines are to be read."""
        return Checkpoint(self._job.line, self._job.at)

    def sent(self, number: int) -> bool:
        """Whether the line may have been sent by who had the job before."""
        return number <= self._job.read_up_to

    def done(self, number: int) -> bool:
        """Whether the ledger knows how a line behind the mark ended."""
        if not self.sent(number):
            return False
        if number > self._known_up_to:
            self._look_up(number)
        known = number in self._known
        self._count(known, known)
        return known

    def earlier(self, custom_id: str, number: int) -> int | None:
        """Note a `custom_id`; return the number of the line that has had it before, or None."""
        return self._ids.earlier(custom_id, number)

    def crowded(self) -> bool:
        """Nothing is kept here that could become too much."""
        return False

    def answered(self, _place: LinePosition, _custom_id: str | None, _outcome: Outcome) -> None:
        """Count it; the recorder notes it."""
        self._count(True, True)

    def failed(self, line: Line, why: LineFailure) -> None:
        """Keep why a line is no request; the recorder notes the rest."""
        refused = why.state == "refused"
        self._count(True, refused or why.id is not None)
        if refused:
            self._refusals.append(LineRefusal(line.number, why.error_class, _storable(why.message)))

    def commit(self, mark: Checkpoint, read_up_to: int) -> None:
        """Note how far the job came. While the ledger is away the job goes on, for a while."""
        try:
            with self._reader.connection() as connection:
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
                log.warning("batch job %s is left, since the ledger is away: %s", self._job.id, error)
                self.lost = True
            return
        self._kept_at = time.monotonic()
        self._refusals = []
        self.lost = cancelling is None
        self._cancelling = bool(cancelling)

    def cancelling(self) -> bool:
        """Whether its owner wishes the job to end."""
        return self._cancelling

    def _count(self, done: int, ended: int) -> None:
        self.lines += done
        self.ended += ended

    def _look_up(self, number: int) -> None:
        last = number + LOOKUP_BATCH_SIZE - 1
        ids = {id_of_line(self._job.id, each): each for each in range(number, last + 1)}
        with self._reader.connection() as connection:
            ended = finished_ids(connection, list(ids))
            refused = refusals_of(connection, self._job.id, number, last)
        self._known = {ids[each] for each in ended} | refused.keys()
        self._known_up_to = last

    def _read_again(self, source: Source) -> None:
        """Learn the `custom_id`s of the lines before the mark: they are in no table."""
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
    """Return a message as Postgres takes it: it may quote what the line says."""
    return text.replace("\0", "\ufffd").encode(errors="replace").decode()[:2000]
