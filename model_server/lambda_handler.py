"""A model as an AWS Lambda function: the event is a V2 infer request, the answer a V2 infer response."""

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
    """Load the bundle and return the function's handler.

    Call it while the function is initialised, so that the cold start bears the loading and no call does.

    The handler raises `InvalidInput`, `ModelError` or `OutOfMemory` (`model_server.errors`): the
    invoker sees the class's name as `errorType`.

    Raises:
        ConfigurationError: the bundle cannot be loaded; an invoker sees it as a failed initialisation.
    """
    engine = load_engine(read_bundle(bundle), threads=threads)

    def handler(event: Any, context: Any) -> dict[str, Any]:  # noqa: ARG001 - Lambda gives both
        try:
            # The runtime has parsed the event already; tensors are read from JSON, as everywhere.
            request = decode_infer_request(msgspec.json.encode(event))
        except ContractError as error:
            raise InvalidInput(str(error)) from error
        return decode(msgspec.json.encode(engine.infer(request)), dict[str, Any])

    return handler
