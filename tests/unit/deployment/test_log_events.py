"""Every event has one literal name, fields that carry no payload, and a row in docs/log-events.md."""

import re
from pathlib import Path

import pytest

from script.log_events import PAGE, Use, page_rows, table, updated, uses
from straightline.support.logs import PACKAGES

SNAKE_CASE = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
RESERVED = {"ts", "level", "component", "event", "logger", "message", "traceback", "raised"}
REVEALING = re.compile(
    r"(^|_)(body|payload|data|inputs?|outputs?|content|result|headers?|properties|environ|args|kwargs"
    r"|password|secret|token|key|api_key|credentials?|signature|authorization|url|uri|dsn)(_|$)"
)
"""Words of a field's name that say what a value must not be."""
PLAIN_LOGGERS = {
    "straightline/support/event_log.py": "what events go through",
    "straightline/support/logs.py": "sets up the root logger",
    "straightline/cli/__init__.py": "silences the library's log",
    "modelkit/cli/__init__.py": "silences the library's log",
    "modelkit/compression.py": "silences the quantiser's log",
    "workers/celery_ext/consumer.py": "kombu takes a logger",
}


EFFECT_RUNNER = "scheduler.broker.effect_runner"
"""It logs the events that the scheduler's core returns, whose calls are checked."""


@pytest.fixture(scope="module")
def found() -> list[Use]:
    return [use for use in uses() if (use.event, use.fields, use.module) != (None, (None,), EFFECT_RUNNER)]


def test_the_search_finds_events(found: list[Use]) -> None:
    assert {"batch_held", "webhook_not_delivered", "http_request_failed", "worker_left"} <= {
        use.event for use in found
    }


def test_every_event_has_a_literal_name_in_snake_case(found: list[Use]) -> None:
    assert [use for use in found if use.event is None or not SNAKE_CASE.fullmatch(use.event)] == []


def test_every_field_is_named_at_the_call(found: list[Use]) -> None:
    assert [use for use in found if not all(map(SNAKE_CASE.fullmatch, map(str, use.fields)))] == []
    assert [use for use in found if RESERVED & set(use.fields) or None in use.fields] == []


def test_no_field_is_named_after_a_payload_or_a_secret(found: list[Use]) -> None:
    assert [use for use in found if any(REVEALING.search(str(name)) for name in use.fields)] == []


@pytest.mark.parametrize("name", ["body", "api_key", "database_url", "result_json", "input"])
def test_such_a_name_is_recognised(name: str) -> None:
    assert REVEALING.search(name)


def test_an_event_has_the_same_fields_wherever_it_is_logged(found: list[Use]) -> None:
    fields: dict[str | None, set[frozenset[str | None]]] = {}
    for use in found:
        fields.setdefault(use.event, set()).add(frozenset(use.fields))
    assert {event: names for event, names in fields.items() if len(names) > 1} == {}


def test_no_module_logs_in_another_way(root: Path) -> None:
    plain = re.compile(r"\blogging\.(getLogger|debug|info|warning|error|exception|critical|log)\b")
    files = {
        file.relative_to(root).as_posix(): file for name in PACKAGES for file in (root / name).rglob("*.py")
    }
    those = [name for name, file in files.items() if plain.search(file.read_text(encoding="utf-8"))]
    assert sorted(set(those) - set(PLAIN_LOGGERS)) == []


def test_the_page_lists_every_event(found: list[Use]) -> None:
    text = PAGE.read_text(encoding="utf-8")
    rows = table(found)
    assert updated(text, rows) == text, "run python -m script.log_events"
    assert [event for event, row in page_rows(text).items() if not row.meaning.strip()] == []
