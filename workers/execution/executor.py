"""Execution of a placement: call the backend, and return one result for each request."""

from collections.abc import Callable, Iterable

import msgspec

from straightline.contracts import ModelSpec
from straightline.errors import ContractError
from straightline.support.event_log import EventLogger
from workers.coordination.breakers import OpenBreakers
from workers.coordination.cancellation import CancellationTracker
from workers.domain.grouping import Group, PreparedRequest, group_requests
from workers.domain.merging import MergeError, join, split
from workers.domain.placements import Work
from workers.domain.result import (
    CallTiming,
    ExecutionResult,
    Results,
    as_cancelled,
    backend_fault,
    cancelled,
    expired,
    failed,
    succeeded,
)
from workers.execution.payloads import PayloadStore
from workers.execution.responses import decode_response
from workers.protocol import trace
from workers.protocol.base import Backend, BackendResponse
from workers.protocol.errors import BackendFault, ModelError

FindModel = Callable[[str, str | None], ModelSpec | None]

logger = EventLogger(__name__)


class PlacementExecutor:
    """Executes placements on one backend.

    Args:
        backend: where the models run.
        find_model: returns a model by name and version.
        payloads: loads large inputs and stores large results.
        clock: seconds since the epoch.
        cancellations: the cancelled and the running requests.
        breakers: the scheduler's open breakers.
        registry_synced: whether the pool has read all deployments; before that it cannot report a model as
            not deployed.
    """

    def __init__(
        self,
        backend: Backend,
        find_model: FindModel,
        payloads: PayloadStore,
        clock: Callable[[], float],
        *,
        cancellations: CancellationTracker,
        breakers: OpenBreakers,
        registry_synced: Callable[[], bool] = lambda: True,
    ) -> None:
        self._backend = backend
        self._find_model = find_model
        self._payloads = payloads
        self._clock = clock
        self._cancellations = cancellations
        self._breakers = breakers
        self._registry_synced = registry_synced

    def execute(self, work: Iterable[Work]) -> Results:
        """Execute the requests of a placement, and return one result for each."""
        taken = list(work)
        self._cancellations.started(taken)
        try:
            results = self._execute(taken)
        except BaseException:  # the placement is requeued, so none of it runs here any longer
            for item in taken:
                self._cancellations.finished(item)
            raise
        return [
            (item, result if self._cancellations.finished(item) else as_cancelled(result))
            for item, result in results
        ]

    def _execute(self, work: Iterable[Work]) -> Results:
        results: Results = []
        by_model: dict[tuple[str, str | None], list[PreparedRequest]] = {}
        for item in work:
            ready = self._prepare(item)
            if isinstance(ready, ExecutionResult):
                results.append((item, ready))
            else:
                by_model.setdefault((item.request.model, _version(item)), []).append(ready)
        for (name, version), prepared in by_model.items():
            model = self._find_model(name, version)
            if model is None:
                results += self._unknown_model(name, version, prepared)
            else:
                results += self._execute_model(model, prepared)
        return results

    def _execute_model(self, model: ModelSpec, prepared: list[PreparedRequest]) -> Results:
        results: Results = []
        started = self._clock()
        try:
            for group in group_requests(prepared, model, self._backend.max_payload):
                results += self._execute_group(model, group)
        # A defect of the worker, or an exit in a library: the requests still get their results.
        except (Exception, SystemExit) as error:
            logger.exception(
                "backend_call_failed",
                model=model.name,
                version=model.version,
                request_id=prepared[0].work.request.id,
                requests=len(prepared),
            )
            fault = BackendFault(
                f"internal error in the worker: {type(error).__name__}. its log has the traceback",
                error_class="out_of_memory" if isinstance(error, MemoryError) else "internal",
            )
            call = CallTiming(started=started, finished=self._clock())
            done = {work.request.id for work, _ in results}
            results += [
                (each.work, backend_fault(call, fault, each.work.ticket.deadline))
                for each in prepared
                if each.work.request.id not in done
            ]
        return results

    def _prepare(self, work: Work) -> PreparedRequest | ExecutionResult:
        started = self._clock()
        ended = self._ended(work, started)
        if ended is not None:
            return ended
        try:
            return PreparedRequest(work=work, body=self._payloads.load(work.request))
        except ContractError as error:
            return failed(CallTiming(started=started, finished=self._clock(), asked=False), error)
        except BackendFault as fault:
            call = CallTiming(started=started, finished=self._clock())
            return backend_fault(call, fault, work.ticket.deadline)

    def _ended(self, work: Work, now: float) -> ExecutionResult | None:
        """Return the result of a request that ends without a call; None if it is to be executed."""
        call = CallTiming(started=now, finished=now, asked=False)
        if work.request.id in self._cancellations:
            return cancelled(call)
        if work.ticket.deadline <= now:
            return expired(call)
        return self._refused_by_breaker(work, call)

    def _refused_by_breaker(self, work: Work, call: CallTiming) -> ExecutionResult | None:
        """Give a request back if its breaker opened after the placement; probes are still executed."""
        why = self._breakers.refusal(work.request.model)
        reason = work.ticket.reason
        if why is None or (reason is not None and reason.probe):
            return None
        fault = BackendFault(f"not called, its breaker is open: {why}", error_class="breaker_open")
        return backend_fault(call, fault, work.ticket.deadline)

    def _unknown_model(self, name: str, version: str | None, prepared: list[PreparedRequest]) -> Results:
        now = self._clock()
        call = CallTiming(started=now, finished=now)
        model = f"{name} {version or ''}".rstrip()
        if self._registry_synced():
            fault = BackendFault(f"this pool has no model {model}: deploy it", error_class="not_deployed")
        else:
            fault = BackendFault(
                f"this pool does not know {model} yet: it has not read all deployments",
                error_class="not_informed",
            )
        return [(each.work, backend_fault(call, fault, each.work.ticket.deadline)) for each in prepared]

    def _execute_group(self, model: ModelSpec, group: Group) -> Results:
        """Execute a group without the requests that ended while the calls before it ran."""
        now = self._clock()
        checked = [(member.work, self._ended(member.work, now)) for member in group.members]
        ended = [(work, result) for work, result in checked if result is not None]
        if ended:
            group = group.without({work.request.id for work, _ in ended})
        return ended + (self._execute_merged(model, group) if group.inputs else self._each(model, group))

    def _each(self, model: ModelSpec, group: Group) -> Results:
        return [(member.work, self._execute_alone(model, member)) for member in group.members]

    def _execute_merged(self, model: ModelSpec, group: Group) -> Results:
        body, parts = join(group.inputs)
        started = self._clock()
        try:
            response = self._infer(model, body, group.members, started)
            pieces = split(decode_response(response, model), parts)
        except (ModelError, MergeError):
            return self._each(model, group)  # one request may have spoiled the call for the others
        except BackendFault as fault:
            call = CallTiming(started=started, finished=self._clock(), share=len(parts))
            return [
                (member.work, backend_fault(call, fault, member.work.ticket.deadline))
                for member in group.members
            ]
        call = CallTiming(started=started, finished=self._clock(), share=len(parts))
        return [
            (member.work, self._finish(member.work, call, response, piece))
            for member, piece in zip(group.members, pieces, strict=True)
        ]

    def _execute_alone(self, model: ModelSpec, prepared: PreparedRequest) -> ExecutionResult:
        started = self._clock()
        ended = self._ended(prepared.work, started)
        if ended is not None:
            return ended
        try:
            response = self._infer(model, prepared.body, [prepared], started)
            decode_response(response, model)
        except ModelError as error:
            return failed(CallTiming(started=started, finished=self._clock()), error)
        except BackendFault as fault:
            call = CallTiming(started=started, finished=self._clock())
            return backend_fault(call, fault, prepared.work.ticket.deadline)
        call = CallTiming(started=started, finished=self._clock())
        return self._finish(prepared.work, call, response, msgspec.Raw(response.body))

    def _infer(
        self, model: ModelSpec, body: bytes, prepared: list[PreparedRequest], now: float
    ) -> BackendResponse:
        with trace.trace_scope(each.work.ticket for each in prepared):
            return self._backend.infer(model, body, _timeout(model, prepared, now))

    def _finish(
        self, work: Work, call: CallTiming, response: BackendResponse, result: msgspec.Raw
    ) -> ExecutionResult:
        if work.ticket.deadline < call.finished:
            return expired(call, response)
        try:
            inline, reference = self._payloads.store_if_large(result)
        except ModelError as error:
            return failed(call, error)
        except BackendFault as fault:
            return backend_fault(call, fault, work.ticket.deadline)
        return succeeded(call, response, inline, reference)


def _timeout(model: ModelSpec, prepared: Iterable[PreparedRequest], now: float) -> float:
    """Return the seconds for a call: the model's limit, or less if the last deadline comes before."""
    return min(model.timeout, max(each.work.ticket.deadline for each in prepared) - now)


def _version(work: Work) -> str | None:
    """Return the version that the scheduler resolved, so that all pools execute the same one."""
    return work.ticket.version or work.request.version
