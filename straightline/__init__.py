"""StraightLine's producer SDK, contracts and command line."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from straightline.client import Client
    from straightline.producer.submission import Submission

__all__ = ["Client", "Submission"]


def __getattr__(name: str) -> Any:
    """Import what is asked for: who needs the contracts alone does not pay for the client."""
    if name == "Client":
        from straightline.client import Client  # noqa: PLC0415 - see above

        return Client
    if name == "Submission":
        from straightline.producer.submission import Submission  # noqa: PLC0415 - see above

        return Submission
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
