"""Numpy arrays to V2 tensors, in JSON and in binary.

JSON has no NaN and no infinity. In an answer each of them becomes `null`, and the tensor says how many there
are in `parameters.non_finite`, so that a reader never takes one for a number, and the others still arrive.
In binary they are what they are.
"""

from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from model_server.errors import ModelError
from model_server.tensors.binary import to_raw
from model_server.tensors.datatypes import BYTES, numpy_type
from straightline.contracts import InferOutput, ModelSpec
from straightline.contracts.tensors.binary_tensors import SIZE_PARAMETER

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


def encode_response(
    spec: ModelSpec,
    request_id: str | None,
    tensors: Mapping[str, npt.NDArray[Any]],
    binary: frozenset[str] | bool,
) -> tuple[bytes, int | None]:
    """Write an answer, the tensors that were wished for in binary.

    Args:
        spec: of the model that answered.
        request_id: of the request.
        tensors: the outputs that were asked for.
        binary: names of those that are wished for in binary, or all, or none.

    Returns:
        The body, and the length of its header; None where nothing in it is binary.

    Raises:
        ModelError: an array is not of its datatype, and no safe cast makes it so.
    """
    outputs: list[InferOutput | dict[str, Any]] = []
    pieces: list[bytes] = []
    for tensor in spec.outputs:
        name, array = tensor.name, tensors.get(tensor.name)
        if array is None:
            continue
        if not (binary if isinstance(binary, bool) else name in binary):
            outputs.append(encode_tensor(name, tensor.datatype, array))
            continue
        pieces.append(_raw(name, tensor.datatype, array))
        outputs.append(
            {
                "name": name,
                "shape": array.shape,
                "datatype": tensor.datatype,
                "parameters": {SIZE_PARAMETER: len(pieces[-1])},
            }
        )
    head: dict[str, Any] = {"model_name": spec.name, "model_version": spec.version, "outputs": outputs}
    head |= {} if request_id is None else {"id": request_id}
    encoded = _ENCODER.encode(head)
    return b"".join((encoded, *pieces)), len(encoded) if pieces else None


def _raw(name: str, datatype: str, array: npt.NDArray[Any]) -> bytes:
    try:
        return to_raw(_cast(name, datatype, array))
    except UnicodeEncodeError:
        raise ModelError(f"output {name!r} holds a text with half of a character in it") from None


def _content(name: str, datatype: str, array: npt.NDArray[Any]) -> tuple[list[Any], dict[str, Any]]:
    flat = _cast(name, datatype, array).ravel()
    if datatype == BYTES:
        return [_text(name, item) for item in flat.tolist()], {}
    if flat.dtype.kind == "f":
        finite = np.isfinite(flat)
        if not finite.all():
            # msgspec writes NaN and infinities as null.
            return flat.tolist(), {"non_finite": int(flat.size - np.count_nonzero(finite))}
    return flat.tolist(), {}


def _cast(name: str, datatype: str, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return an array of the datatype: itself, or a cast that loses no more than a float's precision."""
    wanted = numpy_type(datatype)
    if datatype == BYTES:
        for item in array.ravel().tolist():
            if not isinstance(item, str | bytes):
                raise ModelError(f"output {name!r} holds a {type(item).__name__}, model.toml says BYTES")
        return array.astype(np.object_, copy=False)
    if not np.can_cast(array.dtype, wanted, casting="same_kind"):
        raise ModelError(f"output {name!r} is {array.dtype}, model.toml says {datatype}")
    with np.errstate(over="ignore"):  # what overflows becomes infinite, which is counted
        cast = array.astype(wanted, copy=False)
    if wanted.kind in "iu" and array.dtype != wanted and not np.array_equal(cast, array):
        raise ModelError(f"output {name!r} holds a number out of the range of {datatype}")
    return cast


def _text(name: str, item: str | bytes) -> str:
    if isinstance(item, str):
        return item
    try:
        return item.decode()
    except UnicodeDecodeError:
        raise ModelError(f"output {name!r} holds bytes that are not UTF-8; JSON cannot carry them") from None
