"""Numpy arrays to V2 tensors in JSON.

JSON has no NaN and no infinity. In an answer each of them becomes `null`, and the tensor says how many there
are in `parameters.non_finite`, so that a reader never takes one for a number, and the others still arrive.
"""

from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from modelkit.serve.datatypes import BYTES, numpy_type
from modelkit.serve.errors import ModelError
from straightline.contracts import InferOutput

_ENCODER = msgspec.json.Encoder()


def encode_tensor(name: str, datatype: str, array: npt.NDArray[Any]) -> InferOutput:
    """Return an array as a V2 tensor, its content flat and row-major.

    Raises:
        ModelError: the array is not of the datatype, and no safe cast makes it so.
    """
    content, parameters = _content(name, datatype, array)
    return InferOutput(
        name=name,
        shape=list(array.shape),
        datatype=datatype,
        data=msgspec.Raw(_ENCODER.encode(content)),
        parameters=parameters,
    )


def _content(name: str, datatype: str, array: npt.NDArray[Any]) -> tuple[list[Any], dict[str, Any]]:
    wanted = numpy_type(datatype)
    if datatype == BYTES:
        return [_text(name, item) for item in array.ravel().tolist()], {}
    if not np.can_cast(array.dtype, wanted, casting="same_kind"):
        raise ModelError(f"output {name!r} is {array.dtype}, model.toml says {datatype}")
    with np.errstate(over="ignore"):  # what overflows becomes infinite, which is counted
        flat = array.ravel().astype(wanted, copy=False)
    if wanted.kind in "iu" and array.dtype != wanted and not np.array_equal(flat, array.ravel()):
        raise ModelError(f"output {name!r} holds a number out of the range of {datatype}")
    if wanted.kind == "f":
        finite = np.isfinite(flat)
        if not finite.all():
            # msgspec writes NaN and infinities as null.
            return flat.tolist(), {"non_finite": int(flat.size - np.count_nonzero(finite))}
    return flat.tolist(), {}


def _text(name: str, item: Any) -> str:
    if isinstance(item, str):
        return item
    if isinstance(item, bytes):
        try:
            return item.decode()
        except UnicodeDecodeError:
            raise ModelError(
                f"output {name!r} holds bytes that are not UTF-8; JSON cannot carry them"
            ) from None
    raise ModelError(f"output {name!r} holds a {type(item).__name__}, model.toml says BYTES")
