"""Text output of the commands that query the gateway."""

from straightline.cli.commands import backends, failures, models, status, why
from straightline.contracts import (
    BackendEntry,
    BackendList,
    FailureRate,
    FailureReport,
    ModelEntry,
    ModelList,
    PlacementHistory,
    PlacementStep,
    Reason,
    RequestStatus,
    TensorSpec,
    WorkerEntry,
)

REASON = Reason(
    policy="empirical",
    rule=3,
    f_t=2.04,
    F=50,
    r_d=1300,
    D=262_144,
    s_f=True,
    s_d=False,
    refused={"gpu-container": "no slot is free"},
)


def test_a_status_shows_the_known_fields() -> None:
    assert status.text(RequestStatus(id="i", state="accepted")) == "i  accepted"
    text = status.text(
        RequestStatus(
            id="i",
            state="failed",
            model="digits",
            version="2",
            backend="local",
            attempts=2,
            error_class="model_error",
            error="it stumbled",
            submitted_at=0.0,
            finished_at=0.25,
            r_d=1300,
        )
    )
    assert text.splitlines() == [
        "i  failed",
        "  model       digits 2",
        "  backend     local",
        "  placements  2",
        "  submitted   1970-01-01 00:00:00.000 UTC",
        "  finished    1970-01-01 00:00:00.250 UTC",
        "  took        250.0 ms",
        "  data        1,300 bytes",
        "  error       model_error: it stumbled",
    ]


def test_a_held_request_shows_the_reason() -> None:
    text = status.text(RequestStatus(id="i", state="held", held_reason="no backend is up", cancelling=True))
    assert text.splitlines() == ["i  held, being cancelled", "  held  no backend is up"]


def test_a_running_request_shows_worker_and_start() -> None:
    running = RequestStatus(id="i", state="running", backend="local", worker="local@a", started_at=1.0)
    assert status.text(running).splitlines() == [
        "i  running",
        "  backend        local",
        "  worker         local@a",
        "  running since  1970-01-01 00:00:01.000 UTC",
    ]


def test_a_placement_history_shows_every_placement_with_its_reason() -> None:
    steps = [
        PlacementStep(
            number=1, backend="serverless", succeeded=False, error_class="throttled", error="too many"
        ),
        PlacementStep(
            number=2, backend="local", succeeded=True, reason=REASON, wait=0.002, service=1.5, cold_start=1.2
        ),
    ]
    text = why.text(PlacementHistory(id="i", state="succeeded", model="digits", steps=steps))
    assert text.splitlines() == [
        "i  succeeded, model digits",
        "1. serverless: throttled: too many",
        "2. local: answered",
        "  rule               3 of empirical: a local server is available: local",
        "  f_t                2.0 requests/s of this model (F 50)",
        "  r_d                1,300 bytes (D 262,144)",
        "  S_F                yes, a local server was available",
        "  S_D                no GPU container was available",
        "  not gpu-container  no slot is free",
        "  waited             2.0 ms",
        "  took               1.50 s, including 1.20 s cold start",
    ]


def test_a_request_that_was_never_placed_says_so() -> None:
    rejected = PlacementHistory(id="i", state="rejected", error_class="unknown_model", error="there is no x")
    assert why.text(rejected).splitlines() == [
        "i  rejected",
        "never placed",
        "unknown_model: there is no x",
    ]
    held = PlacementHistory(id="i", state="held", held_reason="no slot is free")
    assert why.text(held).splitlines() == ["i  held", "held: no slot is free"]
    running = PlacementHistory(id="i", state="running", steps=[PlacementStep(number=1, backend="local")])
    assert "1. local: in progress" in why.text(running)
    step = PlacementStep(number=1, backend="local", reason=REASON, started_at=1.8e9)
    placed = why.text(PlacementHistory(id="i", state="running", class_="batch", deadline=1.8e9, steps=[step]))
    assert "  class     batch\n  deadline  2" in placed
    assert "3 of empirical" in placed
    assert "  running since      2" in placed


def test_a_placement_without_a_result_before_the_end_is_not_in_progress() -> None:
    ended = PlacementHistory(id="i", state="cancelled", steps=[PlacementStep(number=1, backend="local")])
    assert "1. local: no result arrived" in why.text(ended)
    without_placements = PlacementHistory(id="i", state="expired")
    assert "no placement is known" in why.text(without_placements)


def test_a_rule_of_another_policy_is_not_shown_as_the_papers() -> None:
    reason = Reason(policy="predictive", rule=3, f_t=1, F=1, r_d=1, D=1, s_f=False, s_d=False)
    step = PlacementStep(number=1, backend="local", reason=reason)
    assert "3 of predictive\n" in why.text(PlacementHistory(id="i", state="placed", steps=[step]))


def test_models_are_shown_as_a_table() -> None:
    images = TensorSpec(name="images", datatype="FP32", shape=(-1, 64))
    found = ModelList(
        models=[
            ModelEntry(name="digits", version="1", default=True, inputs=(images,), backends=("local",)),
            ModelEntry(name="digits", version="2", share=5, inputs=(images,)),
        ]
    )
    assert models.text(found).splitlines() == [
        "model   version              runs on  inputs               outputs",
        "digits  1        default     local    images FP32[-1, 64]",
        "digits  2        canary 5 %           images FP32[-1, 64]",
    ]
    assert models.text(ModelList(models=[])) == "No model is deployed."


def test_backends_are_shown_host_by_host() -> None:
    here = WorkerEntry(worker="local@a", slots=8, active=3, healthy=True)
    gone = WorkerEntry(worker="local@b", slots=8, active=0, healthy=False, reason="no heartbeat for 12 s")
    found = BackendList(
        backends=[
            BackendEntry(backend="serverless", healthy=False, slots=0, active=0, workers=[]),
            BackendEntry(backend="local", healthy=True, slots=8, active=3, workers=[here, gone]),
        ]
    )
    assert backends.text(found).splitlines() == [
        "backend     worker   slots  active  state",
        "serverless               0       0  no pool reports",
        "local                    8       3  up",
        "            local@a      8       3  up",
        "            local@b      8       0  down: no heartbeat for 12 s",
    ]


def test_failures_are_shown_as_two_tables() -> None:
    rate = FailureRate(
        name="local",
        attempts=4,
        attempts_failed=1,
        attempt_failure_rate=0.25,
        outcomes=3,
        failure_rate=0.0,
        cold_starts=2,
        errors={"throttled": 1},
    )
    report = FailureReport(since=0.0, until=60.0, by_backend=[rate], by_model=[FailureRate(name=None)])
    assert failures.text(report).splitlines() == [
        "Failures from 1970-01-01 00:00:00.000 UTC to 1970-01-01 00:01:00.000 UTC",
        "",
        "backend  attempts  failed    rate  outcomes  failed   rate  rejected  cold  errors",
        "local           4       1  25.00%         3       0  0.00%         0     2  throttled 1",
        "",
        "model            attempts  failed  rate  outcomes  failed  rate  rejected  cold  errors",
        "(none readable)         0       0     -         0       0     -         0     0",
    ]
    empty = FailureReport(since=0.0, until=60.0, by_backend=[], by_model=[])
    assert failures.text(empty).endswith("nothing was attempted.")


def test_control_characters_in_answers_do_not_reach_the_terminal() -> None:
    evil = "\x1b[2J\r"
    texts = [
        status.text(RequestStatus(id=evil, state="failed", error=evil)),
        why.text(PlacementHistory(id="i", state="failed", error=evil)),
        models.text(ModelList(models=[ModelEntry(name=evil, version=evil)])),
        failures.text(
            FailureReport(since=0, until=1, by_backend=[], by_model=[FailureRate(name="m", errors={evil: 1})])
        ),
    ]
    assert all("\x1b" not in text and "\r" not in text for text in texts)
