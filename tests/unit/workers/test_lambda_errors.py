"""Lambda's errors are classified."""

import json

import pytest

from workers.backends.lambda_errors import api_error, cold_start_seconds, function_error
from workers.protocol.errors import BackendFault, ModelError, WrongInput

REPORT = "REPORT RequestId: 1\tDuration: 3.00 ms\tBilled Duration: 3 ms\tMemory Size: 128 MB\t"
WARM = REPORT + "Max Memory Used: 90 MB\t\n"
COLD = REPORT + "Max Memory Used: 90 MB\tInit Duration: 1234.50 ms\t\n"
FULL = REPORT + "Max Memory Used: 128 MB\t\n"


def test_a_cold_start_is_read_from_the_log() -> None:
    assert cold_start_seconds(COLD) == 1.2345
    assert cold_start_seconds(WARM) is None


@pytest.mark.parametrize(
    ("kind", "message", "log", "error_class"),
    [
        ("Sandbox.Timedout", "RequestId: 1 Error: Task timed out after 3.00 seconds", WARM, "timed_out"),
        ("", "2026-01-01T00:00:00Z 1 Task timed out after 3.00 seconds", WARM, "timed_out"),
        (
            "Sandbox.Timedout",
            "Task timed out",
            "INIT_REPORT Init Duration: 10000.00 ms\tPhase: init\tStatus: timeout\n",
            "cold_start_timed_out",
        ),
        (
            "Runtime.ImportModuleError",
            "No module named 'x'",
            "INIT_REPORT Init Duration: 90.00 ms\tPhase: init\tStatus: error\n",
            "cold_start_failed",
        ),
        ("Runtime.ExitError", "Runtime exited with error: exit status 1", WARM, "crashed"),
        ("Runtime.ExitError", "Runtime exited with error: signal: killed", WARM, "crashed"),
        ("Runtime.ExitError", "Runtime exited with error: signal: killed", FULL, "out_of_memory"),
        ("Runtime.OutOfMemory", "Runtime exited with error: signal: killed", WARM, "out_of_memory"),
        ("MemoryError", "", WARM, "out_of_memory"),
        ("Function.ResponseSizeTooLarge", "Response payload size exceeded", WARM, "too_large"),
    ],
)
def test_a_failed_function_is_a_fault(kind: str, message: str, log: str, error_class: str) -> None:
    error = function_error(json.dumps({"errorType": kind, "errorMessage": message}).encode(), log)
    assert isinstance(error, BackendFault)
    assert error.error_class == error_class


@pytest.mark.parametrize("kind", ["InvalidInput", "ModelError", "ValueError"])
def test_what_the_model_raised_is_final(kind: str) -> None:
    error = function_error(json.dumps({"errorType": kind, "errorMessage": "no"}).encode(), COLD)
    assert isinstance(error, ModelError)
    assert isinstance(error, WrongInput) == (kind == "InvalidInput")
    assert (str(error), error.cold_start) == ("no", 1.2345)


@pytest.mark.parametrize("payload", [b"", b"null", b"[" * 200_000, b"\xff", b'{"errorType": 5}'])
def test_an_undecodable_failure_is_a_crash(payload: bytes) -> None:
    error = function_error(payload, "")
    assert isinstance(error, BackendFault)
    assert error.error_class == "crashed"


@pytest.mark.parametrize(
    ("code", "status", "error_class"),
    [
        ("TooManyRequestsException", 429, "throttled"),
        ("RequestTooLargeException", 413, "too_large"),
        ("ResourceNotFoundException", 404, "not_deployed"),
        ("AccessDeniedException", 403, "unreachable"),
        ("ServiceException", 500, "crashed"),
        ("SomethingNew", 400, "bad_protocol"),
    ],
)
def test_an_api_error_is_a_fault(code: str, status: int, error_class: str) -> None:
    error = api_error(code, status, "no")
    assert isinstance(error, BackendFault)
    assert error.error_class == error_class


def test_a_missing_function_is_reported_with_the_deploy_command() -> None:
    there = api_error("ResourceNotFoundException", 404, "Function not found: arn:digits")
    assert "Function not found: arn:digits; deploy the model there: `python -m modelkit deploy" in str(there)
    assert "`python -m modelkit deploy PROJECT --on serverless`" in str(there)
    assert "deploy" not in str(api_error("ServiceException", 500, "no"))


def test_an_event_that_is_not_json_is_a_wrong_input() -> None:
    assert isinstance(api_error("InvalidRequestContentException", 400, "no"), WrongInput)
