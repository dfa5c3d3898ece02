"""Admission of a request: its ticket, its model version, or the reason for its rejection."""

from collections.abc import Callable
from typing import Final, NamedTuple

import msgspec

from straightline.contracts import ModelSpec, ReplyAddress, Request, Ticket
from straightline.contracts.faults import ErrorClass
from straightline.contracts.tensors.v2 import check_inputs
from straightline.errors import ContractError
from straightline.models.registry_view import RegistryView
from straightline.names import State
from straightline.producer.submission import DEFAULT_LIFETIME_S, MAX_DEADLINE_S
from straightline.support.terminal import seconds

MAX_SHORT_STRING_BYTES: Final = 255
"""Longest AMQP short string."""


class RequestRejected(Exception):  # noqa: N818 - an outcome, not an error
    """A request that ends before it is placed."""

    def __init__(self, state: State, error_class: ErrorClass, message: str) -> None:
        super().__init__(message)
        self.state = state
        self.error_class = error_class


class RequestMetadata(NamedTuple):
    """Fields of a ticket beside the request: reply address, digest of the content, W3C trace context."""

    reply: ReplyAddress | None
    digest: str
    trace: str | None = None
    trace_state: str | None = None


def reply_address(reply_to: str | None, correlation_id: str | None, request_id: str) -> ReplyAddress | None:
    """Return where the outcome is pushed, from the AMQP properties; None where it is not asked for."""
    if not reply_to or len(reply_to.encode()) > MAX_SHORT_STRING_BYTES:
        return None
    return ReplyAddress(to=reply_to, correlation_id=correlation_id or request_id)


def clamped_submitted_at(request: Request, now: float) -> float:
    """Return the producer's time, at most `now`: a request is not submitted in the future."""
    return min(request.submitted_at, now)


def find_model(request: Request, known: RegistryView, settled: str | None = None) -> ModelSpec:
    """Return the model version that answers a request: the pinned one, the canary, or the default.

    Args:
        request: the request.
        known: the models.
        settled: the version chosen before, for a request that comes back; it stays while it is deployed.

    Raises:
        RequestRejected: there is none; the message names the deployed ones.
    """
    if settled is not None and request.version is None:
        spec = known.find(request.model, settled)
        if spec is not None:
            return spec
    version = request.version
    if version is None:
        version = known.resolve_version(request.model, request.id)
    spec = known.find(request.model, version)
    if spec is not None:
        return spec
    models = known.catalogue().models
    versions = models.get(request.model)
    if versions:
        raise RequestRejected(
            "rejected",
            "unknown_version",
            f"model {request.model} has no version {request.version}; it has {', '.join(versions)}",
        )
    there = ", ".join(sorted(models)) or "none"
    raise RequestRejected(
        "rejected", "unknown_model", f"there is no model {request.model}; deployed are: {there}"
    )


def make_ticket(request: Request, body: bytes, metadata: RequestMetadata, now: float) -> Ticket:
    """Return the ticket of a request, without a version.

    Args:
        request: the decoded request.
        body: its message.
        metadata: other fields of the ticket.
        now: seconds since the epoch.
    """
    at = clamped_submitted_at(request, now)
    deadline = request.deadline if request.deadline is not None else at + DEFAULT_LIFETIME_S[request.class_]
    return Ticket(
        request=msgspec.Raw(body),
        digest=metadata.digest,
        submitted_at=at,
        received_at=now,
        deadline=deadline,
        r_d=request.size,
        reply=metadata.reply,
        trace=metadata.trace,
        trace_state=metadata.trace_state,
    )


def check_deadline(request: Request, ticket: Ticket, now: float) -> None:
    """Reject a new request whose deadline has passed.

    Raises:
        RequestRejected: the deadline has passed.
    """
    if ticket.deadline > now:
        return
    late = f"the deadline passed {seconds(now - ticket.deadline)} before the request was read"
    if request.deadline is None:
        span = DEFAULT_LIFETIME_S[request.class_]
        late += f"; it names none, so it has {span:.0f} s from its submitted_at ({request.class_})"
    elif request.deadline < MAX_DEADLINE_S:  # a duration, not a time
        late += (
            f"; {request.deadline:g} is taken for seconds since 1970: send the time, not how long from now"
        )
    raise RequestRejected("expired", "deadline", late)


def resolve_model(
    request: Request, ticket: Ticket, known: RegistryView, registry_synced: Callable[[], bool]
) -> ModelSpec:
    """Return the version that answers; for a new request, check its tensors.

    Args:
        request: the request.
        ticket: its ticket, with the version chosen before.
        known: the models.
        registry_synced: whether `known` is complete; otherwise the chosen version may be missing.

    Raises:
        RequestRejected: no version answers, or the tensors do not fit.
    """
    spec = find_model(request, known, ticket.version)
    if ticket.version not in {None, spec.version} and not registry_synced():
        why = f"version {ticket.version} of model {request.model} is not known here"
        raise RequestRejected("rejected", "unknown_version", why)
    if ticket.version is None and request.data_ref is None:
        try:
            check_inputs(request.infer_request(), spec)
        except ContractError as error:
            raise RequestRejected("rejected", error.error_class, str(error)) from error
    return spec
