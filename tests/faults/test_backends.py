"""A backend is silent, slow, broken or wrong; a model exits or kills its process."""

import statistics
from collections.abc import Iterator

import pytest

from tests.faults.harness import fake_server
from tests.faults.harness.fake_server import Behaviour, FakeServer
from tests.faults.harness.fault_case import FaultCase, Results
from tests.faults.harness.load import Mix
from tests.faults.harness.oracle import Allowance
from tests.faults.harness.proxy import LinkState, Proxy

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]

OTHER_BACKENDS = Mix(rate=20, pinned=0.3, backends=("serverless", "gpu-container"))
"""No request is pinned to the local backend, which is at fault."""
TRIED_TWICE = Allowance(surplus=200)
"""A backend that does not answer may have executed the request."""


@pytest.fixture
def fake() -> Iterator[FakeServer]:
    server = FakeServer(fake_server.healthy)
    yield server
    server.close()


def attempt_error_classes(case: FaultCase, results: Results, backend: str) -> set[str]:
    """Return the error classes of failed attempts on that backend."""
    found = case.stack.database.ask(
        "select distinct error_class from attempts where backend = %s and not succeeded "
        "and request_id = any(%s::uuid[])",
        backend,
        list(results.facts.outcomes),
    )
    return {str(word) for (word,) in found}


def test_06_backend_never_answers__its_attempts_time_out_and_are_placed_elsewhere(case: FaultCase) -> None:
    stack = case.stack
    line = Proxy(stack.plan.local_port)
    stack.supervisor.restart("pool-local", STRAIGHTLINE_LOCAL_URL=f"http://127.0.0.1:{line.port}")
    stack.wait_ready()
    with case.load(OTHER_BACKENDS) as load:
        load.wait_confirmed(40)
        line.set_state(LinkState.BLACKHOLE)
        load.run_for(8)
        line.set_state(LinkState.CLEAR)
        case.fault_over()
        load.run_for(1)
        results = case.check(allowed=TRIED_TWICE)
    line.close()
    assert results.states().keys() == {"succeeded"}
    assert "timed_out" in attempt_error_classes(case, results, "local")


@pytest.mark.parametrize(
    ("command", "word"),
    [
        pytest.param("exit", None, marks=pytest.mark.fast),
        pytest.param("memory", None),
        pytest.param("recursion", None),
        pytest.param("fail", "model_error"),
        pytest.param("die", "crashed"),
    ],
)
def test_07_model_exits_its_process__each_request_has_its_outcome_and_slots_are_freed(
    case: FaultCase, command: str, word: str | None
) -> None:
    # A killed server is down for 1 s, and there are three backends: they tolerate one kill a second.
    others = 9 if command == "die" else 3
    with case.load(Mix(rate=20, commands=("echo",) * others + (command,), large=0.0)) as load:
        load.wait_confirmed(80)
        case.fault_over()
    with case.load(Mix(rate=20), seed=2) as after:
        after.wait_confirmed(40)
        results = case.check(bound=15, allowed=TRIED_TWICE)
    commands = {one: load.record.commands[one] for one in load.record.confirmed}
    outcomes = results.facts.outcomes
    bad = [outcomes[one] for one, each in commands.items() if each == command]
    assert {end.state for end in bad} == {"failed"}
    assert word is None or word in {end.error_class for end in bad}
    assert case.stack.all_slots_free()


def breaker_was_open(case: FaultCase, backend: str) -> bool:
    """Whether a request of this case was refused by that backend's open breaker."""
    statement = (
        "select count(*) from attempts where finished_at > to_timestamp(%s) and reason->'refused'->>%s"
    )
    ((count,),) = case.stack.database.ask(f"{statement} like 'breaker%%'", case.began, backend)
    return bool(count)


BEHAVIOURS: dict[str, tuple[Behaviour, str | None]] = {
    "ten-times-slower": (fake_server.slow(1.0), None),
    "half-are-500": (fake_server.half_broken, "crashed"),
    "truncated": (fake_server.truncated, "bad_protocol"),
    "stalled": (fake_server.stalled, "timed_out"),
    "wrong-json": (fake_server.responding(b'{"outputs": 3}'), "bad_protocol"),
    "redirect-loop": (fake_server.redirecting, "bad_protocol"),
}


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[pytest.mark.fast] if name == "wrong-json" else []) for name in BEHAVIOURS],
)
def test_23_backend_slow_or_wrong__receives_only_probes_and_others_go_on(
    case: FaultCase, fake: FakeServer, name: str
) -> None:
    behaviour, word = BEHAVIOURS[name]
    case.stack.supervisor.restart("pool-local", STRAIGHTLINE_LOCAL_URL=fake.url)
    case.stack.wait_ready()
    with case.load(OTHER_BACKENDS) as load:
        load.wait_confirmed(40)
        fake.behaviour = behaviour
        # The breaker counts 10 s: half of the calls have failed once earlier successes have left that window.
        load.run_for(12 if behaviour is fake_server.half_broken else 8)
        calls = len(fake.calls)
        load.run_for(2)
        late = len(fake.calls) - calls
        fake.behaviour = fake_server.healthy
        case.fault_over()
        load.run_for(7)
        after = [at for at in fake.calls if case.over is not None and at > case.over]
        results = case.check(allowed=TRIED_TWICE, counted=False)
    assert results.states().keys() == {"succeeded"}
    if word is not None:
        assert word in attempt_error_classes(case, results, "local")
        assert breaker_was_open(case, "local")
        # If every other response is correct, a probe may succeed and close the breaker for a while.
        assert late <= 4 or behaviour is fake_server.half_broken, "it received more than probes"
    assert after, "it was not used again"
    others = [end for end in results.facts.outcomes.values() if end.backend != "local" and end.attempts == 1]
    assert statistics.median(end.finished_at - (end.submitted_at or 0) for end in others) < 1.0


POISON_VALUES = {
    "nul": b'"a\\u0000b"',
    "surrogate": b'"\\ud800"',
    "nan": b"NaN",
    "infinite": b"1e400",
    "long": b'"' + b"x" * 10_000_000 + b'"',
    "not-utf8": b'"\xff\xfe"',
}


@pytest.mark.parametrize("which", ["each-in-turn", "always-the-same"])
def test_20_poison_in_a_backends_response__one_outcome_and_no_endless_retry(
    case: FaultCase, fake: FakeServer, which: str
) -> None:
    answer = (
        b'{"model_name":"scripted","outputs":[{"name":"reply","datatype":"BYTES","shape":[1],"data":[%b]}]}'
    )
    kinds = POISON_VALUES.values() if which == "each-in-turn" else [POISON_VALUES["surrogate"]]
    fake.behaviour = fake_server.cycle([fake_server.responding(answer % poison) for poison in kinds])
    case.stack.supervisor.restart("pool-local", STRAIGHTLINE_LOCAL_URL=fake.url)
    case.stack.wait_ready()
    with case.load(Mix(rate=4, pinned=1.0, batch=0, large=0, backends=("local",), deadline=12)) as load:
        case.wait_for(lambda: len(fake.calls) >= len(kinds), "the backend received too few calls")
        load.wait_confirmed(8)
        case.fault_over()
        results = case.check(allowed=TRIED_TWICE, counted=False)
    assert results.states().keys() <= {"succeeded", "failed", "expired"}
    asked = case.stack.database.ask(
        "select request_id, count(*) from attempts where error_class is distinct from 'breaker_open' "
        "and request_id = any(%s::uuid[]) group by request_id",
        list(results.facts.outcomes),
    )
    assert max(count for _, count in asked) <= 3


@pytest.mark.parametrize(
    ("behaviour", "word"),
    [
        pytest.param(fake_server.throttled, "throttled", id="throttled", marks=pytest.mark.fast),
        pytest.param(fake_server.function_error, "crashed", id="function-error"),
    ],
)
def test_25_function_fails__each_failure_has_its_class(
    case: FaultCase, fake: FakeServer, behaviour: Behaviour, word: str
) -> None:
    case.stack.supervisor.restart("pool-serverless", AWS_ENDPOINT_URL_LAMBDA=fake.url)
    case.stack.wait_ready()
    fake.behaviour = behaviour
    mix = Mix(rate=10, pinned=0.5, backends=("local", "gpu-container"))
    small = Mix(rate=4, pinned=1.0, batch=0, large=0, backends=("serverless",), deadline=60)
    with case.load(mix), case.load(small, seed=2) as load:
        load.wait_confirmed(10)
        fake.behaviour = fake_server.healthy
        case.fault_over()
        load.wait_confirmed(10)
        results = case.check(allowed=TRIED_TWICE, counted=False)
    assert word in attempt_error_classes(case, results, "serverless")


def test_25_cold_start_beyond_the_deadline__expires(case: FaultCase, fake: FakeServer) -> None:
    case.stack.supervisor.restart("pool-serverless", AWS_ENDPOINT_URL_LAMBDA=fake.url)
    case.stack.wait_ready()
    fake.behaviour = fake_server.slow(4.0)
    with case.load(Mix(rate=4, pinned=1.0, batch=0, large=0, backends=("serverless",), deadline=2)) as load:
        load.wait_confirmed(10)
        case.fault_over()
        results = case.check(counted=False)
    assert results.states().keys() == {"expired"}
    assert results.error_classes().keys() <= {"deadline", "timed_out"}
