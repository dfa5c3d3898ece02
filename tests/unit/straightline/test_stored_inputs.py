"""Inputs in the store are removed once, whichever thread receives the outcome."""

from typing import Any

import msgspec
import pytest

from straightline.contracts import DataRef
from straightline.ids import new_id
from straightline.producer import stored_inputs
from straightline.producer.stored_inputs import StoredInputs

SUCCEEDED = msgspec.json.encode({"state": "succeeded", "error_class": None})


class Recorder:
    """A store and a worker that run and record at once."""

    def __init__(self) -> None:
        self.removed: list[DataRef] = []

    def remove(self, reference: DataRef) -> None:
        self.removed.append(reference)

    def run(self, task: Any) -> None:
        task()


def test_an_input_that_another_thread_removes_at_the_same_time_is_no_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    recorder: Any = Recorder()
    inputs = StoredInputs(recorder, recorder, keep=False)
    request_id, reference = new_id(), DataRef(uri="file:///x", size=1, sha256="0" * 64)
    inputs.stored(request_id, reference)
    is_conflict = stored_inputs._is_conflict

    def meanwhile(outcome: bytes) -> bool:
        monkeypatch.setattr(stored_inputs, "_is_conflict", is_conflict)
        inputs.ended(request_id, SUCCEEDED)
        return is_conflict(outcome)

    monkeypatch.setattr(stored_inputs, "_is_conflict", meanwhile)
    inputs.ended(request_id, SUCCEEDED)
    assert recorder.removed == [reference]
