"""Which files a batch job takes: said before there is a broker, and nothing of them is touched."""

from collections.abc import Callable
from pathlib import Path

import pytest

from straightline.batch.items import Defaults
from straightline.batch.jobs import Connections, run
from straightline.errors import ConfigurationError

NOWHERE = Connections(broker_url="amqp://nobody:none@127.0.0.1:1/none", confirm_timeout=0.1)
LINES = '{"inputs": []}\n'

Options = dict[str, Path]


def same(folder: Path) -> Options:
    return {"out": folder / "in.jsonl"}


def linked(folder: Path) -> Options:
    (folder / "link").symlink_to(folder / "in.jsonl")
    return {"out": folder / "link"}


def second_name(folder: Path) -> Options:
    (folder / "name").hardlink_to(folder / "in.jsonl")
    return {"out": folder / "out", "failed": folder / "name"}


def own_report(folder: Path) -> Options:
    """The report of `out` is handed in again, to the same `out`."""
    (folder / "in.jsonl").rename(folder / "out.failed")
    return {"source": folder / "out.failed", "out": folder / "out"}


def report_over_answers(folder: Path) -> Options:
    return {"out": folder / "out", "failed": folder / "x" / ".." / "out"}


@pytest.mark.parametrize("files", [same, linked, second_name, own_report, report_over_answers])
def test_one_file_for_two_is_refused_and_the_input_stays(
    tmp_path: Path, files: Callable[[Path], Options]
) -> None:
    (tmp_path / "x").mkdir()
    (tmp_path / "in.jsonl").write_text(LINES)
    options = {"source": tmp_path / "in.jsonl"} | files(tmp_path)
    with pytest.raises(ConfigurationError, match="are the same file"):
        run(
            options["source"],
            options["out"],
            NOWHERE,
            defaults=Defaults(model="m"),
            failed=options.get("failed"),
            overwrite=True,
        )
    assert options["source"].read_text() == LINES


@pytest.mark.parametrize(
    ("source", "out", "words"),
    [
        ("none.jsonl", "out", "the input .*none.jsonl does not exist"),
        (".", "out", "is not a regular file, which a job reads more than once"),
        ("in.jsonl", "none/out", "the directory .*none of out does not exist: create it first"),
    ],
)
def test_files_that_are_not_there_are_named(tmp_path: Path, source: str, out: str, words: str) -> None:
    (tmp_path / "in.jsonl").write_text(LINES)
    with pytest.raises(ConfigurationError, match=words):
        run(tmp_path / source, tmp_path / out, NOWHERE, defaults=Defaults(model="m"))
