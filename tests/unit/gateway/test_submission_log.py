"""Submissions are written in the background, and an outage of the ledger delays no caller."""

import threading
import time
from collections.abc import Callable, Sequence

import msgspec
import pytest

from gateway.http.requests.submission_log import SubmissionLog
from outcomes.db.errors import LedgerRefused, LedgerUnavailable
from outcomes.queries.submissions import Submission

PAUSE = 0.005
ONE = Submission(id="a", model="m", submitted_at=1.0, deadline=None, until=2.0)


def test_a_submission_is_written_when_add_returns() -> None:
    written: list[Submission] = []
    SubmissionLog(written.extend, write_timeout_s=10.0).add(ONE)
    assert written == [ONE]


@pytest.mark.parametrize("fault", [LedgerRefused("no"), ValueError("no date")])
def test_an_unwritable_submission_does_not_affect_others(fault: Exception) -> None:
    first, go = threading.Event(), threading.Event()
    written: list[Submission] = []

    def keep(submissions: Sequence[Submission]) -> None:
        first.set()
        assert go.wait(10)
        if any(submission.model == "bad" for submission in submissions):
            raise fault
        written.extend(submissions)

    notes = SubmissionLog(keep, write_timeout_s=0.0)
    notes.add(ONE)
    assert first.wait(10)
    others = [msgspec.structs.replace(ONE, id=str(number)) for number in range(20)]
    for other in [*others[:7], msgspec.structs.replace(ONE, model="bad"), *others[7:]]:
        notes.add(other)  # all of them in the next turn
    go.set()
    _until(lambda: len(written) == 21)
    assert written == [ONE, *others]


def test_one_caller_waits_for_a_hanging_ledger_and_all_once_it_writes_again() -> None:
    go = threading.Event()
    written: list[Submission] = []

    def keep(submissions: Sequence[Submission]) -> None:
        assert go.wait(10)
        written.extend(submissions)

    notes = SubmissionLog(keep, write_timeout_s=0.5)
    assert _took(notes) >= 0.5
    assert _took(notes) < 0.5
    go.set()
    _until(lambda: _waited_for(notes, written))


def test_no_caller_waits_while_the_ledger_is_down_and_nothing_is_lost() -> None:
    asked, back = threading.Event(), threading.Event()
    written: list[Submission] = []

    def keep(submissions: Sequence[Submission]) -> None:
        if not back.is_set():
            asked.set()
            raise LedgerUnavailable("away")
        written.extend(submissions)

    notes = SubmissionLog(keep, write_timeout_s=0.5)
    notes.add(ONE)
    assert asked.wait(10)
    assert _took(notes) < 0.5
    assert not written
    back.set()
    _until(lambda: len(written) == 2)


def _until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < end
        time.sleep(PAUSE)


def _took(notes: SubmissionLog) -> float:
    began = time.monotonic()
    notes.add(ONE)
    return time.monotonic() - began


def _waited_for(notes: SubmissionLog, written: list[Submission]) -> bool:
    """Whether a note is written when `add` is back."""
    note = msgspec.structs.replace(ONE, id=str(time.monotonic_ns()))
    notes.add(note)
    return note in written
