"""Every error that StraightLine raises, in one tree.

Adapters translate foreign exceptions (pika's, boto3's, Docker's, SQLAlchemy's) into these where they meet
them, so that a caller needs to know this page alone. A message says what was wrong and what mends it.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from straightline.contracts.faults import ErrorClass


class StraightLineError(Exception):
    """The root: catch it to catch all of them."""


class ConfigurationError(StraightLineError):
    """A setting is missing or wrong; the message names it."""


class StoreNotConfigured(ConfigurationError):  # noqa: N818
    """A result lies in a store, and this client was made without one.

    Attributes:
        uri: where it lies.
    """

    def __init__(self, uri: str) -> None:
        super().__init__(f"the result lies at {uri}: make the client with that store, Client(url, store=...)")
        self.uri = uri


class ContractError(StraightLineError):
    """A message does not fit its contract.

    Attributes:
        request_id: the id of the request it came from, where one could be read.
        error_class: a stable word for the kind of fault (`malformed`, `wrong_type`, ...).
    """

    def __init__(
        self, message: str, *, error_class: "ErrorClass" = "malformed", request_id: str | None = None
    ) -> None:
        super().__init__(message)
        self.error_class: ErrorClass = error_class
        self.request_id = request_id


class BrokerUnavailable(StraightLineError):  # noqa: N818 - the contract names it so
    """The broker could not be reached, or did not confirm in time; the request may be sent again.

    Attributes:
        request_id: of the request that was not confirmed, to be sent again with; None where it is about none.
    """

    request_id: str | None = None


class Unroutable(StraightLineError):  # noqa: N818
    """The broker has no queue for the request: its topology is missing or damaged."""


class Rejected(StraightLineError):  # noqa: N818
    """The request was refused, by the client's own checks or by the broker; the message says why."""


class PartlySubmitted(StraightLineError):  # noqa: N818
    """Some of many requests were not submitted; the others are.

    Attributes:
        ids: the id of each request that was taken from the input, by position; None where it was refused
            before anything was sent.
        failures: what went wrong, by position. Those not confirmed may be sent again with the id they have.
        stopped_at: the position from which on nothing was taken from the input, since the broker was gone;
            None where all of it was.
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
    """The store of large bodies could not be read or written now; it may be tried again."""


class ResultTimeout(StraightLineError):  # noqa: N818
    """No result came within the time allowed; the request itself goes on until its deadline.

    Attributes:
        request_ids: of the requests that were waited for and have no result yet.
    """

    def __init__(self, message: str, request_ids: Iterable[str] = ()) -> None:
        super().__init__(message)
        self.request_ids = tuple(request_ids)


class NoResult(StraightLineError):  # noqa: N818
    """The request ended without an answer, and somebody wants to read it.

    Attributes:
        request_id: of the request.
        state: how it ended: `failed`, `expired`, `cancelled` or `rejected`.
        error_class, error: what went wrong, as in its outcome.
    """

    def __init__(self, request_id: str, state: str, error_class: str | None, error: str | None) -> None:
        why = f": {error_class or 'error'}: {error}" if error else ""
        super().__init__(f"request {request_id} has no answer, it ended {state}{why}")
        self.request_id = request_id
        self.state = state
        self.error_class = error_class
        self.error = error


class GatewayUnavailable(StraightLineError):  # noqa: N818
    """The HTTP gateway could not be reached or has too much to do; it may be asked again.

    Attributes:
        retry_after: seconds after which, where it said so.
    """

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class SchedulerUnreachable(GatewayUnavailable):
    """Of that request nothing is recorded, and no scheduler can be asked now whether it has it."""


class NotFound(StraightLineError):  # noqa: N818
    """There is no such request, model or job, or this key may not see it."""
