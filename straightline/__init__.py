"""StraightLine's producer SDK, contracts and command line."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from straightline.client import Client
    from straightline.producer.submission import Submission

__all__ = ["Client", "Submission"]


def __getattr__(name: str) -> Any:
    """Import on demand, so that users of the contracts alone do not pay for the client."""
    if name == "Client":
        from straightline.client import Client  # noqa: PLC0415 - see above

        return Client
    if name == "Submission":
        from straightline.producer.submission import Submission  # noqa: PLC0415 - see above

        return Submission
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
