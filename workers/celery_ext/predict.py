"""The Celery task `straightline.predict`: executes a placement and reports its results."""

from collections import Counter
from collections.abc import Callable

from celery import Task
from celery.exceptions import Reject

from straightline.names import PREDICT_TASK
from straightline.support import failpoints
from straightline.support.event_log import EventLogger
from workers.coordination.latencies import FastestLatencies
from workers.coordination.queue_withdrawal import QueueWithdrawal
from workers.domain.placements import Work
from workers.domain.result import Results
from workers.execution.executor import PlacementExecutor
from workers.reporting.reporter import Reporter, ReportNotConfirmed

logger = EventLogger(__name__)


class Predict(Task):
    """Executes the requests of one placement; acknowledged only once the report is confirmed."""

    name = PREDICT_TASK
    Strategy = "workers.celery_ext.strategy:strategy"
    typing = False  # its one argument was checked when the message was decoded
    executor: PlacementExecutor | None = None
    reporter: Reporter | None = None
    latencies: FastestLatencies | None = None
    withdrawal: QueueWithdrawal | None = None
    await_ready: Callable[[], None] = staticmethod(lambda: None)

    def attach(
        self,
        executor: PlacementExecutor,
        reporter: Reporter,
        latencies: FastestLatencies,
        withdrawal: QueueWithdrawal,
        await_ready: Callable[[], None],
    ) -> None:
        """Set the parts of the started pool; `await_ready` returns when execution may begin."""
        self.executor, self.reporter = executor, reporter
        self.latencies, self.withdrawal = latencies, withdrawal
        self.await_ready = await_ready

    def run(self, work: list[Work]) -> str:
        """Execute and report.

        Returns:
            The number of results by kind, for Flower.

        Raises:
            Reject: the placement must be requeued.
        """
        try:
            return _summary(self._run(work))
        except ReportNotConfirmed as error:
            logger.warning("placement_requeued", request_id=_first_id(work), requests=len(work), error=error)
            raise Reject(str(error), requeue=True) from error
        # Celery's thread pool loses the message and the slot if one of these gets out.
        except BaseException as error:
            logger.exception("placement_failed", request_id=_first_id(work), requests=len(work))
            raise Reject(type(error).__name__, requeue=True) from error

    def _run(self, work: list[Work]) -> Results:
        executor, reporter, withdrawal = self.executor, self.reporter, self.withdrawal
        if executor is None or reporter is None or withdrawal is None or self.latencies is None:
            raise ReportNotConfirmed("the pool has not started yet")
        if withdrawal.should_requeue():
            raise ReportNotConfirmed("this pool is unhealthy, and other pools are healthy")
        self.await_ready()  # a request that was cancelled while this pool was down must not run
        failpoints.hit(failpoints.Step.WORKER_BEFORE_CALL)
        results = executor.execute(work)
        failpoints.hit(failpoints.Step.WORKER_AFTER_CALL)
        if withdrawal.should_requeue_results(results):
            raise ReportNotConfirmed("no request reached the backend, and other pools are healthy")
        reporter.report(results)
        failpoints.hit(failpoints.Step.WORKER_AFTER_CONFIRM)
        for done, result in results:
            if result.kind == "succeeded" and result.cold_start is None:
                self.latencies.add(done.request.model, result.service)
        return results


def _first_id(work: list[Work]) -> str | None:
    return work[0].request.id if work else None


def _summary(results: Results) -> str:
    counts = Counter(result.kind for _, result in results)
    return ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items()))
