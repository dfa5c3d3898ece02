"""A job whose broker cannot be reached: its lines are sent again and again, and asked for once."""

import io
import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from straightline.amqp.publishing.outgoing import Outgoing
from straightline.batch import runner
from straightline.batch.files import FileJobStore
from straightline.batch.items import Defaults
from straightline.batch.journal import JobDescription, Journal, journal_path
from straightline.batch.line_state import RunCounts
from straightline.batch.runner import Runner
from straightline.contracts import Request
from straightline.ids import new_id
from straightline.producer.producer import Producer
from straightline.producer.submission import Submission

LINES = 3


@pytest.fixture
def producer() -> Iterator[Producer]:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        nobody = taken.getsockname()[1]  # listens there once this block is left
    with Producer(
        f"amqp://127.0.0.1:{nobody}/",
        store=None,
        confirm_timeout=0.5,
        window=10,
        replies=True,
        kept_results=1,
        keep_inputs=False,
    ) as made:
        yield made


def test_a_resent_line_expects_one_outcome_and_none_after_the_job(
    producer: Producer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "RETRY_INTERVAL_S", 0.01)
    composed: list[str | None] = []
    calls: list[int] = []
    compose = producer.compose

    def noted(submission: Submission) -> tuple[Request, Outgoing]:
        composed.append(submission.id)
        return compose(submission)

    def look(_: RunCounts) -> None:
        calls.extend(len(each) for each in producer.results._waiting.values())

    monkeypatch.setattr(producer, "compose", noted)
    text = "".join(json.dumps({"data": {"inputs": []}}) + "\n" for _ in range(LINES)).encode()
    out = tmp_path / "out.jsonl"
    defaults = Defaults(model="digits")
    about = JobDescription(
        id=new_id(),
        source="in.jsonl",
        size=len(text),
        digest="",
        failed=str(tmp_path / "failed.jsonl"),
        ordered=False,
        defaults=defaults,
    )
    with Journal(journal_path(out), about) as journal, FileJobStore(journal, out) as files:
        job = Runner(
            about.id,
            io.BytesIO(text),
            producer,
            files,
            defaults,
            stop=lambda: len(composed) >= 4 * LINES,
            progress=look,
        )
        assert not job.run()
    assert len(set(composed)) < len(composed)
    assert set(calls) == {1}
    assert producer.results._waiting == {}
