"""Asking a backend for the requests of a placement: one verdict for each, whatever happens."""

import logging
from collections.abc import Callable, Iterable

import msgspec

from straightline.contracts import InferResponse, ModelSpec
from straightline.contracts.parsing.decoding import decode
from straightline.errors import ContractError
from workers.coordination.breakers import OpenBreakers
from workers.coordination.cancellation import CancellationTracker
from workers.execution.grouping import Group, PreparedRequest, group_requests
from workers.execution.judging import CallTiming, backend_fault, cancelled, expired, failed, succeeded
from workers.execution.merging import MergeError, join, split
from workers.execution.payloads import PayloadStore
from workers.execution.placements import Work
from workers.execution.result import ExecutionResult
from workers.protocol import trace
from workers.protocol.base import Backend, BackendResponse
from workers.protocol.errors import BackendFault, ModelError

FindModel = Callable[[str, str | None], ModelSpec | None]
Results = list[tuple[Work, ExecutionResult]]

logger = logging.getLogger(__name__)


class PlacementExecutor:
    """Turns placements into verdicts.

    Args:
        backend: who is asked.
        find_model: by name and version.
        bodies: where inputs and results lie that are too large to travel.
        clock: seconds since the epoch.
        cancellations: the cancelled requests.
        breakers: those that are open.
        informed: whether the pool knows all that is deployed; until then it cannot say that something is not.
    """

    def __init__(
        self,
        backend: Backend,
        find_model: FindModel,
        bodies: PayloadStore,
        clock: Callable[[], float],
        *,
        cancellations: CancellationTracker,
        breakers: OpenBreakers,
        informed: Callable[[], bool] = lambda: True,
    ) -> None:
        self._backend = backend
        self._find_model = find_model
        self._bodies = bodies
        self._clock = clock
        self._cancellations = cancellations
        self._breakers = breakers
        self._informed = informed

    def answer(self, work: Iterable[Work]) -> Results:
        """Give one verdict for each request."""
        taken = list(work)
        self._cancellations.started(taken)
        try:
            judged = self._answer(taken)
        except BaseException:  # it comes again, here or to another pool: nothing of it runs here now
            for item in taken:
                self._cancellations.finished(item)
            raise
        return [
            (item, verdict if self._cancellations.finished(item) else _as_cancelled(verdict))
            for item, verdict in judged
        ]

    def _answer(self, work: Iterable[Work]) -> Results:
        judged: Results = []
        by_model: dict[tuple[str, str | None], list[PreparedRequest]] = {}
        for item in work:
            ready = self._prepare(item)
            if isinstance(ready, ExecutionResult):
                judged.append((item, ready))
            else:
                by_model.setdefault((item.request.model, _version(item)), []).append(ready)
        for (name, version), asks in by_model.items():
            model = self._find_model(name, version)
            judged += self._unknown(name, version, asks) if model is None else self._ask_all(model, asks)
        return judged

    def _ask_all(self, model: ModelSpec, asks: list[PreparedRequest]) -> Results:
        judged: Results = []
        started = self._clock()
        try:
            for group in group_requests(asks, model, self._backend.max_payload):
                judged += self._ask(model, group)
        # A defect of ours, or a model's or library's exit: the request is answered for all the same.
        except (Exception, SystemExit) as error:
            logger.exception("a call of %s failed in the worker itself", model.name)
            fault = BackendFault(
                f"the worker failed: {type(error).__name__}",
                error_class="out_of_memory" if isinstance(error, MemoryError) else "internal",
            )
            call = CallTiming(started=started, finished=self._clock())
            done = {work.request.id for work, _ in judged}
            judged += [
                (ask.work, backend_fault(call, fault, ask.work.ticket.deadline))
                for ask in asks
                if ask.work.request.id not in done
            ]
        return judged

    def _prepare(self, work: Work) -> PreparedRequest | ExecutionResult:
        started = self._clock()
        over = self._over(work, started)
        if over is not None:
            return over
        try:
            return PreparedRequest(work=work, body=self._bodies.fetch(work.request))
        except ContractError as error:
            return failed(CallTiming(started=started, finished=self._clock(), asked=False), error)
        except BackendFault as fault:
            return backend_fault(
                CallTiming(started=started, finished=self._clock()), fault, work.ticket.deadline
            )

    def _over(self, work: Work, now: float) -> ExecutionResult | None:
        """Return the verdict on a request that nobody waits for any more; None where it is to be asked."""
        call = CallTiming(started=now, finished=now, asked=False)
        if work.request.id in self._cancellations:
            return cancelled(call)
        if work.ticket.deadline <= now:
            return expired(call)
        return self._given_back(work, call)

    def _given_back(self, work: Work, call: CallTiming) -> ExecutionResult | None:
        """Return the verdict on a request that the scheduler would place elsewhere by now."""
        why = self._breakers.refusal(work.request.model)
        reason = work.ticket.reason
        if why is None or (reason is not None and reason.probe):
            return None
        fault = BackendFault(f"not asked, its breaker is open: {why}", error_class="breaker_open")
        return backend_fault(call, fault, work.ticket.deadline)

    def _unknown(self, name: str, version: str | None, asks: list[PreparedRequest]) -> Results:
        now = self._clock()
        call = CallTiming(started=now, finished=now)
        if self._informed():
            what = f"this pool's directory of models has no {name} {version or ''}"
            fault = BackendFault(what, error_class="not_deployed")
        else:
            what = (
                f"{name} {version or ''} is not known here, and this pool has not read all that is deployed"
            )
            fault = BackendFault(what, error_class="not_informed")
        return [(ask.work, backend_fault(call, fault, ask.work.ticket.deadline)) for ask in asks]

    def _ask(self, model: ModelSpec, group: Group) -> Results:
        """Ask for those of a group that somebody still waits for: calls before this one took their time."""
        now = self._clock()
        over = [(ask.work, self._over(ask.work, now)) for ask in group.asks]
        judged = [(work, verdict) for work, verdict in over if verdict is not None]
        if judged:
            group = group.without({work.request.id for work, _ in judged})
        return judged + self._ask_group(model, group)

    def _ask_group(self, model: ModelSpec, group: Group) -> Results:
        if not group.requests:
            return [(ask.work, self._ask_alone(model, ask)) for ask in group.asks]
        body, parts = join(group.requests)
        started = self._clock()
        try:
            answer = self._infer(model, body, group.asks, started)
            results = split(_read(answer, model), parts)
        except (ModelError, MergeError):
            # One of them may have spoiled it: asked alone, each gets its own answer.
            return [(ask.work, self._ask_alone(model, ask)) for ask in group.asks]
        except BackendFault as fault:
            call = CallTiming(started=started, finished=self._clock(), share=len(parts))
            return [(ask.work, backend_fault(call, fault, ask.work.ticket.deadline)) for ask in group.asks]
        call = CallTiming(started=started, finished=self._clock(), share=len(parts))
        return [
            (ask.work, self._keep(ask.work, call, answer, result))
            for ask, result in zip(group.asks, results, strict=True)
        ]

    def _ask_alone(self, model: ModelSpec, ask: PreparedRequest) -> ExecutionResult:
        started = self._clock()
        over = self._over(ask.work, started)
        if over is not None:
            return over
        try:
            answer = self._infer(model, ask.body, [ask], started)
            _read(answer, model)
        except ModelError as error:
            return failed(CallTiming(started=started, finished=self._clock()), error)
        except BackendFault as fault:
            return backend_fault(
                CallTiming(started=started, finished=self._clock()), fault, ask.work.ticket.deadline
            )
        call = CallTiming(started=started, finished=self._clock())
        return self._keep(ask.work, call, answer, msgspec.Raw(answer.body))

    def _infer(
        self, model: ModelSpec, body: bytes, asks: list[PreparedRequest], now: float
    ) -> BackendResponse:
        with trace.trace_scope(ask.work.ticket for ask in asks):
            return self._backend.infer(model, body, _patience(model, asks, now))

    def _keep(
        self, work: Work, call: CallTiming, answer: BackendResponse, result: msgspec.Raw
    ) -> ExecutionResult:
        if work.ticket.deadline < call.finished:
            return expired(call, answer)
        try:
            inline, reference = self._bodies.place(result)
        except ModelError as error:
            return failed(call, error)
        except BackendFault as fault:
            return backend_fault(call, fault, work.ticket.deadline)
        return succeeded(call, answer, inline, reference)


def _as_cancelled(verdict: ExecutionResult) -> ExecutionResult:
    call = CallTiming(started=verdict.started_at, finished=verdict.finished_at, asked=verdict.asked)
    return cancelled(call)


def _patience(model: ModelSpec, asks: Iterable[PreparedRequest], now: float) -> float:
    """Return seconds for a call: as long as the model may take and anyone of them still waits."""
    return min(model.timeout, max(ask.work.ticket.deadline for ask in asks) - now)


def _version(work: Work) -> str | None:
    """Return the version that the scheduler settled on, so that every pool answers with the same."""
    return work.ticket.version or work.request.version


def _read(answer: BackendResponse, model: ModelSpec) -> InferResponse:
    """Read an answer, and hold it against who was asked: a deployed function may lag behind the directory."""
    try:
        response = decode(answer.body, InferResponse)
        if not answer.body.isascii():
            answer.body.decode()  # tensors are passed on unread: whoever reads them trusts us for the UTF-8
    except (ContractError, UnicodeDecodeError) as error:
        raise BackendFault(
            f"the answer is not a V2 infer response: {error}",
            error_class="bad_protocol",
            cold_start=answer.cold_start,
        ) from error
    if response.model_version not in (None, model.version):
        raise BackendFault(
            f"version {response.model_version} of {model.name} answered where {model.version} was asked",
            error_class="not_deployed",
            cold_start=answer.cold_start,
        )
    return response
