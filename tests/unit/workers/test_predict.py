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


def test_the_task_returns_when_the_report_is_safe(make_work: Callable[..., Work]) -> None:
    scripted, latencies = Scripted(), FastestLatencies()
    assert task(scripted, latencies).run([make_work() for _ in range(3)]) == "1 failed, 2 succeeded"
    assert len(scripted.reported) == 1
    assert latencies.get() == {"double": 0.25}


@pytest.mark.parametrize(
    "error",
    [ReportNotConfirmed("no confirm"), SystemExit(1), MemoryError(), RecursionError(), ZeroDivisionError()],
)
def test_whatever_goes_wrong_brings_the_placement_back(
    make_work: Callable[..., Work], error: BaseException
) -> None:
    with pytest.raises(Reject) as caught:
        task(Scripted(error)).run([make_work() for _ in range(3)])
    assert caught.value.requeue is True


@pytest.mark.parametrize("withdrawal", [Lonely(before=True), Lonely(after=True)])
def test_what_other_pools_can_answer_comes_back_and_nothing_is_reported(
    make_work: Callable[..., Work], withdrawal: Lonely
) -> None:
    scripted = Scripted()
    with pytest.raises(Reject) as caught:
        task(scripted, withdrawal=withdrawal).run([make_work() for _ in range(3)])
    assert caught.value.requeue is True
    assert scripted.reported == []


def test_a_placement_before_the_pool_has_started_comes_back(make_work: Callable[..., Work]) -> None:
    with pytest.raises(Reject):
        Predict().run([make_work()])
