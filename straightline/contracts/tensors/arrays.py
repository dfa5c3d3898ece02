"""Conversion between numpy arrays and V2 tensors; numpy is imported with the first array.

JSON has neither NaN nor infinity: an input with one is rejected. `null` in a result becomes NaN.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec

from straightline.contracts.parsing.decoding import decode
from straightline.contracts.tensors.v2 import InferInput, InferOutput, InferRequest, InferResponse
from straightline.errors import ConfigurationError, ContractError

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]

BYTES: Final = "BYTES"
"""Datatype of texts."""
DATATYPES: Final = {
    "BOOL": "bool",
    "UINT8": "uint8",
    "UINT16": "uint16",
    "UINT32": "uint32",
    "UINT64": "uint64",
    "INT8": "int8",
    "INT16": "int16",
    "INT32": "int32",
    "INT64": "int64",
    "FP16": "float16",
    "FP32": "float32",
    "FP64": "float64",
    BYTES: "object",
}
"""numpy's names of the V2 datatypes with a JSON form."""

_V2: Final = {name: datatype for datatype, name in DATATYPES.items()}
_NUMBER: Final = float | None
_CHUNK_ELEMENTS: Final = 65_536
"""Converted to Python objects at once, so that a large array does not need memory for all."""


def are_arrays(data: Mapping[str, Any]) -> bool:
    """Return whether `data` maps tensor names to arrays; a V2 infer request has a list of `inputs`."""
    if not data or isinstance(data.get("inputs"), list | tuple):
        return False
    return all(hasattr(value, "__array__") for value in data.values())


def infer_request(
    arrays: Mapping[str, Any],
    *,
    outputs: Sequence[str] = (),
    parameters: Mapping[str, Any] | None = None,
) -> InferRequest:
    """Return a V2 infer request with arrays as inputs.

    Args:
        arrays: values that numpy can convert to arrays, by tensor name.
        outputs: names of the outputs to return; empty returns all.
        parameters: of the request.

    Raises:
        ContractError: an array has no V2 datatype, or a value that JSON cannot encode; the message names it.
        ConfigurationError: numpy is not installed.
    """
    return InferRequest(
        inputs=[tensor(name, array) for name, array in arrays.items()],
        outputs=[{"name": name} for name in outputs],
        parameters=dict(parameters or {}),
    )


def tensor(name: str, array: Any) -> InferInput:
    """Return an array as a V2 tensor with flat, row-major data.

    Raises:
        ContractError, ConfigurationError: as `infer_request`.
    """
    numpy = _numpy()
    try:
        made = numpy.asarray(array)
    except Exception as error:
        raise _refused(name, f"numpy cannot convert it: {error}") from error
    datatype = BYTES if made.dtype.kind in "US" else _V2.get(made.dtype.name)
    if datatype is None:
        raise _refused(name, f"{made.dtype} is not a V2 datatype; use {', '.join(_V2)} or text")
    flat = made.ravel()
    if made.dtype.kind == "f" and not numpy.isfinite(flat).all():
        raise _refused(name, "it contains NaN or infinity, which JSON cannot encode")
    texts = datatype == BYTES
    pieces = (
        flat[start : start + _CHUNK_ELEMENTS].tolist() for start in range(0, flat.size, _CHUNK_ELEMENTS)
    )
    content = b",".join(
        msgspec.json.encode([_text(name, item) for item in piece] if texts else piece)[1:-1]
        for piece in pieces
    )
    return InferInput(
        name=name, shape=list(made.shape), datatype=datatype, data=msgspec.Raw(b"[" + content + b"]")
    )


def array_of(output: InferInput | InferOutput) -> "Array":
    """Return a tensor as an array; `BYTES` becomes an object array of `str`.

    Raises:
        ContractError: the data does not match its datatype or shape.
        ConfigurationError: numpy is not installed.
    """
    numpy = _numpy()
    name = DATATYPES.get(output.datatype)
    if name is None:
        raise _unread(output, f"its datatype {output.datatype[:16]!r} is unknown")
    if any(size < 0 for size in output.shape):
        raise _unread(output, f"its shape {output.shape[:16]} is invalid: dimensions must be >= 0")
    try:
        content = decode(output.data, _content_type(name, output))
        return numpy.array(content, dtype=name).reshape(output.shape)
    except (ContractError, ValueError, OverflowError) as error:
        raise _unread(output, str(error)) from error


def arrays_of(response: InferResponse) -> "dict[str, Array]":
    """Return the outputs of a response as arrays by name.

    Raises:
        ContractError, ConfigurationError: as `array_of`.
    """
    return {output.name: array_of(output) for output in response.outputs}


def _content_type(name: str, output: InferInput | InferOutput) -> Any:
    """Return the Python type of the data: elements of the datatype, flat or nested as the shape."""
    kinds = {"bool": bool, "object": str, "float16": _NUMBER, "float32": _NUMBER, "float64": _NUMBER}
    kind: Any = kinds.get(name, int)
    nested = bytes(memoryview(output.data)[:64]).translate(None, b" \t\r\n").startswith(b"[[")
    for _ in range(len(output.shape) if nested else 1):
        kind = list[kind]
    return kind


def _text(name: str, item: Any) -> str:
    if isinstance(item, str):
        return item
    if isinstance(item, bytes):
        try:
            return item.decode()
        except UnicodeDecodeError:
            raise _refused(
                name, "it contains bytes that are not UTF-8: encode them, for example as base64"
            ) from None
    raise _refused(name, f"it contains a {type(item).__name__}; an object array must contain str or bytes")


def _refused(name: str, why: str) -> ContractError:
    return ContractError(f"the array for input {name!r} cannot be sent: {why}", error_class="wrong_type")


def _unread(output: InferInput | InferOutput, why: str) -> ContractError:
    return ContractError(f"the tensor {output.name!r} cannot be converted to an array: {why}")


def _numpy() -> Any:
    try:
        import numpy as np  # noqa: PLC0415 - optional, and slow to import
    except ImportError as error:
        raise ConfigurationError(
            "arrays need numpy: install it with `pip install straightline[arrays]`"
        ) from error
    return np
