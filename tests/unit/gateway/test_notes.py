"""What a gateway took is told beside the request's way, and the ledger's outage holds nobody up."""

import threading
import time
from collections.abc import Sequence

from gateway.http.notes import Notes
from outcomes.errors import LedgerUnavailable
from outcomes.submissions import Submission

ONE = Submission(id="a", model="m", submitted_at=1.0, deadline=None, until=2.0)


def test_a_note_is_written_when_it_is_back() -> None:
    written: list[Submission] = []
    Notes(written.extend, patience=10.0).add(ONE)
    assert written == [ONE]


def test_a_ledger_that_says_nothing_is_waited_for_briefly_and_one_that_is_away_not_at_all() -> None:
    go, back = threading.Event(), threading.Event()
    written: list[Submission] = []

    def keep(submissions: Sequence[Submission]) -> None:
        assert go.wait(10)
        if not back.is_set():
            raise LedgerUnavailable("away")
        written.extend(submissions)

    notes = Notes(keep, patience=0.5)
    assert _took(notes) >= 0.5
    go.set()
    end = time.monotonic() + 10
    while _took(notes) >= 0.5:  # until it is known to be away
        assert time.monotonic() < end
    assert not written
    back.set()
    while len(written) < 2:
        assert time.monotonic() < end


def _took(notes: Notes) -> float:
    began = time.monotonic()
    notes.add(ONE)
    return time.monotonic() - began
