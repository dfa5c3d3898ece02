"""The only JSON decoder: all input goes through it, so that every reader handles every failure."""

from functools import cache
from types import UnionType
from typing import Any, TypeVar, overload

import msgspec

from straightline.errors import ContractError

T = TypeVar("T")
Body = bytes | bytearray | memoryview | msgspec.Raw | str


@overload
def decode(body: Body, kind: type[T]) -> T: ...
@overload
def decode(body: Body, kind: UnionType) -> Any: ...
def decode(body: Body, kind: Any) -> Any:
    """Decode JSON as `kind`.

    Args:
        body: JSON in UTF-8.
        kind: a type that msgspec can decode; its decoder is built once.

    Raises:
        ContractError: `wrong_type` where JSON does not fit, `malformed` for anything else: bad syntax or
            encoding, or nesting deeper than the decoder's stack. The message is msgspec's, with the path.
    """
    try:
        return _decoder(kind).decode(body)
    except msgspec.ValidationError as error:
        raise ContractError(str(error), error_class="wrong_type") from error
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise ContractError(str(error)) from error


@cache
def _decoder(kind: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(kind)
