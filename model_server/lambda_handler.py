"""Handler of AWS Lambda for a model: the event is a V2 infer request, the result a V2 infer response."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from model_server.errors import InvalidInput
from model_server.models.bundle import read_bundle
from model_server.models.engine import load_engine
from straightline.contracts.parsing.decoding import decode
from straightline.contracts.tensors.v2 import decode_infer_request
from straightline.errors import ContractError

Handler = Callable[[Any, Any], dict[str, Any]]


def create(bundle: Path, *, threads: int = 1) -> Handler:
    """Load the bundle and return the handler of its function.

    Call it at import time, so that the model is loaded in the cold start.

    The handler raises `InvalidInput`, `ModelError` or `OutOfMemory` (`model_server.errors`). Lambda returns
    the class name as `errorType`.

    Args:
        bundle: directory of the bundle.
        threads: threads of one call, for ONNX models.

    Raises:
        ConfigurationError: the bundle cannot be loaded; Lambda reports a failed initialisation.
    """
    engine = load_engine(read_bundle(bundle), threads=threads)

    def handler(event: Any, context: Any) -> dict[str, Any]:  # noqa: ARG001 - Lambda passes both
        try:
            # Lambda has parsed the event; it is encoded again, since tensors are decoded from JSON.
            request = decode_infer_request(msgspec.json.encode(event))
        except ContractError as error:
            raise InvalidInput(str(error)) from error
        return decode(msgspec.json.encode(engine.infer(request)), dict[str, Any])

    return handler
