from outcomes.rows.dedup import classify
from outcomes.rows.row_mapping import Entry, entry_of
from straightline.contracts import Outcome
from straightline.ids import new_id


def _entry(request_id: str, finished_at: float = 1.0) -> Entry:
    return entry_of(Outcome(request_id=request_id, state="succeeded", finished_at=finished_at), now=0.0)


def test_the_first_of_a_run_stands_and_another_execution_is_surplus() -> None:
    request = new_id()
    first, second = _entry(request, 2.0), _entry(request, 1.0)
    found = classify([first, second], {})
    assert (found.new, found.redelivered, found.duplicates) == ([first], [], [second])


def test_the_same_outcome_delivered_again_is_no_further_execution() -> None:
    request = new_id()
    found = classify([_entry(request), _entry(request)], {})
    assert (len(found.new), len(found.redelivered), len(found.duplicates)) == (1, 1, 0)


def test_what_the_ledger_knows_stands() -> None:
    request = new_id()
    known = {request: _entry(request, 1.0).execution}
    found = classify([_entry(request, 1.0), _entry(request, 2.0), _entry(new_id())], known)
    assert (len(found.new), len(found.redelivered), len(found.duplicates)) == (1, 1, 1)


def test_what_nothing_was_run_for_is_no_further_execution() -> None:
    request = new_id()
    lost = Outcome(request_id=request, state="expired", finished_at=9.0, error_class="lost")
    found = classify([_entry(request, 1.0), entry_of(lost, now=0.0)], {})
    assert (len(found.new), len(found.redelivered), len(found.duplicates)) == (1, 1, 0)


def test_a_late_answer_does_not_replace_that_its_request_was_lost() -> None:
    request = new_id()
    lost = entry_of(
        Outcome(request_id=request, state="expired", finished_at=1.0, error_class="lost"), now=0.0
    )
    late = _entry(request, 2.0)
    found = classify([lost, late], {})
    assert (found.new, found.duplicates) == ([lost], [late])
