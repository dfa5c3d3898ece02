"""Errors of the AWS Lambda Invoke API, classified.

Sources: the API reference of Invoke (errors, `FunctionError`), and "Understanding the Lambda execution
environment lifecycle" and "Working with logs" in AWS's developer guide (the REPORT and INIT_REPORT lines).
"""

import re
from typing import Final

import msgspec

from straightline.contracts.faults import FaultClass
from straightline.contracts.parsing.decoding import decode
from straightline.errors import ContractError
from workers.protocol.errors import BackendFault, ModelError, WrongInput

_INIT: Final = re.compile(r"Init Duration: ([0-9.]+) ms")
_INIT_REPORT: Final = re.compile(r"INIT_REPORT .*Status: (timeout|error)")
_MEMORY: Final = re.compile(r"Memory Size: ([0-9]+) MB\s+Max Memory Used: ([0-9]+) MB")

_BY_TYPE: Final[dict[str, FaultClass]] = {
    "Sandbox.Timedout": "timed_out",
    "Runtime.OutOfMemory": "out_of_memory",
    "OutOfMemory": "out_of_memory",
    "MemoryError": "out_of_memory",
    "Function.ResponseSizeTooLarge": "too_large",
}
_BY_CODE: Final[dict[str, FaultClass]] = {
    "TooManyRequestsException": "throttled",
    "ThrottlingException": "throttled",
    "EC2ThrottledException": "throttled",
    "ENILimitReachedException": "no_capacity",
    "SubnetIPAddressLimitReachedException": "no_capacity",
    "RequestTooLargeException": "too_large",
    "ResourceNotFoundException": "not_deployed",
    "ResourceNotReadyException": "cold_start_failed",
    "AccessDeniedException": "unreachable",
    "UnrecognizedClientException": "unreachable",
    "InvalidSignatureException": "unreachable",
    "ExpiredTokenException": "unreachable",
}
_WRONG_INPUT: Final = "InvalidInput"
"""The error type of the system's functions for a request that does not fit the model."""
_DEPLOY: Final = "deploy the model there: `python -m modelkit deploy PROJECT --on serverless`"


class _Failure(msgspec.Struct):
    errorType: str = ""  # noqa: N815 - Lambda's spelling
    errorMessage: str = ""  # noqa: N815


def cold_start_seconds(log: str) -> float | None:
    """Return the seconds that an instance took to start, from the log's tail; None if it was warm."""
    found = _INIT.search(log)
    return float(found[1]) / 1000 if found else None


def function_error(payload: bytes, log: str) -> BackendFault | ModelError:
    """Return the error that a response with `FunctionError` stands for.

    Args:
        payload: `{"errorType", "errorMessage", ...}`.
        log: the log's tail.
    """
    started = cold_start_seconds(log)
    try:
        failure = decode(payload, _Failure)
    except ContractError:
        failure = _Failure(errorMessage="the function failed without an error message")
    sentence = failure.errorMessage or failure.errorType or "the function failed"
    init = _INIT_REPORT.search(log)
    word = _fault_class(failure, init[1] if init else None, log)
    if word is None and failure.errorType == _WRONG_INPUT:
        return WrongInput(sentence, cold_start=started)
    if word is None:
        return ModelError(sentence, cold_start=started)
    return BackendFault(sentence, error_class=word, cold_start=started)


def api_error(code: str, status: int, message: str) -> BackendFault | ModelError:
    """Return the error that an exception of the API stands for.

    Args:
        code: the exception's name in the API.
        status: HTTP status.
        message: of the exception.
    """
    if code == "InvalidRequestContentException":
        return WrongInput(message)
    word: FaultClass = _BY_CODE.get(code, "crashed" if status >= 500 else "bad_protocol")
    remedy = f"; {_DEPLOY}" if word == "not_deployed" else ""
    return BackendFault(f"cannot invoke the function: {code}: {message}{remedy}", error_class=word)


def _fault_class(failure: _Failure, init: str | None, log: str) -> FaultClass | None:
    """Return the fault's class; None if the model's code raised the error."""
    kind, message = failure.errorType, failure.errorMessage
    if init is not None:
        return "cold_start_timed_out" if init == "timeout" else "cold_start_failed"
    if kind in _BY_TYPE:
        return _BY_TYPE[kind]
    if "Task timed out after" in message:
        return "timed_out"
    if "." in kind or not kind:  # Runtime.*, Sandbox.*, Extension.*: errors of the platform
        return "out_of_memory" if "signal: killed" in message and _at_limit(log) else "crashed"
    return None


def _at_limit(log: str) -> bool:
    found = _MEMORY.search(log)
    return found is not None and int(found[2]) >= int(found[1])
