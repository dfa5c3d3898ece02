"""The errors that StraightLine raises.

Adapters translate exceptions of libraries (pika, boto3, Docker, SQLAlchemy) into these. A message says what
failed, why, and what to do.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from straightline.contracts.faults import ErrorClass


class StraightLineError(Exception):
    """Base class of all errors of StraightLine."""


class ConfigurationError(StraightLineError):
    """A setting is missing or invalid; the message names it."""


class StoreNotConfigured(ConfigurationError):  # noqa: N818
    """A result is in a store, and this client has none.

    Attributes:
        uri: of the result.
    """

    def __init__(self, uri: str) -> None:
        super().__init__(
            f"the result is in a store, at {uri}: create the client with that store, Client(url, store=...)"
        )
        self.uri = uri


class ContractError(StraightLineError):
    """A message or argument violates its contract.

    Attributes:
        request_id: id of the request, where it could be decoded.
        error_class: stable name of the fault (`malformed`, `wrong_type`, ...).
    """

    def __init__(
        self, message: str, *, error_class: "ErrorClass" = "malformed", request_id: str | None = None
    ) -> None:
        super().__init__(message)
        self.error_class: ErrorClass = error_class
        self.request_id = request_id


class BrokerUnavailable(StraightLineError):  # noqa: N818 - the contract names it so
    """The broker is unreachable, or did not confirm a message in time; submit the request again.

    Attributes:
        request_id: id of the unconfirmed request, to submit it again with; None where the error is about
            none.
    """

    request_id: str | None = None


class Unroutable(StraightLineError):  # noqa: N818
    """The broker has no queue for the message: its topology is missing or damaged."""


class Rejected(StraightLineError):  # noqa: N818
    """The request was rejected by the client's checks or by the broker; the message says why."""


class PartlySubmitted(StraightLineError):  # noqa: N818
    """Some requests of `submit_many` were not submitted; the others were.

    Attributes:
        ids: id of each request consumed from the input, by position; None where it was invalid and not sent.
        failures: error of each request not submitted, by position. Submit unconfirmed ones again with their
            id.
        stopped_at: position of the first request not consumed, since the broker was unavailable; None where
            all were.
    """

    def __init__(
        self,
        message: str,
        *,
        ids: list[str | None],
        failures: dict[int, StraightLineError],
        stopped_at: int | None,
    ) -> None:
        super().__init__(message)
        self.ids = ids
        self.failures = failures
        self.stopped_at = stopped_at


class StoreUnavailable(StraightLineError):  # noqa: N818
    """The store for large data could not be read or written; try again."""


class ResultTimeout(StraightLineError):  # noqa: N818
    """No result arrived in time; the request continues until its deadline.

    Attributes:
        request_ids: ids of the awaited requests without a result.
    """

    def __init__(self, message: str, request_ids: Iterable[str] = ()) -> None:
        super().__init__(message)
        self.request_ids = tuple(request_ids)


class NoResult(StraightLineError):  # noqa: N818
    """The request ended without a result.

    Attributes:
        request_id: id of the request.
        state: `failed`, `expired`, `cancelled` or `rejected`.
        error_class, error: as in its outcome.
    """

    def __init__(self, request_id: str, state: str, error_class: str | None, error: str | None) -> None:
        why = f": {error_class or 'error'}: {error}" if error else ""
        super().__init__(f"request {request_id} has no result, it ended {state}{why}")
        self.request_id = request_id
        self.state = state
        self.error_class = error_class
        self.error = error


class GatewayUnavailable(StraightLineError):  # noqa: N818
    """The HTTP gateway is unreachable or overloaded; try again.

    Attributes:
        retry_after: seconds to wait first, as the gateway advised, or None.
    """

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class SchedulerUnreachable(GatewayUnavailable):
    """The request is not on record, and no scheduler can be asked whether it has it."""


class NotFound(StraightLineError):  # noqa: N818
    """The request, model or job does not exist, or the API key may not see it."""
