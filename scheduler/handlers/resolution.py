"""Finds the model version that answers a request, or defers or ends the request."""

from collections.abc import Callable

from scheduler.admission.admission import (
    RequestMetadata,
    RequestRejected,
    check_deadline,
    clamped_submitted_at,
    make_ticket,
    resolve_model,
)
from scheduler.effects import Delivery
from scheduler.handlers.shared import Shared
from scheduler.lifecycle import PendingRequest
from scheduler.placement.frequency import Frequencies
from straightline.contracts import Request, Ticket
from straightline.contracts.deployed import Deployed
from straightline.contracts.faults import ErrorClass
from straightline.models.catalogue import Catalogue
from straightline.models.registry_view import RegistryView
from straightline.names import State


class ModelResolver:
    """Turns requests and tickets into pending requests.

    Args:
        shared: parts of the core.
        catalogue: the models of the directory.
        registry_synced: whether all deployments are known here. Until then no request is rejected for its
            model or its tensors: it waits.
        window_s: seconds over which the frequency of a model is measured.
    """

    def __init__(
        self, shared: Shared, catalogue: Catalogue, registry_synced: Callable[[], bool], *, window_s: float
    ) -> None:
        self._shared = shared
        self._registry_synced = registry_synced
        self._frequencies = Frequencies(window_s)
        self._warned_of_unsynced_registry = False
        self.known = RegistryView(catalogue)

    def update(self, deployed: Deployed) -> None:
        """Use a new state of the registry."""
        self._warned_of_unsynced_registry = False
        self.known = self.known.updated(deployed)

    def admit(
        self, delivery: Delivery, body: bytes, request: Request, metadata: RequestMetadata, now: float
    ) -> PendingRequest | None:
        """Accept a new request; return None where it is deferred.

        Raises:
            RequestRejected: no version answers it, its tensors are wrong, or its deadline has passed.
        """
        ticket = make_ticket(request, body, metadata, now)
        try:
            spec = resolve_model(request, ticket, self.known, self._registry_synced)
        except RequestRejected as why:
            if self._registry_synced():
                raise
            check_deadline(request, ticket, now)
            self._defer_until_registry_synced(request, ticket, delivery, why, now)
            return None
        f_t = 0.0
        if request.class_ == "interactive":
            f_t = self._frequencies.observe(spec.name, clamped_submitted_at(request, now))
        check_deadline(request, ticket, now)
        self._shared.lifecycle.choose_version(ticket, spec.version)
        return PendingRequest(request, ticket, spec, delivery, f_t)

    def readmit(
        self, delivery: Delivery, request: Request, ticket: Ticket, now: float
    ) -> PendingRequest | None:
        """Accept a ticket that comes back; return None where the request is deferred or ended."""
        try:
            spec = resolve_model(request, ticket, self.known, self._registry_synced)
        except RequestRejected as why:
            self._finish_unresolvable(delivery, request, ticket, why, now)
            return None
        self._shared.lifecycle.choose_version(ticket, spec.version)
        f_t = self._frequencies.rate(spec.name, now) if request.class_ == "interactive" else 0.0
        return PendingRequest(request, ticket, spec, delivery, f_t)

    def _finish_unresolvable(
        self, delivery: Delivery, request: Request, ticket: Ticket, why: RequestRejected, now: float
    ) -> None:
        state: State = why.state
        error_class: ErrorClass = why.error_class
        error = str(why)
        if request.id in self._shared.cancelled:
            state, error_class, error = "cancelled", "cancelled", "it was cancelled before it was placed"
        elif ticket.deadline <= now:
            state, error_class = "expired", "deadline"
            error = f"the deadline passed before all that is deployed was known: {why}"
        elif not self._registry_synced():
            self._defer_until_registry_synced(request, ticket, delivery, why, now)
            return
        elif ticket.version is not None:
            state = "failed"  # it was accepted, and its model was removed since
        self._shared.emitter.end_ticket(
            request, ticket, delivery, now, state=state, error_class=error_class, error=error
        )

    def _defer_until_registry_synced(
        self, request: Request, ticket: Ticket, delivery: Delivery, why: RequestRejected, now: float
    ) -> None:
        if not self._warned_of_unsynced_registry:
            self._warned_of_unsynced_registry = True
            self._shared.effects.log(
                "warning",
                "requests_deferred",
                request_id=request.id,
                reason=str(why),
            )
        self._shared.dispatcher.holds.defer(request, ticket, delivery, now)
