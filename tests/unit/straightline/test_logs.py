"""Events become lines of JSON or text, and so do records of libraries."""

import io
import json
import logging
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from straightline.errors import ConfigurationError
from straightline.support import logs
from straightline.support.event_log import MAX_VALUE_CHARS, Event, EventLogger
from straightline.support.log_format import MAX_TEXT_CHARS

log = EventLogger("straightline.test_logs")
SetUp = Callable[..., logs.LogOutput]
library = logging.getLogger("library.part")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def set_up(monkeypatch: pytest.MonkeyPatch, stderr: io.StringIO) -> Iterator[SetUp]:
    """Set up the log as an entry point does, whose root logger has no handler yet."""
    root = logging.getLogger()
    loggers = [root, *map(logging.getLogger, (*logs.PACKAGES, "pika"))]
    levels = [logger.level for logger in loggers]

    def run(component: str, *own: logging.Handler, stream: io.StringIO = stderr) -> logs.LogOutput:
        monkeypatch.setattr(sys, "stderr", stream)
        monkeypatch.setattr(root, "handlers", list(own))
        return logs.set_up(component)

    yield run
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)


@pytest.fixture
def stderr() -> io.StringIO:
    return io.StringIO()


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_an_event_is_one_json_object_a_line_with_its_fields_last(set_up: SetUp, stderr: io.StringIO) -> None:
    set_up("recorder")
    log.warning("batch_held", messages=3, error=ValueError("no database"), wait_s=0.5, queue=None)
    (line,) = lines(stderr)
    assert list(line) == ["ts", "level", "component", "event", "messages", "error", "wait_s", "queue"]
    assert line["ts"].endswith("Z")
    assert abs(datetime.now(UTC) - datetime.fromisoformat(line.pop("ts"))).total_seconds() < 60
    assert line == {
        "level": "WARNING",
        "component": "recorder",
        "event": "batch_held",
        "messages": 3,
        "error": "no database",
        "wait_s": 0.5,
        "queue": None,
    }


def test_on_a_terminal_it_is_a_line_for_people(set_up: SetUp) -> None:
    set_up("recorder", stream=(terminal := Terminal()))
    log.info("batch_held", messages=3, error='no "database"', queue="", model="digits")
    time, rest = terminal.getvalue().split(" ", 1)
    assert datetime.fromisoformat(time).tzinfo is UTC
    assert rest == 'INFO recorder batch_held messages=3 error="no \\"database\\"" queue="" model=digits\n'


@pytest.mark.parametrize(("form", "is_json"), [("json", True), ("text", False)])
def test_the_form_can_be_set(
    form: str, is_json: bool, set_up: SetUp, stderr: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STRAIGHTLINE_LOG_FORMAT", form)
    assert set_up("recorder").json is is_json
    log.info("started")
    assert stderr.getvalue().startswith("{") is is_json


def test_the_level_can_be_set_and_libraries_stay_at_info_or_above(
    set_up: SetUp, stderr: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STRAIGHTLINE_LOG_LEVEL", "DEBUG")
    set_up("recorder")
    log.debug("ours")
    library.debug("a payload")
    library.info("theirs")
    assert [(line["event"], line.get("message")) for line in lines(stderr)] == [
        ("ours", None),
        ("log", "theirs"),
    ]


def test_below_the_level_nothing_is_written(
    set_up: SetUp, stderr: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STRAIGHTLINE_LOG_LEVEL", "ERROR")
    set_up("recorder")
    log.warning("ours")
    library.warning("theirs")
    log.error("failed")
    assert [line["event"] for line in lines(stderr)] == ["failed"]


@pytest.mark.parametrize("name", ["STRAIGHTLINE_LOG_LEVEL", "STRAIGHTLINE_LOG_FORMAT"])
def test_a_wrong_setting_is_reported(name: str, set_up: SetUp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "loud")
    with pytest.raises(ConfigurationError, match=name):
        set_up("recorder")


def test_an_application_s_own_handlers_stay(set_up: SetUp, stderr: io.StringIO) -> None:
    set_up("recorder", own := logging.NullHandler())
    assert logging.getLogger().handlers == [own]


def test_a_record_of_a_library_has_the_same_form(set_up: SetUp, stderr: io.StringIO) -> None:
    set_up("worker")
    library.warning("lost %s\nagain", "it")
    (line,) = lines(stderr)
    assert {name: line[name] for name in ("component", "event", "logger", "message")} == {
        "component": "worker",
        "event": "log",
        "logger": "library.part",
        "message": "lost it\nagain",
    }


def test_pika_s_lines_are_left_out(set_up: SetUp, stderr: io.StringIO) -> None:
    set_up("worker")
    logging.getLogger("pika.connection").error("ten of these for a lost connection")
    assert stderr.getvalue() == ""


def test_a_library_s_own_handlers_can_be_replaced(set_up: SetUp, stderr: io.StringIO) -> None:
    logger = logging.getLogger("library")
    logger.propagate = False
    logger.addHandler(logging.StreamHandler(stderr))
    set_up("gateway")
    logs.take_over("library")
    library.error("once")
    assert [line["message"] for line in lines(stderr)] == ["once"]


@pytest.mark.parametrize("form", ["json", "text"])
def test_an_exception_has_its_error_and_its_traceback(
    form: str, set_up: SetUp, stderr: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STRAIGHTLINE_LOG_FORMAT", form)
    set_up("worker")
    try:
        raise KeyError("x")
    except KeyError:
        log.exception("unexpected_error", request_id="r-1")
    written = stderr.getvalue()
    if form == "json":
        (line,) = lines(stderr)
        assert (line["event"], line["request_id"], line["error"]) == (
            "unexpected_error",
            "r-1",
            "KeyError: 'x'",
        )
        assert line["traceback"].startswith("Traceback (most recent call last):\n")
        assert line["traceback"].endswith("KeyError: 'x'\n")
    else:
        head, *rest = written.splitlines()
        assert head.endswith("ERROR worker unexpected_error request_id=r-1")
        assert rest[0] == "  Traceback (most recent call last):"
        assert all(line.startswith("  ") for line in rest), "nothing after the first line looks like an event"


def test_an_exception_can_be_given(set_up: SetUp, stderr: io.StringIO) -> None:
    set_up("worker")
    log.error("unexpected_error", raised=ZeroDivisionError())
    assert lines(stderr)[0]["error"] == "ZeroDivisionError"


HARMFUL = "a\nb\r\x1b[31m\x9b\u2028\u202e\x00\ud800é \U0001f600"


@pytest.mark.parametrize("form", ["json", "text"])
def test_a_value_cannot_end_the_line_or_steer_a_terminal(
    form: str, set_up: SetUp, stderr: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STRAIGHTLINE_LOG_FORMAT", form)
    set_up("worker")
    log.warning("refused", model=HARMFUL, error=ValueError(HARMFUL))
    library.warning("%s", HARMFUL.replace("\n", ""))
    written = stderr.getvalue()
    assert written.count("\n") == len(written.splitlines()) == 2
    assert all(char.isprintable() for char in written.replace("\n", ""))
    assert written.count("é \U0001f600") == 3


def test_long_values_are_cut(set_up: SetUp, stderr: io.StringIO) -> None:
    set_up("worker")
    log.warning("refused", error=ValueError("x" * 10_000))
    library.warning("y" * 100_000)
    ours, theirs = lines(stderr)
    assert ours["error"] == "x" * (MAX_VALUE_CHARS - 1) + "…"
    assert theirs["message"] == "y" * (MAX_TEXT_CHARS - 1) + "…"


def test_a_traceback_is_cut_before_its_end(set_up: SetUp, stderr: io.StringIO) -> None:
    set_up("worker")
    log.error("unexpected_error", raised=ValueError("x" * 100_000 + "the end"))
    (line,) = lines(stderr)
    assert len(line["error"]) == MAX_VALUE_CHARS
    assert len(line["traceback"]) == MAX_TEXT_CHARS
    assert line["traceback"].endswith("the end\n")


def test_bound_fields_come_first(set_up: SetUp, stderr: io.StringIO) -> None:
    set_up("batches")
    log.bind(job_id="j-1").bind(line=7).info("job_started", model="digits")
    (line,) = lines(stderr)
    assert list(line)[4:] == ["job_id", "line", "model"]


def test_without_our_set_up_a_message_holds_the_fields(caplog: pytest.LogCaptureFixture) -> None:
    log.warning("amqp_disconnected", error="refused by peer", retry_in_s=1.5)
    (record,) = caplog.records
    assert record.getMessage() == 'amqp_disconnected error="refused by peer" retry_in_s=1.5'
    assert isinstance(record.msg, Event)
    assert record.funcName == "test_without_our_set_up_a_message_holds_the_fields"


def test_an_event_that_is_off_is_not_built(monkeypatch: pytest.MonkeyPatch) -> None:
    class UnprintableError(ValueError):
        def __str__(self) -> str:
            raise AssertionError

    monkeypatch.setattr(logging.getLogger("straightline.test_logs"), "level", logging.ERROR)
    logging.getLogger("straightline.test_logs").manager._clear_cache()  # type: ignore[attr-defined]
    log.warning("refused", error=UnprintableError())
