"""Errors of an invocation before it reaches an instance."""

from function_host.hosting.pool import ThrottleReason
from straightline.errors import StraightLineError


class UnknownFunction(StraightLineError):  # noqa: N818 - named as in Lambda's API
    """No function with this name is deployed."""


class Throttled(StraightLineError):  # noqa: N818
    """A limit of instances is reached.

    Attributes:
        reason: Lambda's name of the limit.
    """

    def __init__(self, reason: ThrottleReason) -> None:
        super().__init__("Rate Exceeded.")
        self.reason = reason


class NotReady(StraightLineError):  # noqa: N818
    """A prestarted instance did not become ready."""
