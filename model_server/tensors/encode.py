"""Encoding of numpy arrays as V2 tensors, in JSON and in binary.

JSON has no NaN and no infinity: they become `null`, and `parameters.non_finite` counts them. Binary tensors
keep them.
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
    """Return an array as a V2 tensor with flat, row-major content.

    Raises:
        ModelError: the array cannot be cast safely to the datatype.
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
    """Encode a response.

    Args:
        spec: the model.
        request_id: id of the request.
        tensors: the requested outputs.
        binary: names of the outputs to encode in binary; or True for all, False for none.

    Returns:
        The body, and the length of its JSON header; None if no tensor is binary.

    Raises:
        ModelError: an array cannot be cast safely to its datatype.
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
        raise ModelError(f"output {name!r} has a string that is not valid Unicode") from None


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
    """Cast an array to the datatype; only the precision of floats may be lost."""
    wanted = numpy_type(datatype)
    if datatype == BYTES:
        for item in array.ravel().tolist():
            if not isinstance(item, str | bytes):
                raise ModelError(f"output {name!r} has a {type(item).__name__}, but model.toml says BYTES")
        return array.astype(np.object_, copy=False)
    if not np.can_cast(array.dtype, wanted, casting="same_kind"):
        raise ModelError(f"output {name!r} is {array.dtype}, but model.toml says {datatype}")
    with np.errstate(over="ignore"):  # overflows become infinite, and are counted
        cast = array.astype(wanted, copy=False)
    if wanted.kind in "iu" and array.dtype != wanted and not np.array_equal(cast, array):
        raise ModelError(f"output {name!r} has a number outside the range of {datatype}")
    return cast


def _text(name: str, item: str | bytes) -> str:
    if isinstance(item, str):
        return item
    try:
        return item.decode()
    except UnicodeDecodeError:
        raise ModelError(f"output {name!r} has bytes that are not UTF-8, which JSON cannot hold") from None
