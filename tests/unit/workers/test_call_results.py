"""What becomes of a request after its call: kind, error, timing, and whether it may be tried elsewhere."""

import pytest

from straightline.errors import ContractError
from workers.containers.pool.diagnosis import MAX_LOG_CHARS, MAX_LOG_LINES, excerpt, exit_fault
from workers.containers.pool.driver import Exit
from workers.domain.result import (
    CallTiming,
    as_cancelled,
    backend_fault,
    cancelled,
    expired,
    failed,
)
from workers.protocol.base import BackendResponse
from workers.protocol.errors import BackendFault, ModelError, WrongInput

CALL = CallTiming(started=10.0, finished=12.5, share=3)
NO_CALL = CallTiming(started=10.0, finished=10.0, asked=False)


@pytest.mark.parametrize(("deadline", "kind"), [(12.6, "fault"), (12.5, "expired"), (1.0, "expired")])
def test_a_fault_goes_back_for_placement_only_if_time_is_left(deadline: float, kind: str) -> None:
    result = backend_fault(CALL, BackendFault("it is gone", error_class="unreachable"), deadline)
    assert (result.kind, result.error_class, result.error) == (kind, "unreachable", "it is gone")
    assert (result.service, result.share) == (2.5, 3)


def test_wrong_inputs_are_rejected_and_an_error_of_the_model_fails() -> None:
    kinds = [
        failed(CALL, error).kind
        for error in (WrongInput("x is missing"), ModelError("it raised"), ContractError("no such file"))
    ]
    assert kinds == ["rejected", "failed", "failed"]


def test_a_request_that_was_not_called_has_no_service_time() -> None:
    for result in (expired(NO_CALL), cancelled(NO_CALL)):
        assert (result.asked, result.service) == (False, 0.0)


def test_a_late_response_keeps_the_time_that_it_cost() -> None:
    late = expired(CALL, BackendResponse(body=b"{}", service=2.0, cold_start=1.5))
    assert (late.kind, late.service, late.cold_start) == ("expired", 2.0, 1.5)
    assert late.error == "the deadline passed before the response came"
    assert expired(NO_CALL).error == "the deadline passed before the request was executed"


def test_a_cancellation_replaces_a_result_and_keeps_whether_the_backend_was_called() -> None:
    fault = backend_fault(CALL, BackendFault("gone", error_class="crashed"), 99.0)
    replaced = as_cancelled(fault)
    assert (replaced.kind, replaced.error_class, replaced.asked) == ("cancelled", "cancelled", True)
    assert (replaced.started_at, replaced.finished_at, replaced.result_ref) == (10.0, 12.5, None)
    assert as_cancelled(expired(NO_CALL)).error == "cancelled before it was answered"


@pytest.mark.parametrize(
    ("ended", "error_class", "words"),
    [
        (
            Exit(code=137, out_of_memory=True, last_lines="a\nb"),
            "out_of_memory",
            "STRAIGHTLINE_CONTAINER_MEMORY",
        ),
        (Exit(code=137, out_of_memory=False, last_lines="a\nb"), "crashed", "exit code 137"),
        (Exit(code=0, out_of_memory=False, last_lines="a\nb"), "crashed", "exit code 0"),
    ],
)
def test_an_exit_is_a_fault_with_its_cause_and_the_end_of_the_log(
    ended: Exit, error_class: str, words: str
) -> None:
    fault = exit_fault("server 1", ended)
    assert fault.error_class == error_class
    assert words in str(fault)
    assert str(fault).endswith("its log ends:\na\nb")


def test_an_empty_log_is_reported_as_such() -> None:
    assert "its log is empty" in str(exit_fault("s", Exit(code=1, out_of_memory=False, last_lines=" \n")))


def test_the_end_of_a_log_is_kept_within_lines_and_characters() -> None:
    many = "\n".join(str(number) for number in range(1_000))
    assert excerpt(many).splitlines() == [str(number) for number in range(1_000 - MAX_LOG_LINES, 1_000)]
    assert excerpt("x" * 9_999 + "end") == "x" * (MAX_LOG_CHARS - 3) + "end"
