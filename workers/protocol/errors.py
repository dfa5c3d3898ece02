"""Errors of a backend call: a fault of the backend, or an error of the model.

After a fault the scheduler places the request on another backend. A model's error would be the same
everywhere, so it is final at once.
"""

from typing import Literal

from straightline.contracts.faults import FaultClass
from straightline.errors import StraightLineError


class BackendFault(StraightLineError):  # noqa: N818 - a fault is not an error of the request
    """The backend failed; another one may succeed.

    Attributes:
        error_class: the stable word for the kind of fault.
        cold_start: seconds spent on starting the backend before the fault; None if it was warm.
    """

    def __init__(self, message: str, *, error_class: FaultClass, cold_start: float | None = None) -> None:
        super().__init__(message)
        self.error_class: FaultClass = error_class
        self.cold_start = cold_start


class ModelError(StraightLineError):
    """The model failed on the input; any other backend would return the same error.

    Attributes:
        error_class: the stable word for the kind of error.
        cold_start: as in `BackendFault`.
    """

    error_class: Literal["model_error", "wrong_inputs"] = "model_error"

    def __init__(self, message: str, *, cold_start: float | None = None) -> None:
        super().__init__(message)
        self.cold_start = cold_start


class WrongInput(ModelError):  # noqa: N818 - named for the finding
    """The request does not fit the model: it is rejected, which is not a failure of the model."""

    error_class = "wrong_inputs"
