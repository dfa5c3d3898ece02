"""How a training or validation is shown while it runs, and how its failure is reported."""

import io
from pathlib import Path

import pytest

from modelkit.cli.console import Console
from modelkit.jobs.job import Job, JobFailed, JobResult, JobStatus, require_finished
from straightline.contracts.model import Step


def job(**step: object) -> Job:
    made = Step(entry="training:train", **step)  # type: ignore[arg-type]
    return Job(kind="train", title="the training of digits", step=made, project=Path(), output=Path())


@pytest.mark.parametrize(
    ("status", "facts", "words"),
    [
        ("failed", {"message": "ValueError: no data"}, "training:train raised ValueError: no data"),
        ("exited", {"code": 3, "message": "bye"}, "exit code 3 before it returned (bye)"),
        ("killed", {"signal": "SIGSEGV"}, "crashed (SIGSEGV)"),
        ("out_of_memory", {}, "ran out of memory (its limit is 512 MiB). Raise memory in [train]"),
        ("timed_out", {}, "exceeded 90 s. Raise timeout in [train]"),
    ],
)
def test_each_way_to_fail_is_reported_with_its_cause_and_remedy(
    status: JobStatus, facts: dict[str, object], words: str
) -> None:
    result = JobResult(status=status, **facts)  # type: ignore[arg-type]
    with pytest.raises(JobFailed) as caught:
        require_finished(job(memory=512, timeout=90), result)
    assert str(caught.value).startswith("the training of digits failed: ")
    assert words in str(caught.value)
    assert caught.value.result is result


def test_without_a_limit_of_its_own_a_job_ran_out_of_the_machines_memory() -> None:
    with pytest.raises(JobFailed, match="all of the machine's memory"):
        require_finished(job(), JobResult(status="out_of_memory"))
    require_finished(job(), JobResult(status="finished"))


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_without_a_terminal_each_tenth_of_the_progress_is_one_line(tmp_path: Path) -> None:
    stream = io.StringIO()
    with Console(tmp_path / "log", stream) as console:
        for done in range(101):
            console.progress(done, 100, "epoch")
    lines = stream.getvalue().splitlines()
    assert [line.split("%")[0].strip() for line in lines] == [str(tenth) for tenth in range(0, 101, 10)]
    assert len((tmp_path / "log").read_text().splitlines()) == 101


@pytest.mark.parametrize(
    ("done", "total", "shown"),
    [(5, 0, "0%"), (-1, 10, "0%"), (11, 10, "100%"), (1, 3, "33%"), (1, -1, "0%")],
)
def test_an_impossible_progress_is_shown_within_0_and_100_percent(
    tmp_path: Path, done: float, total: float, shown: str
) -> None:
    stream = io.StringIO()
    with Console(tmp_path / "log", stream) as console:
        console.progress(done, total, "")
    assert stream.getvalue().strip() == shown


def test_a_line_on_a_terminal_replaces_the_bar_and_the_log_has_no_control_characters(tmp_path: Path) -> None:
    stream = Terminal()
    with Console(tmp_path / "deep" / "log", stream) as console:
        console.progress(1, 2, "half")
        console.line("loss 0.5")
    bar, line = stream.getvalue().split("\r\033[K")[1:3]
    assert bar.count("█") == 12
    assert line == "loss 0.5\n"
    assert (tmp_path / "deep" / "log").read_text() == " 50% half\nloss 0.5\n"
