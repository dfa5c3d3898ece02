"""Every error that StraightLine raises, in one tree.

Adapters translate foreign exceptions (pika's, boto3's, Docker's, SQLAlchemy's) into these where they meet
them, so that a caller needs to know this page alone. A message says what was wrong and what mends it.
"""


class StraightLineError(Exception):
    """The root: catch it to catch all of them."""


class ConfigurationError(StraightLineError):
    """A setting is missing or wrong; the message names it."""


class ContractError(StraightLineError):
    """A message does not fit its contract.

    Attributes:
        request_id: the id of the request it came from, where one could be read.
        error_class: a stable word for the kind of fault (`malformed`, `wrong_type`, ...).
    """

    def __init__(
        self, message: str, *, error_class: str = "malformed", request_id: str | None = None
    ) -> None:
        super().__init__(message)
        self.error_class = error_class
        self.request_id = request_id


class BrokerUnavailable(StraightLineError):  # noqa: N818 - the contract names it so
    """The broker could not be reached, or did not confirm in time; the request may be sent again."""


class Unroutable(StraightLineError):  # noqa: N818
    """The broker has no queue for the request: its topology is missing or damaged."""


class Rejected(StraightLineError):  # noqa: N818
    """The request was refused, by the client's own checks or by the broker; the message says why."""


class ResultTimeout(StraightLineError):  # noqa: N818
    """No result came within the time allowed; the request itself goes on until its deadline."""
