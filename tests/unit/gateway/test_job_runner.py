"""A batch job ends once its invalid lines and outcomes are in the ledger."""

import io
import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from msgspec.structs import replace

from gateway.batches import ledger_job_store, service
from gateway.batches.service import JobRunner
from outcomes.db.errors import LedgerUnavailable
from outcomes.queries.batches import Job
from straightline.batch.items import LineFailure
from straightline.batch.job_store import Checkpoint
from straightline.batch.lines import Line
from straightline.errors import ContractError
from straightline.ids import new_id
from straightline.names import BatchState


class Ledger:
    """Notes what is asked of it; `advance` answers what it is told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: list[str] = []
        self.answers: list[Any] = []
        self.refused = 0
        self.told: Any = None
        self.job: Job | None = _job()
        self.stop = threading.Event()
        for module, name in [
            *(
                (service, name)
                for name in ("take_job", "finish_job", "release_job", "states_of", "refused_of")
            ),
            (ledger_job_store, "checkpoint_job"),
        ]:
            monkeypatch.setattr(module, name, getattr(self, name))

    @contextmanager
    def connection(self) -> Iterator[None]:
        yield

    def take_job(self, *_: Any, **__: Any) -> Job | None:
        taken, self.job = self.job, None
        if taken is None:
            self.stop.set()
        return taken

    def checkpoint_job(self, *_: Any, refusals: Any = (), **__: Any) -> bool | None:
        self.calls.append("checkpoint_job")
        answer = self.answers.pop(0) if self.answers else False
        if isinstance(answer, Exception):
            raise answer
        self.refused += len(refusals)
        return answer

    def finish_job(
        self,
        _connection: None,
        _id: str,
        _owner: str,
        state: BatchState,
        *,
        event: Callable[[Job], bytes],
        error: str | None = None,
        **_: Any,
    ) -> None:
        self.calls.append(state)
        ended = replace(_job(), state=state, error=error, finished_at=datetime.fromtimestamp(2, UTC))
        self.told = json.loads(event(ended))

    def release_job(self, *_: Any, **__: Any) -> None:
        self.calls.append("release_job")

    def states_of(self, _connection: None, jobs: Sequence[str]) -> dict[str, dict[str, int]]:
        return {job: {} for job in jobs}

    def refused_of(self, _connection: None, jobs: Sequence[str]) -> dict[str, int]:
        return dict.fromkeys(jobs, self.refused)


class Runner:
    """Finds that the only line is no request, and is done."""

    def __init__(self, _job: str, _source: Any, _producer: Any, book: Any, *_: Any, **__: Any) -> None:
        self._book = book

    def run(self) -> bool:
        self._book.failed(Line(1, 0, 2, b"{"), LineFailure(1, "refused", "malformed", "no JSON"))
        self._book.commit(Checkpoint(2, 2), 1)
        return True


class Store:
    """Has one line."""

    def open(self, _uri: str) -> io.BytesIO:
        return io.BytesIO(b"{\n")


def _job() -> Job:
    return Job(
        id=new_id(),
        uri="file:///lines",
        size=2,
        defaults={},
        state="running",
        cancelling=False,
        line=1,
        at=0,
        read_up_to=0,
        lines=None,
        error=None,
        created_at=datetime.now(UTC),
        finished_at=None,
    )


@pytest.fixture
def ledger(monkeypatch: pytest.MonkeyPatch) -> Ledger:
    monkeypatch.setattr(service, "Runner", Runner)
    return Ledger(monkeypatch)


def _run(ledger: Ledger) -> None:
    ours: Any = ledger
    nobody: Any = None
    store: Any = Store()
    JobRunner(ours, nobody, store).run(ledger.stop)


def test_a_job_is_done_once_its_invalid_lines_are_recorded(ledger: Ledger) -> None:
    _run(ledger)
    assert ledger.calls[-1] == "done"


def test_the_webhook_event_has_the_final_progress(ledger: Ledger) -> None:
    _run(ledger)
    told = ledger.told
    assert (told["type"], told["timestamp"]) == ("batch.done", "1970-01-01T00:00:02+00:00")
    assert (told["data"]["state"], told["data"]["refused"], told["data"]["finished_at"]) == ("done", 1, 2.0)


def test_the_webhook_event_has_the_reason_of_a_failed_job(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(_store: Store, uri: str) -> io.BytesIO:
        raise ContractError(f"{uri} is gone")

    monkeypatch.setattr(Store, "open", gone)
    _run(ledger)
    assert (ledger.told["type"], ledger.told["data"]["error"]) == ("batch.failed", "file:///lines is gone")


def test_a_job_is_released_if_its_invalid_lines_cannot_be_recorded(ledger: Ledger) -> None:
    ledger.answers = [LedgerUnavailable("away")]
    _run(ledger)
    assert ledger.calls == ["checkpoint_job", "release_job"]


def test_a_job_with_a_lost_lease_is_not_ended(ledger: Ledger) -> None:
    ledger.answers = [None]
    _run(ledger)
    assert "done" not in ledger.calls


def test_the_lease_is_renewed_while_the_last_outcomes_are_recorded(ledger: Ledger) -> None:
    _run(ledger)
    assert ledger.calls == ["checkpoint_job", "checkpoint_job", "done"]
