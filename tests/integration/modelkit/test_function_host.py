"""The function host behaves as Lambda for boto3, with real instances of AWS's runtime client."""

import base64
import json
import os
import select
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from function_host.settings import Settings
from tests.integration.modelkit.processes import (
    FunctionHost,
    HostMaker,
    descendants,
    lives,
    unread_bytes,
    until,
)

pytestmark = pytest.mark.integration

PID = "import os\ndef handler(event, context):\n    return {'pid': os.getpid(), 'event': event}\n"
HANG = "import time\ndef handler(event, context):\n    time.sleep(3600)\n"
BLOCK = """
import os, pathlib, time
def handler(event, context):
    pathlib.Path(event["mark"] + ".started").touch()
    while not pathlib.Path(event["mark"]).exists():
        time.sleep(0.01)
    return os.getpid()
"""


class Answered:
    """A decoded response of boto3."""

    def __init__(self, answer: dict[str, Any]) -> None:
        self.error = answer.get("FunctionError")
        self.status = answer["StatusCode"]
        self.version = answer.get("ExecutedVersion")
        body = answer["Payload"].read()
        self.payload: Any = json.loads(body) if body else None
        self.log = base64.b64decode(answer.get("LogResult", "")).decode()


def invoke(host: FunctionHost, name: str, event: Any = None, **more: Any) -> Answered:
    payload = json.dumps({} if event is None else event).encode()
    return Answered(host.client.invoke(FunctionName=name, Payload=payload, LogType="Tail", **more))


def test_the_first_invocation_is_a_cold_start_and_the_next_is_warm(host: FunctionHost) -> None:
    host.deploy("pid", PID)
    cold, warm = (invoke(host, "pid", {"n": 1}) for _ in range(2))
    assert cold.payload == warm.payload
    assert cold.payload["event"] == {"n": 1}
    assert (cold.status, cold.error, cold.version) == (200, None, "$LATEST")
    for answer in (cold, warm):
        for line in ("START RequestId: ", "END RequestId: ", "\tMax Memory Used: ", "Duration: "):
            assert line in answer.log
    assert "Init Duration: " in cold.log
    assert "Init Duration: " not in warm.log


def test_the_log_tail_has_only_the_end_of_the_output(
    host: FunctionHost,
) -> None:
    host.deploy("talks", "def handler(event, context):\n    print('x' * 10_000 + 'the end')\n")
    answer = invoke(host, "talks")
    assert "xthe end\nEND RequestId" in answer.log
    assert len(answer.log) <= 4096


def test_an_instance_does_not_inherit_the_hosts_environment(host: FunctionHost) -> None:
    host.deploy(
        "looks",
        "import os\ndef handler(event, context):\n"
        "    left = context.get_remaining_time_in_millis()\n"
        "    return [dict(os.environ), left, context.invoked_function_arn]\n",
        timeout=7,
        memory=512,
    )
    environment, remaining, arn = invoke(host, "looks").payload
    assert "A_SECRET" not in environment
    assert not [name for name in environment if name.startswith("STRAIGHTLINE_")]
    assert environment["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"] == "512"
    assert 0 < remaining <= 7000
    assert arn.endswith(":function:looks")


def test_a_function_above_its_timeout_is_ended_and_reported(host: FunctionHost) -> None:
    host.deploy("hangs", HANG, timeout=0.5)
    before = set(host.instances())
    answer = invoke(host, "hangs")
    assert answer.error == "Unhandled"
    assert answer.payload["errorType"] == "Sandbox.Timedout"
    assert "Task timed out after 0.50 seconds" in answer.payload["errorMessage"]
    assert "Status: timeout" in answer.log
    assert "INIT_REPORT" not in answer.log
    until(lambda: set(host.instances()) <= before, "the hung instance is gone")


@pytest.mark.parametrize(
    ("statement", "status"),
    [
        ("os._exit(3)", "exit status 3"),
        ("os.kill(os.getpid(), 9)", "signal: killed"),
        ("os.abort()", "signal: aborted"),
        ("raise SystemExit(1)", "exit status 1"),
    ],
)
def test_a_crash_is_reported_and_the_instance_replaced(
    host: FunctionHost, statement: str, status: str
) -> None:
    host.deploy(
        "crashes",
        f"import os\ndef handler(event, context):\n    if event['crash']: {statement}\n    return 1\n",
    )
    answer = invoke(host, "crashes", {"crash": True})
    assert answer.error == "Unhandled"
    assert answer.payload["errorType"] == "Runtime.ExitError"
    assert status in answer.payload["errorMessage"]
    assert invoke(host, "crashes", {"crash": False}).payload == 1


def test_an_exception_of_the_handler_leaves_its_instance_warm(host: FunctionHost) -> None:
    host.deploy("raises", "def handler(event, context):\n    raise KeyError('no such digit')\n")
    first, second = (invoke(host, "raises") for _ in range(2))
    assert first.error == second.error == "Unhandled"
    assert first.payload["errorType"] == "KeyError"
    assert "no such digit" in first.payload["errorMessage"]
    assert "Init Duration" in first.log
    assert "Init Duration" not in second.log


def test_the_memory_limit_is_enforced(host: FunctionHost) -> None:
    host.deploy("grows", "def handler(event, context):\n    return len(bytearray(300 << 20))\n", memory=256)
    assert invoke(host, "grows").payload["errorType"] == "MemoryError"


def test_a_crash_at_the_memory_limit_is_out_of_memory(host: FunctionHost) -> None:
    host.deploy(
        "full",
        "import os\nkept = []\ndef handler(event, context):\n    try:\n"
        "        while True: kept.append(bytearray(b'x') * (1 << 20))\n"
        "    except MemoryError:\n        os.abort()\n",
        memory=128,
    )
    assert invoke(host, "full").payload["errorType"] == "Runtime.OutOfMemory"


@pytest.mark.parametrize(
    ("code", "error_type"),
    [
        ("raise LookupError('no model')", "LookupError"),
        ("import nothing_of_this_name", "Runtime.ImportModuleError"),
        ("handle = None", "Runtime.HandlerNotFound"),
        ("import os\nos._exit(5)", "Runtime.ExitError"),
    ],
)
def test_a_failed_initialisation_reports_the_reason(host: FunctionHost, code: str, error_type: str) -> None:
    host.deploy("unfit", code)
    answer = invoke(host, "unfit")
    assert answer.error == "Unhandled"
    assert answer.payload["errorType"] == error_type
    assert "INIT_REPORT" in answer.log
    assert f"Status: error\tError Type: {error_type}" in answer.log


def test_concurrency_beyond_the_limit_is_throttled(host: FunctionHost, tmp_path: Path) -> None:
    host.deploy("blocks", BLOCK)
    mark = str(tmp_path / "go")
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(invoke, host, "blocks", {"mark": mark})
        until(lambda: Path(f"{mark}.started").exists(), "the first invocation runs")
        Path(f"{mark}.started").unlink()
        second = threads.submit(invoke, host, "blocks", {"mark": mark})
        until(lambda: Path(f"{mark}.started").exists(), "the second invocation runs")
        try:
            with pytest.raises(host.client.exceptions.TooManyRequestsException) as caught:
                invoke(host, "blocks", {"mark": mark})
        finally:
            Path(mark).touch()
        assert first.result().payload != second.result().payload
    response = caught.value.response
    assert response["Reason"] == "ReservedFunctionConcurrentInvocationLimitExceeded"
    assert response["ResponseMetadata"]["HTTPStatusCode"] == 429
    assert isinstance(invoke(host, "blocks", {"mark": mark}).payload, int)


def test_invalid_requests_get_lambdas_errors(host: FunctionHost) -> None:
    host.deploy("pid", PID)
    wanted = {
        "ResourceNotFoundException": {"FunctionName": "nobody", "Payload": b"{}"},
        "InvalidRequestContentException": {"FunctionName": "pid", "Payload": b"{"},
        "RequestTooLargeException": {"FunctionName": "pid", "Payload": b"1" * (6 * 1024 * 1024 + 1)},
    }
    for kind, request in wanted.items():
        with pytest.raises(ClientError) as caught:
            host.client.invoke(**request)
        assert caught.value.response["Error"]["Code"] == kind
    with pytest.raises(host.client.exceptions.ResourceNotFoundException):
        host.client.invoke(FunctionName="pid", Qualifier="7", Payload=b"{}")
    assert invoke(host, "arn:aws:lambda:us-east-1:123456789012:function:pid").status == 200
    assert Answered(host.client.invoke(FunctionName="pid")).payload["event"] == {}


def test_a_response_above_six_megabytes_is_a_function_error(host: FunctionHost) -> None:
    host.deploy("verbose", "def handler(event, context):\n    return 'x' * event\n")
    assert len(invoke(host, "verbose", 6_000_000).payload) == 6_000_000
    assert invoke(host, "verbose", 7_000_000).payload["errorType"] == "Function.ResponseSizeTooLarge"


def test_an_event_of_the_maximum_size_arrives(host: FunctionHost) -> None:
    host.deploy("counts", "def handler(event, context):\n    return len(event)\n")
    size = 6 * 1024 * 1024 - 2
    assert invoke(host, "counts", "x" * size).payload == size


def test_an_asynchronous_invocation_is_accepted_at_once_and_run(host: FunctionHost, tmp_path: Path) -> None:
    host.deploy("notes", "def handler(event, context):\n    open(event, 'w').close()\n")
    note = tmp_path / "note"
    assert invoke(host, "notes", str(note), InvocationType="Event").status == 202
    until(note.exists, "the event was run")
    assert invoke(host, "notes", InvocationType="DryRun").status == 204


def test_deployed_functions_are_listed(host: FunctionHost) -> None:
    host.deploy("pid", PID, timeout=9, memory=300)
    listed = {each["FunctionName"]: each for each in host.client.list_functions()["Functions"]}
    assert (listed["pid"]["Timeout"], listed["pid"]["MemorySize"]) == (9, 300)
    assert host.client.get_function(FunctionName="pid")["Configuration"]["Handler"] == "function.handler"
    assert host.client.get_function_configuration(FunctionName="pid")["State"] == "Active"


def test_an_instance_killed_while_idle_fails_no_invocation(host: FunctionHost) -> None:
    host.deploy("pid", PID)
    pid = invoke(host, "pid").payload["pid"]
    end = os.pidfd_open(pid)
    os.kill(pid, signal.SIGKILL)
    assert select.select([end], [], [], 10)[0], "it must have ended, else it is still dying and not idle"
    os.close(end)
    answer = invoke(host, "pid")
    assert answer.error is None
    assert answer.payload["pid"] != pid


def test_an_instance_that_ends_before_reading_its_event_fails_no_invocation(host: FunctionHost) -> None:
    host.deploy("pid", PID)
    pid = invoke(host, "pid").payload["pid"]
    os.kill(pid, signal.SIGSTOP)
    with ThreadPoolExecutor(1) as thread:
        answer = thread.submit(invoke, host, "pid", "x" * 5000)
        # If it was stopped before it asked for the next event, it gets none, and no invocation may fail
        # either.
        end = time.monotonic() + 2
        while unread_bytes(pid) < 5000 and time.monotonic() < end:
            time.sleep(0.01)
        os.kill(pid, signal.SIGKILL)
    assert answer.result().error is None
    assert answer.result().payload["pid"] != pid


def test_a_new_deployment_answers_at_once(host: FunctionHost) -> None:
    host.deploy("changes", "def handler(event, context):\n    return 'old'\n")
    assert invoke(host, "changes").payload == "old"
    host.deploy("changes", "def handler(event, context):\n    return 'new'\n", timeout=5)
    assert invoke(host, "changes").payload == "new"


def test_a_cold_start_timeout_has_its_own_report(make_host: HostMaker) -> None:
    host = make_host(init_limit="0.5")
    host.deploy("slow", "import time\ntime.sleep(3600)\ndef handler(event, context): pass\n")
    answer = invoke(host, "slow")
    assert answer.payload["errorType"] == "Sandbox.Timedout"
    assert "INIT_REPORT" in answer.log
    assert "Status: timeout" in answer.log
    until(lambda: not host.instances(), "the instance is gone")


def test_unused_instances_are_reaped(make_host: HostMaker) -> None:
    host = make_host(idle="0.3")
    host.deploy("pid", PID)
    assert "Init Duration" in invoke(host, "pid").log
    until(lambda: not host.instances(), "the host has scaled to zero")
    assert "Init Duration" in invoke(host, "pid").log


def test_many_invocations_at_once_are_all_answered_or_throttled(make_host: HostMaker) -> None:
    host = make_host(concurrency="2", function_concurrency="2")
    for name in ("one", "two", "three"):
        host.deploy(name, PID)

    def ask(number: int) -> str:
        try:
            answer = invoke(host, ("one", "two", "three")[number % 3], {"n": number})
        except host.client.exceptions.TooManyRequestsException:
            return "throttled"
        assert answer.error is None
        assert answer.payload["event"] == {"n": number}
        return "answered"

    with ThreadPoolExecutor(6) as threads:
        results = list(threads.map(ask, range(60)))
    assert results.count("answered") + results.count("throttled") == 60
    assert "answered" in results
    assert len(host.instances()) <= 3  # two, and one that may be ending


PARENT = """
import os, subprocess
def handler(event, context):
    return [os.getpid(), subprocess.Popen(["sleep", "3600"]).pid]
"""


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_no_process_is_left_when_the_host_ends(make_host: HostMaker, how: signal.Signals) -> None:
    host = make_host()
    host.deploy("parent", PARENT)
    pids = [*invoke(host, "parent").payload, *descendants(host.process.pid)]
    assert len(pids) >= 4
    host.process.send_signal(how)
    host.process.wait(30)
    until(lambda: not any(map(lives, pids)), "all of its processes are gone")


def test_a_running_invocation_does_not_block_the_shutdown(make_host: HostMaker, tmp_path: Path) -> None:
    host = make_host(grace="1")
    mark = tmp_path / "mark"
    child = "import subprocess\nsubprocess.Popen(['sleep', '3600'])\n"
    host.deploy("waits", child + BLOCK)
    with ThreadPoolExecutor(1) as thread:
        answer = thread.submit(invoke, host, "waits", {"mark": str(mark)})
        until(Path(f"{mark}.started").exists, "the invocation runs")
        pids = descendants(host.process.pid)
        host.process.send_signal(signal.SIGTERM)
        assert host.process.wait(30) == 0
        until(lambda: not any(map(lives, pids)), "all of its processes are gone")
        assert answer.exception() is not None or answer.result().error == "Unhandled"


def test_a_killed_serving_process_leaves_no_process_and_is_restarted(
    make_host: HostMaker,
) -> None:
    host = make_host()
    host.deploy("pid", PID)
    pid = invoke(host, "pid").payload["pid"]
    os.kill(host.workers()[0], signal.SIGKILL)
    until(lambda: not lives(pid), "the instance is gone")
    host.wait_until_ready()
    assert invoke(host, "pid").payload["pid"] != pid


def test_all_threads_are_started_in_advance(host: FunctionHost) -> None:
    """Threads that start on demand would make the memory of the host grow over time."""
    all_of_them = Settings(packages="").concurrency + 24

    def complete() -> bool:
        return any(
            len([*Path(f"/proc/{pid}/task").iterdir()]) > all_of_them for pid in descendants(host.process.pid)
        )

    until(complete, "a process with all its threads")
