import math
import struct
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from outcomes.db.errors import LedgerRefused
from outcomes.rows.copy_binary import row_packer
from outcomes.rows.row_mapping import entry_of
from outcomes.schema.tables import ATTEMPTS, OUTCOMES
from straightline.contracts import Attempt, Outcome
from tests.builders import make_attempt, make_reason

ID = "01890000-0000-7000-8000-000000000001"
REASON = make_reason()


def _attempt(number: int, **changes: Any) -> Attempt:
    return make_attempt(number=number, **{"succeeded": True, **changes})


def test_an_outcome_whose_id_is_not_a_uuid_is_refused() -> None:
    with pytest.raises(LedgerRefused, match="not a UUID"):
        entry_of(Outcome(request_id="seven", state="failed", finished_at=1.0), now=5.0)


def test_ids_are_converted_to_canonical_form() -> None:
    entry = entry_of(Outcome(request_id=ID.upper(), state="failed", finished_at=1.0), now=5.0)
    assert entry.request_id == ID


def test_equal_outcomes_have_equal_executions_and_a_later_one_differs() -> None:
    def execution(finished_at: float) -> object:
        return entry_of(Outcome(request_id=ID, state="failed", finished_at=finished_at), now=0.0).execution

    assert execution(1_795_000_000.123456) == execution(1_795_000_000.123456)
    assert execution(1_795_000_000.123456) != execution(1_795_000_000.123457)


@pytest.mark.parametrize("time", [math.nan, math.inf, -1.0, 1e300])
def test_an_impossible_time_becomes_now(time: float) -> None:
    entry = entry_of(Outcome(request_id=ID, state="failed", finished_at=time), now=7.0)
    assert entry.execution.finished_us == 7_000_000


def test_two_attempts_with_one_number_make_one_row() -> None:
    outcome = Outcome(
        request_id=ID, state="failed", finished_at=1.0, attempts=[_attempt(1), _attempt(1, worker="w")]
    )
    rows = entry_of(outcome, now=0.0).attempts
    assert len(rows) == 1
    assert b"w" in rows[0]


@given(
    error=st.text(st.characters(codec=None)),
    worker=st.none() | st.text(st.characters(codec=None)),
    refused=st.dictionaries(st.text(), st.text()),
    times=st.floats(),
    size=st.none() | st.integers(),
    rule=st.integers(),
)
def test_any_outcome_can_be_packed_into_a_row(
    *, error: str, worker: str | None, refused: dict[str, str], times: float, size: int | None, rule: int
) -> None:
    reason = msgspec.structs.replace(REASON, refused=refused, rule=rule, f_t=times)
    attempt = _attempt(rule, worker=worker, reason=reason, finished_at=times, wait=times, error=error)
    outcome = Outcome(
        request_id=ID,
        state="failed",
        finished_at=times,
        attempts=[attempt],
        error=error,
        batch_id=error,
        submitted_at=times,
        r_d=size,
        cost=times,
        result=msgspec.Raw(error.encode("utf-8", "surrogatepass")),
    )
    entry = entry_of(outcome, now=1.0)
    assert _values(entry.row) == len(OUTCOMES.c) - 1
    assert [_values(row) for row in entry.attempts] == [len(ATTEMPTS.c)]


def test_texts_lose_only_what_postgres_cannot_hold() -> None:
    pack = row_packer([OUTCOMES.c.error, ATTEMPTS.c.reason])
    row = pack(["a\x00b\ud800c", b'{"k":"\\u0000x"}'])
    assert "a\ufffdb?c".encode() in row
    assert b'{"k":"\\ufffdx"}' in row


def _values(row: bytes) -> int:
    """Parse a packed row by its own lengths to its end."""
    (count,) = struct.unpack_from("!h", row)
    at = 2
    for _ in range(count):
        (length,) = struct.unpack_from("!i", row, at)
        at += 4 + max(length, 0)
    assert at == len(row)
    return int(count)
