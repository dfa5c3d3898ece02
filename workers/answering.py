"""Asking a backend for the requests of a placement: one verdict for each, whatever happens."""

from collections.abc import Callable, Iterable
from typing import Final

import msgspec

from straightline.contracts import InferResponse, ModelSpec
from workers.backends.base import Answer, Backend
from workers.bodies import BadReference, Bodies
from workers.errors import BackendFault, ModelError
from workers.grouping import Ask, Group, groups
from workers.merging import MergeError, join, split
from workers.placements import Work
from workers.verdicts import Verdict

FindModel = Callable[[str, str | None], ModelSpec | None]
Judged = list[tuple[Work, Verdict]]
_RESPONSE: Final = msgspec.json.Decoder(InferResponse)


class Answerer:
    """Turns placements into verdicts.

    Args:
        backend: who is asked.
        find_model: by name and version.
        bodies: where inputs and results lie that are too large to travel.
        clock: seconds since the epoch.
    """

    def __init__(
        self, backend: Backend, find_model: FindModel, bodies: Bodies, clock: Callable[[], float]
    ) -> None:
        self._backend = backend
        self._find_model = find_model
        self._bodies = bodies
        self._clock = clock

    def answer(self, work: Iterable[Work]) -> Judged:
        """Give one verdict for each request."""
        started = self._clock()
        judged: Judged = []
        by_model: dict[tuple[str, str | None], list[Ask]] = {}
        for item in work:
            ask = self._prepare(item, started)
            if isinstance(ask, Verdict):
                judged.append((item, ask))
            else:
                by_model.setdefault((item.request.model, item.request.version), []).append(ask)
        for (name, version), asks in by_model.items():
            model = self._find_model(name, version)
            if model is None:
                fault = BackendFault(
                    f"model {name} {version or ''} is not in this pool's directory of models",
                    error_class="not_deployed",
                )
                judged += [(ask.work, self._faulty(ask.work, fault, started, asked=False)) for ask in asks]
                continue
            for group in groups(asks, model, self._backend.max_payload):
                judged += self._ask(model, group)
        return judged

    def _prepare(self, work: Work, now: float) -> Ask | Verdict:
        if work.ticket.deadline <= now:
            return Verdict(
                kind="expired",
                started_at=now,
                finished_at=now,
                asked=False,
                error_class="deadline",
                error="its deadline passed while it waited for a worker",
            )
        try:
            return Ask(work=work, body=self._bodies.fetch(work.request))
        except BadReference as error:
            return Verdict(
                kind="failed",
                started_at=now,
                finished_at=self._clock(),
                asked=False,
                error_class="bad_reference",
                error=str(error),
            )
        except BackendFault as fault:
            return self._faulty(work, fault, now)

    def _ask(self, model: ModelSpec, group: Group) -> Judged:
        if len(group.asks) == 1:
            return [(group.asks[0].work, self._ask_one(model, group.asks[0]))]
        body, parts = join(group.requests)
        started = self._clock()
        try:
            answer = self._backend.infer(model, body, self._patience(model, group.asks, started))
            results = split(_read(answer), parts)
        except (ModelError, MergeError):
            # One of them may have spoiled it: asked alone, each gets its own answer.
            return [(ask.work, self._ask_one(model, ask)) for ask in group.asks]
        except BackendFault as fault:
            return [
                (ask.work, self._faulty(ask.work, fault, started, share=len(parts))) for ask in group.asks
            ]
        return [
            (ask.work, self._succeeded(ask.work, result, answer, started, share=len(parts)))
            for ask, result in zip(group.asks, results, strict=True)
        ]

    def _ask_one(self, model: ModelSpec, ask: Ask) -> Verdict:
        started = self._clock()
        patience = self._patience(model, [ask], started)
        if patience <= 0:
            return self._late(started, asked=False)
        try:
            answer = self._backend.infer(model, ask.body, patience)
            _read(answer)
        except ModelError as error:
            finished = self._clock()
            return Verdict(
                kind="failed",
                started_at=started,
                finished_at=finished,
                error_class=error.error_class,
                error=str(error),
                service=finished - started,
                cold_start=error.cold_start,
            )
        except BackendFault as fault:
            return self._faulty(ask.work, fault, started)
        return self._succeeded(ask.work, msgspec.Raw(answer.body), answer, started)

    def _patience(self, model: ModelSpec, asks: list[Ask], now: float) -> float:
        """Seconds for a call: as long as the model may take and anyone still waits."""
        return min(model.timeout, max(ask.work.ticket.deadline for ask in asks) - now)

    def _succeeded(
        self, work: Work, result: msgspec.Raw, answer: Answer, started: float, share: int = 1
    ) -> Verdict:
        finished = self._clock()
        if work.ticket.deadline < finished:
            return self._late(started, service=answer.service, cold_start=answer.cold_start, share=share)
        try:
            inline, reference = self._bodies.place(work.request.id, result)
        except BackendFault as fault:
            return self._faulty(work, fault, started, share=share)
        return Verdict(
            kind="succeeded",
            started_at=started,
            finished_at=finished,
            result=inline,
            result_ref=reference,
            service=answer.service,
            cold_start=answer.cold_start,
            share=share,
        )

    def _faulty(
        self, work: Work, fault: BackendFault, started: float, *, share: int = 1, asked: bool = True
    ) -> Verdict:
        finished = self._clock()
        return Verdict(
            # Nobody waits for another attempt once the deadline has passed.
            kind="expired" if work.ticket.deadline <= finished else "fault",
            started_at=started,
            finished_at=finished,
            error_class=fault.error_class,
            error=str(fault),
            asked=asked,
            service=finished - started,
            cold_start=fault.cold_start,
            share=share,
        )

    def _late(
        self,
        started: float,
        *,
        asked: bool = True,
        service: float = 0.0,
        cold_start: float | None = None,
        share: int = 1,
    ) -> Verdict:
        return Verdict(
            kind="expired",
            started_at=started,
            finished_at=self._clock(),
            error_class="deadline",
            error="the answer came after its deadline"
            if asked
            else "its deadline passed before it was asked",
            asked=asked,
            service=service,
            cold_start=cold_start,
            share=share,
        )


def _read(answer: Answer) -> InferResponse:
    try:
        return _RESPONSE.decode(answer.body)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise BackendFault(
            f"the answer is not a V2 infer response: {error}",
            error_class="bad_protocol",
            cold_start=answer.cold_start,
        ) from error
