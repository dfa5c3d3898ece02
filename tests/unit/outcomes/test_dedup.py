from outcomes.rows.dedup import classify
from outcomes.rows.row_mapping import Entry, entry_of
from straightline.contracts import Outcome
from straightline.ids import new_id


def _entry(request_id: str, finished_at: float = 1.0) -> Entry:
    return entry_of(Outcome(request_id=request_id, state="succeeded", finished_at=finished_at), now=0.0)


def test_the_first_outcome_of_a_batch_wins_and_another_execution_is_a_duplicate() -> None:
    request = new_id()
    first, second = _entry(request, 2.0), _entry(request, 1.0)
    found = classify([first, second], {})
    assert (found.new, found.redelivered, found.duplicates) == ([first], [], [second])


def test_a_redelivered_outcome_is_not_a_duplicate() -> None:
    request = new_id()
    found = classify([_entry(request), _entry(request)], {})
    assert (len(found.new), len(found.redelivered), len(found.duplicates)) == (1, 1, 0)


def test_a_recorded_outcome_wins() -> None:
    request = new_id()
    known = {request: _entry(request, 1.0).execution}
    found = classify([_entry(request, 1.0), _entry(request, 2.0), _entry(new_id())], known)
    assert (len(found.new), len(found.redelivered), len(found.duplicates)) == (1, 1, 1)


def test_an_outcome_without_an_execution_is_not_a_duplicate() -> None:
    request = new_id()
    lost = Outcome(request_id=request, state="expired", finished_at=9.0, error_class="lost")
    found = classify([_entry(request, 1.0), entry_of(lost, now=0.0)], {})
    assert (len(found.new), len(found.redelivered), len(found.duplicates)) == (1, 1, 0)


def test_a_late_result_does_not_replace_a_lost_outcome() -> None:
    request = new_id()
    lost = entry_of(
        Outcome(request_id=request, state="expired", finished_at=1.0, error_class="lost"), now=0.0
    )
    late = _entry(request, 2.0)
    found = classify([lost, late], {})
    assert (found.new, found.duplicates) == ([lost], [late])
