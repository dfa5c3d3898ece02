"""From a producer's message to a ticket, or to the reason why not. Pure: time is an argument."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

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
"""Longest AMQP short string in bytes."""


class RequestRejected(Exception):  # noqa: N818 - it is an answer, not an error
    """A request that ends before it is placed."""

    def __init__(self, state: State, error_class: ErrorClass, message: str) -> None:
        super().__init__(message)
        self.state = state
        self.error_class = error_class


@dataclass(frozen=True, slots=True)
class RequestMetadata:
    """What a ticket carries beside the request: reply address, digest of the content, W3C trace context."""

    reply: ReplyAddress | None
    digest: str
    trace: str | None = None
    trace_state: str | None = None


def reply_address(reply_to: str | None, correlation_id: str | None, request_id: str) -> ReplyAddress | None:
    """Return where the result goes, from the AMQP properties; None where nobody asked for it."""
    if not reply_to or len(reply_to.encode()) > MAX_SHORT_STRING_BYTES:
        return None
    return ReplyAddress(to=reply_to, correlation_id=correlation_id or request_id)


def clamped_submitted_at(request: Request, now: float) -> float:
    """Return the producer's time, clamped to our clock: nothing was submitted in the future."""
    return min(request.submitted_at, now)


def find_model(request: Request, known: RegistryView, settled: str | None = None) -> ModelSpec:
    """Return the version of the model that answers a request: the one it pins, the canary, or the default.

    Args:
        request: what is asked.
        known: the models.
        settled: the version that was chosen before, where the request comes back; it stays while it is there.

    Raises:
        Refused: there is none; the message names those there are.
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


def make_ticket(request: Request, body: bytes, terms: RequestMetadata, now: float) -> Ticket:
    """Make the ticket of a request, which has no version yet.

    Args:
        request: decoded from
        body: the message as it came.
        terms: what else its ticket carries.
        now: seconds since the epoch.
    """
    at = clamped_submitted_at(request, now)
    deadline = request.deadline if request.deadline is not None else at + DEFAULT_LIFETIME_S[request.class_]
    return Ticket(
        request=msgspec.Raw(body),
        digest=terms.digest,
        submitted_at=at,
        received_at=now,
        deadline=deadline,
        r_d=request.size,
        reply=terms.reply,
        trace=terms.trace,
        trace_state=terms.trace_state,
    )


def check_deadline(request: Request, ticket: Ticket, now: float) -> None:
    """Do nothing where the deadline of a request that has just come is still ahead.

    Raises:
        Refused: it has passed.
    """
    if ticket.deadline > now:
        return
    late = f"the deadline passed {seconds(now - ticket.deadline)} before the request was read"
    if request.deadline is None:
        span = DEFAULT_LIFETIME_S[request.class_]
        late += f"; it names none, so it has {span:.0f} s from its submitted_at ({request.class_})"
    elif request.deadline < MAX_DEADLINE_S:  # no time of ours, but a span
        late += (
            f"; {request.deadline:g} is taken for seconds since 1970: send the time, not how long from now"
        )
    raise RequestRejected("expired", "deadline", late)


def resolve_model(
    request: Request, ticket: Ticket, known: RegistryView, registry_synced: Callable[[], bool]
) -> ModelSpec:
    """Return the version that answers, and note it in the ticket; it stays through holds and retries.

    Args:
        request: what is asked.
        ticket: its ticket.
        known: the models.
        registry_synced: whether these are all; else what was settled before may be another one.

    Raises:
        Refused: there is none, or the tensors are not its.
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
    ticket.version = spec.version
    return spec
