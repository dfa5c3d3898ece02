"""Connection failures: their reason in one line, and when authentication failures are final."""

import ssl
from typing import Final

from pika.adapters.utils.connection_workflow import AMQPConnectionWorkflowFailed, AMQPConnectorPhaseErrorBase
from pika.exceptions import AMQPConnectionError, ProbableAccessDeniedError, ProbableAuthenticationError

from straightline.amqp.connection import tls

REFUSAL_TIMEOUT_S: Final = 5.0
"""Authentication failures are final after this time without any other failure in between: a broker that
starts accepts connections before all its users exist."""


def describe(reason: BaseException) -> str:
    """Return the reason of a connection failure in one line, without credentials."""
    reason = _innermost(reason)
    if isinstance(reason, ProbableAuthenticationError):
        return "the broker refused the user or the password: check the URL"
    if isinstance(reason, ProbableAccessDeniedError):
        return "the broker refused access to the virtual host: check the URL and the user's permissions"
    if isinstance(reason, ssl.SSLError):
        return tls.describe_error(reason)
    return f"{type(reason).__name__}: {reason}" if str(reason) else repr(reason)


class AuthFailures:
    """Consecutive authentication failures of one connection."""

    def __init__(self) -> None:
        self._since: float | None = None

    def record(self, reason: BaseException, now: float) -> bool:
        """Record a failure to connect; return whether retrying has become pointless.

        Args:
            reason: of the failure; any other than a refused user or password starts the count anew.
            now: seconds of a monotonic clock.
        """
        if not isinstance(_innermost(reason), ProbableAuthenticationError):
            self._since = None
            return False
        if self._since is None:
            self._since = now
        return now - self._since >= REFUSAL_TIMEOUT_S


def _innermost(reason: BaseException) -> BaseException:
    while (cause := _cause(reason)) is not None:
        reason = cause
    return reason


def _cause(reason: BaseException) -> BaseException | None:
    """Return the exception that pika wrapped, or None."""
    if isinstance(reason, AMQPConnectionWorkflowFailed):
        return reason.exceptions[-1]
    if isinstance(reason, AMQPConnectorPhaseErrorBase):
        return reason.exception
    if isinstance(reason, AMQPConnectionError) and reason.args and isinstance(reason.args[0], Exception):
        return reason.args[0]
    return None
