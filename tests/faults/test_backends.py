"""A backend is silent, slow, broken or wrong; a model ends or kills what runs it."""

import statistics
from collections.abc import Iterator

import pytest

from tests.faults.harness import fake_server
from tests.faults.harness.fake_server import Answer, FakeServer
from tests.faults.harness.load import Mix
from tests.faults.harness.oracle import Allowance
from tests.faults.harness.proxy import Proxy, Weather
from tests.faults.harness.row import Judged, Row

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]

ELSEWHERE = Mix(rate=20, pinned=0.3, backends=("serverless", "gpu-container"))
"""No request insists on the local backend, which is at fault here."""
TRIED_TWICE = Allowance(surplus=200)
"""A silent backend may have done what it did not answer."""


@pytest.fixture
def fake() -> Iterator[FakeServer]:
    server = FakeServer(fake_server.well)
    yield server
    server.close()


def reasons_of_attempts(row: Row, judged: Judged, backend: str) -> set[str]:
    """Words for why attempts on that backend failed."""
    found = row.scene.records.ask(
        "select distinct error_class from attempts where backend = %s and not succeeded "
        "and request_id = any(%s::uuid[])",
        backend,
        list(judged.facts.endings),
    )
    return {str(word) for (word,) in found}


def test_06_backend_never_answers__its_attempts_time_out_and_are_placed_elsewhere(row: Row) -> None:
    scene = row.scene
    line = Proxy(scene.plan.local_port)
    scene.crew.restart("pool-local", STRAIGHTLINE_LOCAL_URL=f"http://127.0.0.1:{line.port}")
    scene.wait_ready()
    with row.load(ELSEWHERE) as load:
        load.wait_confirmed(40)
        line.turn(Weather.BLACKHOLE)
        load.run_for(8)
        line.turn(Weather.CLEAR)
        row.fault_over()
        load.run_for(1)
        judged = row.judge(allowed=TRIED_TWICE)
    line.close()
    assert judged.states().keys() == {"succeeded"}
    assert "timed_out" in reasons_of_attempts(row, judged, "local")


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
    row: Row, command: str, word: str | None
) -> None:
    # A server that is killed is away for a second, and there are three: they bear one death a second.
    others = 9 if command == "die" else 3
    with row.load(Mix(rate=20, commands=("echo",) * others + (command,), large=0.0)) as load:
        load.wait_confirmed(80)
        row.fault_over()
    with row.load(Mix(rate=20), seed=2) as after:
        after.wait_confirmed(40)
        judged = row.judge(bound=15, allowed=TRIED_TWICE)
    told = {one: load.account.commands[one] for one in load.account.confirmed}
    ends = judged.facts.endings
    bad = [ends[one] for one, what in told.items() if what == command]
    assert {end.state for end in bad} == {"failed"}
    assert word is None or word in {end.error_class for end in bad}
    assert row.scene.all_slots_free()


def breaker_was_open(row: Row, backend: str) -> bool:
    """Whether a request of this row was placed elsewhere since that backend's breaker was open."""
    statement = (
        "select count(*) from attempts where finished_at > to_timestamp(%s) and reason->'refused'->>%s"
    )
    ((count,),) = row.scene.records.ask(f"{statement} like 'breaker%%'", row.began, backend)
    return bool(count)


MANNERS: dict[str, tuple[Answer, str | None]] = {
    "ten-times-slower": (fake_server.slow(1.0), None),
    "half-are-500": (fake_server.half_broken, "crashed"),
    "truncated": (fake_server.truncated, "bad_protocol"),
    "stalled": (fake_server.stalled, "timed_out"),
    "wrong-json": (fake_server.saying(b'{"outputs": 3}'), "bad_protocol"),
    "redirect-loop": (fake_server.redirecting, "bad_protocol"),
}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.fast] if name == "wrong-json" else []) for name in MANNERS]
)
def test_23_backend_slow_or_wrong__receives_only_probes_and_others_go_on(
    row: Row, fake: FakeServer, name: str
) -> None:
    manner, word = MANNERS[name]
    row.scene.crew.restart("pool-local", STRAIGHTLINE_LOCAL_URL=fake.url)
    row.scene.wait_ready()
    with row.load(ELSEWHERE) as load:
        load.wait_confirmed(40)
        fake.manner = manner
        # What went well in the ten seconds before counts, too: half is not crossed before these are over.
        load.run_for(12 if manner is fake_server.half_broken else 8)
        calls = len(fake.calls)
        load.run_for(2)
        late = len(fake.calls) - calls
        fake.manner = fake_server.well
        row.fault_over()
        load.run_for(7)
        after = [at for at in fake.calls if row.over is not None and at > row.over]
        judged = row.judge(allowed=TRIED_TWICE, counted=False)
    assert judged.states().keys() == {"succeeded"}
    if word is not None:
        assert word in reasons_of_attempts(row, judged, "local")
        assert breaker_was_open(row, "local")
        # Where every other answer is right a probe may find it well: it is used again, and given up again.
        assert late <= 4 or manner is fake_server.half_broken, "it was sent more than probes"
    assert after, "it was not used again"
    others = [end for end in judged.facts.endings.values() if end.backend != "local" and end.attempts == 1]
    assert statistics.median(end.finished_at - (end.submitted_at or 0) for end in others) < 1.0


POISON = {
    "nul": b'"a\\u0000b"',
    "surrogate": b'"\\ud800"',
    "nan": b"NaN",
    "infinite": b"1e400",
    "long": b'"' + b"x" * 10_000_000 + b'"',
    "not-utf8": b'"\xff\xfe"',
}


@pytest.mark.parametrize("which", ["each-in-turn", "always-the-same"])
def test_20_poison_in_a_backends_response__one_outcome_and_no_endless_retry(
    row: Row, fake: FakeServer, which: str
) -> None:
    answer = b'{"model_name":"mind","outputs":[{"name":"said","datatype":"BYTES","shape":[1],"data":[%b]}]}'
    kinds = POISON.values() if which == "each-in-turn" else [POISON["surrogate"]]
    fake.manner = fake_server.in_turn([fake_server.saying(answer % poison) for poison in kinds])
    row.scene.crew.restart("pool-local", STRAIGHTLINE_LOCAL_URL=fake.url)
    row.scene.wait_ready()
    with row.load(Mix(rate=4, pinned=1.0, batch=0, large=0, backends=("local",), deadline=12)) as load:
        row.wait_for(lambda: len(fake.calls) >= len(kinds), "the backend was not asked often enough")
        load.wait_confirmed(8)
        row.fault_over()
        judged = row.judge(allowed=TRIED_TWICE, counted=False)
    assert judged.states().keys() <= {"succeeded", "failed", "expired"}
    asked = row.scene.records.ask(
        "select request_id, count(*) from attempts where error_class is distinct from 'breaker_open' "
        "and request_id = any(%s::uuid[]) group by request_id",
        list(judged.facts.endings),
    )
    assert max(count for _, count in asked) <= 3


@pytest.mark.parametrize(
    ("manner", "word"),
    [
        pytest.param(fake_server.throttled, "throttled", id="throttled", marks=pytest.mark.fast),
        pytest.param(fake_server.function_error, "crashed", id="function-error"),
    ],
)
def test_25_function_fails__each_failure_has_its_class(
    row: Row, fake: FakeServer, manner: Answer, word: str
) -> None:
    row.scene.crew.restart("pool-serverless", AWS_ENDPOINT_URL_LAMBDA=fake.url)
    row.scene.wait_ready()
    fake.manner = manner
    mix = Mix(rate=10, pinned=0.5, backends=("local", "gpu-container"))
    small = Mix(rate=4, pinned=1.0, batch=0, large=0, backends=("serverless",), deadline=60)
    with row.load(mix), row.load(small, seed=2) as load:
        load.wait_confirmed(10)
        fake.manner = fake_server.well
        row.fault_over()
        load.wait_confirmed(10)
        judged = row.judge(allowed=TRIED_TWICE, counted=False)
    assert word in reasons_of_attempts(row, judged, "serverless")


def test_25_cold_start_beyond_the_deadline__expires(row: Row, fake: FakeServer) -> None:
    row.scene.crew.restart("pool-serverless", AWS_ENDPOINT_URL_LAMBDA=fake.url)
    row.scene.wait_ready()
    fake.manner = fake_server.slow(4.0)
    with row.load(Mix(rate=4, pinned=1.0, batch=0, large=0, backends=("serverless",), deadline=2)) as load:
        load.wait_confirmed(10)
        row.fault_over()
        judged = row.judge(counted=False)
    assert judged.states().keys() == {"expired"}
    assert judged.reasons().keys() <= {"deadline", "timed_out"}
