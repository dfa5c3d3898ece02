"""What may go wrong when a model is asked; the class names are also the `errorType` of the Lambda form.

| error | HTTP | Lambda `errorType` | whose fault | again elsewhere? |
|---|---|---|---|---|
| `InvalidInput` | 400 | `InvalidInput` | the request's | no |
| `ModelError` | 422 | `ModelError` | the model's, in predict | no |
| `OutOfMemory` | 507 | `OutOfMemory` | the backend's: another may have more | yes |
"""

from straightline.errors import StraightLineError


class InvalidInput(StraightLineError):  # noqa: N818 - the name is what an invoker sees
    """The request does not fit the model; the same request will never do."""


class ModelError(StraightLineError):
    """The model raised an exception, or gave what its `model.toml` does not promise; it would again."""


class OutOfMemory(StraightLineError):  # noqa: N818
    """There was not memory enough for this request here."""
