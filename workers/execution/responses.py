"""Checks of a backend's response before it is used as a result."""

from straightline.contracts import InferResponse, ModelSpec
from straightline.contracts.parsing.decoding import decode
from straightline.errors import ContractError
from workers.protocol.base import BackendResponse
from workers.protocol.errors import BackendFault


def decode_response(response: BackendResponse, model: ModelSpec) -> InferResponse:
    """Decode a response, and check that the requested version of the model sent it.

    Raises:
        BackendFault: bad_protocol if it is not a V2 infer response; not_deployed if another version answered,
            as a deployed function does that lags behind the registry.
    """
    try:
        decoded = decode(response.body, InferResponse)
        if not response.body.isascii():
            response.body.decode()  # msgspec does not check the UTF-8 of raw tensors, and nothing later does
    except (ContractError, UnicodeDecodeError) as error:
        raise BackendFault(
            f"the response is not a V2 infer response: {error}",
            error_class="bad_protocol",
            cold_start=response.cold_start,
        ) from error
    if decoded.model_version not in (None, model.version):
        raise BackendFault(
            f"version {decoded.model_version} of {model.name} answered instead of {model.version}: deploy "
            f"{model.version} there again",
            error_class="not_deployed",
            cold_start=response.cold_start,
        )
    return decoded
