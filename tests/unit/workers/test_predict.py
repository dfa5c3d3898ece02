"""Nothing escapes from the task but a refusal that brings the placement back."""

from collections.abc import Callable
from typing import Any

import pytest
from celery.exceptions import Reject

from workers.celery_ext.predict import Predict
from workers.coordination.latencies import FastestLatencies
from workers.domain.placements import Work
from workers.domain.result import ExecutionResult
from workers.reporting.reporter import ReportNotConfirmed


class Scripted:
    """Stands for executor and reporter; `error` is raised by `report`."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error
        self.reported: list[Any] = []

    def execute(self, work: list[Work]) -> list[tuple[Work, ExecutionResult]]:
        kinds: list[Any] = ["succeeded", "succeeded", "failed"]
        return [
            (item, ExecutionResult(kind=kind, started_at=1.0, finished_at=2.0, service=0.25))
            for item, kind in zip(work, kinds, strict=True)
        ]

    def report(self, results: Any) -> None:
        if self.error is not None:
            raise self.error
        self.reported.append(results)


class Lonely:
    """A pool without peers, or one whose placements go back to them."""

    def __init__(self, *, before: bool = False, after: bool = False) -> None:
        self.before, self.after = before, after

    def should_requeue(self) -> bool:
        return self.before

    def should_requeue_results(self, results: Any) -> bool:
        return self.after and bool(results)


def task(
    scripted: Any, latencies: FastestLatencies | None = None, withdrawal: Lonely | None = None
) -> Predict:
    predict = Predict()
    stand_in: Any = withdrawal or Lonely()
    predict.attach(scripted, scripted, latencies or FastestLatencies(), stand_in, lambda: None)
    return predict


def test_the_task_returns_once_the_report_is_confirmed(make_work: Callable[..., Work]) -> None:
    scripted, latencies = Scripted(), FastestLatencies()
    assert task(scripted, latencies).run([make_work() for _ in range(3)]) == "1 failed, 2 succeeded"
    assert len(scripted.reported) == 1
    assert latencies.get() == {"double": 0.25}


@pytest.mark.parametrize(
    "error",
    [ReportNotConfirmed("no confirm"), SystemExit(1), MemoryError(), RecursionError(), ZeroDivisionError()],
)
def test_any_error_requeues_the_placement(make_work: Callable[..., Work], error: BaseException) -> None:
    with pytest.raises(Reject) as caught:
        task(Scripted(error)).run([make_work() for _ in range(3)])
    assert caught.value.requeue is True


@pytest.mark.parametrize("withdrawal", [Lonely(before=True), Lonely(after=True)])
def test_a_placement_that_other_pools_can_execute_is_requeued_and_not_reported(
    make_work: Callable[..., Work], withdrawal: Lonely
) -> None:
    scripted = Scripted()
    with pytest.raises(Reject) as caught:
        task(scripted, withdrawal=withdrawal).run([make_work() for _ in range(3)])
    assert caught.value.requeue is True
    assert scripted.reported == []


def test_a_placement_before_the_start_of_the_pool_is_requeued(make_work: Callable[..., Work]) -> None:
    with pytest.raises(Reject):
        Predict().run([make_work()])
