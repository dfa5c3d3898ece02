"""Each request's end is one line, without its payload."""

import io
import json
import sys
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from outcomes.recording.request_log import RequestLog
from outcomes.rows.row_mapping import Entry, entry_of
from straightline.contracts import Attempt, Outcome
from straightline.support.logs import LogOutput

ID = "0195e3a0-5c1e-7000-8000-00000000abcd"
CANARY = "canary"


def entry(**changes: Any) -> Entry:
    attempts = [
        Attempt(
            number=number,
            backend="local",
            succeeded=number == 2,
            placed_at=1.0,
            started_at=2.0,
            finished_at=3.0,
            wait=0.25 * number,
            service=0.5 * number,
            error=CANARY,
        )
        for number in (1, 2)
    ]
    facts: dict[str, Any] = {
        "request_id": ID,
        "state": "succeeded",
        "finished_at": 103.5,
        "model": "digits",
        "version": "1",
        "class_": "interactive",
        "batch_id": CANARY,
        "backend": "local",
        "attempts": attempts,
        "error": CANARY,
        "result": msgspec.Raw(b'"canary"'),
        "received_at": 100.0,
        "digest": CANARY,
    }
    return entry_of(Outcome(**facts | changes), 0.0)


def written(monkeypatch: pytest.MonkeyPatch, *entries: Entry, json: bool = True) -> str:
    monkeypatch.setattr(sys, "stderr", stream := io.StringIO())
    RequestLog(LogOutput("recorder", json=json)).write(entries)
    return stream.getvalue()


def test_a_line_says_how_the_request_ended_and_nothing_of_its_content(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    text = written(monkeypatch, entry())
    assert CANARY not in text
    assert text.count("\n") == 1
    line = json.loads(text)
    moment = datetime.fromisoformat(line.pop("ts"))
    assert abs(datetime.now(UTC) - moment).total_seconds() < 60
    assert line == {
        "level": "INFO",
        "component": "recorder",
        "event": "request_ended",
        "request_id": ID,
        "state": "succeeded",
        "model": "digits",
        "version": "1",
        "class": "interactive",
        "backend": "local",
        "attempts": 2,
        "queued_s": 0.5,
        "service_s": 1.0,
        "total_s": 3.5,
    }


def test_what_is_unknown_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    bare = Outcome(request_id=ID, state="rejected", finished_at=1.0, error_class="invalid_request")
    line = json.loads(written(monkeypatch, entry_of(bare, 0.0)))
    assert list(line) == ["ts", "level", "component", "event", "request_id", "state", "error_class"]


def test_on_a_terminal_it_is_a_line_for_people(monkeypatch: pytest.MonkeyPatch) -> None:
    text = written(monkeypatch, entry(error_class="timed_out", state="failed"), json=False)
    assert CANARY not in text
    assert text.partition(" ")[2] == (
        f"INFO recorder request_ended request_id={ID} state=failed model=digits version=1 class=interactive "
        "backend=local attempts=2 queued_s=0.5 service_s=1.0 total_s=3.5 error_class=timed_out\n"
    )


@pytest.mark.parametrize("json", [True, False])
def test_no_value_can_make_a_second_line(monkeypatch: pytest.MonkeyPatch, json: bool) -> None:
    harmful = entry(model="a\n\u2028\x9b" + "x" * 1000, version='"}\n{"', error_class="\r\x00")
    text = written(monkeypatch, harmful, harmful, json=json)
    assert len(text.splitlines()) == text.count("\n") == 2
    assert text.replace("\n", "").isprintable()
    assert len(text) < 2 * 1200


def test_numbers_that_json_lacks_become_null(monkeypatch: pytest.MonkeyPatch) -> None:
    assert json.loads(written(monkeypatch, entry(received_at=float("nan"))))["total_s"] is None


def test_a_batch_is_one_write(monkeypatch: pytest.MonkeyPatch) -> None:
    writes: list[str] = []
    output = LogOutput("recorder", json=True)
    monkeypatch.setattr(output, "write", writes.append)
    log = RequestLog(output)
    log.write([entry() for _ in range(500)])
    assert [text.count("\n") for text in writes] == [500]
    log.write([])
    assert len(writes) == 1


@pytest.mark.parametrize("error", [BrokenPipeError, ValueError])
def test_a_log_that_cannot_be_written_to_stops_nothing(
    monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    class Closed(io.StringIO):
        def write(self, _text: str) -> int:
            raise error

    monkeypatch.setattr(sys, "stderr", Closed())
    RequestLog(LogOutput("recorder", json=True)).write([entry()])
