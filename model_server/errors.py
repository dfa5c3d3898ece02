"""Errors of an inference; the class names are also the `errorType` of the Lambda form.

| error | HTTP | Lambda `errorType` | cause | retry elsewhere |
|---|---|---|---|---|
| `InvalidInput` | 400 | `InvalidInput` | the request | no |
| `ModelError` | 422 | `ModelError` | the model | no |
| `OutOfMemory` | 507 | `OutOfMemory` | the backend, another may have more memory | yes |
"""

from straightline.errors import StraightLineError


class InvalidInput(StraightLineError):  # noqa: N818 - the name is the errorType
    """The request does not fit the model, and never will."""


class ModelError(StraightLineError):
    """The model raised an exception, or returned other tensors than `model.toml` lists."""


class OutOfMemory(StraightLineError):  # noqa: N818
    """There was not enough memory for the request."""
