"""What ends a deployment."""

from straightline.errors import StraightLineError


class NotReady(StraightLineError):  # noqa: N818 - it reads as what was found
    """The bundle does not load, or its server, image or function does not answer; the message says why."""


class NotPlaced(StraightLineError):  # noqa: N818
    """A place could not take the bundle; the message says what to change."""
