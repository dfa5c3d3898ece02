"""The Celery task `straightline.predict`: thin, since Celery only carries it."""

import logging
from collections import Counter
from collections.abc import Callable

from celery import Task
from celery.exceptions import Reject

from straightline.names import PREDICT_TASK
from straightline.support import failpoints
from workers.coordination.heartbeat import FastestLatencies
from workers.coordination.queue_withdrawal import QueueWithdrawal
from workers.execution.executor import PlacementExecutor
from workers.execution.placements import Work
from workers.reporting.reporter import Reporter, ReportNotConfirmed

logger = logging.getLogger(__name__)


class Predict(Task):
    """Answers the requests of one placement and reports them; acknowledged only when the report is safe."""

    name = PREDICT_TASK
    Strategy = "workers.celery_ext.strategy:strategy"
    typing = False  # its one argument was checked when the message was read
    answerer: PlacementExecutor | None = None
    reporter: Reporter | None = None
    best_cases: FastestLatencies | None = None
    withdrawal: QueueWithdrawal | None = None
    ready: Callable[[], None] = staticmethod(lambda: None)

    def attach(
        self,
        answerer: PlacementExecutor,
        reporter: Reporter,
        best_cases: FastestLatencies,
        withdrawal: QueueWithdrawal,
        ready: Callable[[], None],
    ) -> None:
        """Take what it works with, once the pool has started; `ready` returns when work may begin."""
        self.answerer, self.reporter, self.best_cases, self.withdrawal = (
            answerer,
            reporter,
            best_cases,
            withdrawal,
        )
        self.ready = ready

    def run(self, work: list[Work]) -> str:
        """Answer and report.

        Returns:
            What became of the requests in a few words, for Flower.

        Raises:
            Reject: the placement must come again.
        """
        try:
            return self._run(work)
        except ReportNotConfirmed as error:
            logger.warning("a placement goes back to its queue: %s", error)
            raise Reject(str(error), requeue=True) from error
        # Celery's thread pool loses the message, and the slot with it, when one of these gets out.
        except BaseException as error:
            logger.exception("a placement failed in the worker itself and goes back to its queue")
            raise Reject(type(error).__name__, requeue=True) from error

    def _run(self, work: list[Work]) -> str:
        if (
            self.answerer is None
            or self.reporter is None
            or self.best_cases is None
            or self.withdrawal is None
        ):
            raise ReportNotConfirmed("the pool has not started yet")
        if self.withdrawal.should_requeue():
            raise ReportNotConfirmed("this pool cannot answer, and others can")
        self.ready()  # what was cancelled while this pool was away must not run
        failpoints.hit(failpoints.Step.WORKER_BEFORE_CALL)
        judged = self.answerer.answer(work)
        failpoints.hit(failpoints.Step.WORKER_AFTER_CALL)
        if self.withdrawal.should_requeue_results(judged):
            raise ReportNotConfirmed("nobody was asked, and other pools can answer")
        self.reporter.report(judged)
        failpoints.hit(failpoints.Step.WORKER_AFTER_CONFIRM)
        for work_done, verdict in judged:
            if verdict.kind == "succeeded" and verdict.cold_start is None:
                self.best_cases.add(work_done.request.model, verdict.service)
        counts = Counter(verdict.kind for _, verdict in judged)
        return ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items()))
