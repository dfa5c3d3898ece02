"""Errors that end a deployment."""

from straightline.errors import StraightLineError


class NotReady(StraightLineError):  # noqa: N818 - it reads as what was found
    """The bundle does not load, or its server, image or function does not become ready."""


class NotPlaced(StraightLineError):  # noqa: N818
    """A deployment target could not take or release a version."""
