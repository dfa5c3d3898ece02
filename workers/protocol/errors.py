"""How a call of a backend can end badly: a fault of the backend, or an error of the model.

The difference decides what happens next. After a fault the request is placed elsewhere; an error of the
model would come again everywhere, so it is final at once.
"""

from typing import Literal

from straightline.contracts.faults import FaultClass
from straightline.errors import StraightLineError


class BackendFault(StraightLineError):  # noqa: N818 - a fault is not an error of the request
    """The backend did not answer as it should; another one may.

    Attributes:
        error_class: the stable word for the kind of fault.
        cold_start: seconds that went into starting the backend before the fault; None where none was started.
    """

    def __init__(self, message: str, *, error_class: FaultClass, cold_start: float | None = None) -> None:
        super().__init__(message)
        self.error_class: FaultClass = error_class
        self.cold_start = cold_start


class ModelError(StraightLineError):
    """The model refused the input or failed on it; asking another backend would bring the same.

    Attributes:
        error_class: the stable word for it.
        cold_start: as in `BackendFault`.
    """

    error_class: Literal["model_error", "wrong_inputs"] = "model_error"

    def __init__(self, message: str, *, cold_start: float | None = None) -> None:
        super().__init__(message)
        self.cold_start = cold_start


class WrongInput(ModelError):  # noqa: N818 - it reads as what was found
    """The request does not fit the model: it is rejected, and that is no failure of the model."""

    error_class = "wrong_inputs"
