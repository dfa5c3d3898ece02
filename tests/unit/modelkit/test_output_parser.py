"""A job's output is parsed into lines, events and a status, for any chunks."""

import json
from typing import Any

import pytest

from modelkit.jobs.stream import OutputParser


class Heard:
    def __init__(self) -> None:
        self.lines: list[str] = []
        self.steps: list[tuple[float, float, str]] = []

    def line(self, text: str) -> None:
        self.lines.append(text)

    def progress(self, done: float, total: float, text: str) -> None:
        self.steps.append((done, total, text))


def event(**told: Any) -> bytes:
    return b"\x1e" + json.dumps(told).encode() + b"\n"


def ended(*, code: int = 0, **told: Any) -> bytes:
    return event(ended={"code": code, "signal": None, "timed_out": False, "out_of_memory": False, **told})


def test_chunks_may_cut_lines_events_and_characters_anywhere() -> None:
    output = "größer\rpart".encode() + event(progress=[1, 4, "ä"]) + b"a\r\n\nrest"
    for size in (1, 2, 3, 7, len(output)):
        heard = Heard()
        stream = OutputParser(heard)
        for start in range(0, len(output), size):
            stream.feed(output[start : start + size])
        stream.close()
        assert heard.lines in (["größer", "part", "a", "", "rest"], ["größer", "part", "a", "", "", "rest"])
        assert heard.steps == [(1, 4, "ä")]


def test_invalid_events_are_lines_and_long_lines_are_split() -> None:
    heard = Heard()
    stream = OutputParser(heard)
    stream.feed(b"\x1enot json\n" + b"x" * 70_000)
    assert heard.lines == ["not json", "x" * 70_000]


@pytest.mark.parametrize(
    ("output", "code", "how"),
    [
        (event(result={"a": 1}) + ended(), 0, "finished"),
        (event(failed="ValueError: x") + ended(code=1), 1, "failed"),
        (event(failed="it called sys.exit(3)") + ended(code=3), 3, "exited"),
        (ended(code=200), 200, "exited"),
        (ended(signal="SIGSEGV"), 139, "killed"),
        (ended(signal="SIGKILL", out_of_memory=True), 137, "out_of_memory"),
        (event(failed="MemoryError", out_of_memory=True) + ended(code=1), 1, "out_of_memory"),
        (b"terminate called ... std::bad_alloc\n" + ended(signal="SIGABRT"), 134, "out_of_memory"),
        (ended(signal="SIGKILL", timed_out=True), 137, "timed_out"),
        (b"", 137, "killed"),
        (b"", -9, "killed"),
        (b"", 0, "exited"),
    ],
)
def test_each_status_is_recognised(output: bytes, code: int, how: str) -> None:
    stream = OutputParser(Heard())
    stream.feed(output)
    stream.close()
    assert stream.result(code=code, out_of_memory=False, timed_out=False, seconds=1).status == how


def test_the_runtime_can_report_timeout_and_out_of_memory() -> None:
    stream = OutputParser(Heard())
    assert stream.result(code=137, out_of_memory=True, timed_out=False, seconds=1).status == "out_of_memory"
    assert stream.result(code=137, out_of_memory=False, timed_out=True, seconds=1).status == "timed_out"
