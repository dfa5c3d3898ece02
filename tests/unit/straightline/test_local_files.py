"""Files below one folder: links out of it are refused; directories are replaced as a whole."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from straightline.errors import ConfigurationError
from straightline.storage.local_files import PathEscape, check_below, open_below, read_below
from straightline.support.atomic_directory import replace_directory
from straightline.support.passwords import MIN_PASSWORD_CHARS, read_passwords, variable


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "store" / "aa").mkdir(parents=True)
    (tmp_path / "store" / "aa" / "file").write_bytes(b"inside")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "file").write_bytes(b"secret")
    return tmp_path / "store"


def read(folder: Path, *parts: str) -> bytes:
    return read_below(str(folder), parts, 100)


def opened(folder: Path, *parts: str) -> bytes:
    with open_below(str(folder), parts) as file:
        return file.read()


READERS: list[Callable[..., bytes]] = [read, opened]


@pytest.mark.parametrize("reader", READERS)
def test_a_file_in_the_folder_is_read(reader: Callable[..., bytes], folder: Path) -> None:
    assert reader(folder, "aa", "file") == b"inside"


def test_no_more_than_the_limit_is_read(folder: Path) -> None:
    assert read_below(str(folder), ("aa", "file"), 2) == b"in"


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("target", ["../outside", "../store/aa"])
def test_a_folder_that_is_a_link_is_refused_wherever_it_leads(
    reader: Callable[..., bytes], folder: Path, target: str
) -> None:
    (folder / "link").symlink_to(target)
    with pytest.raises(PathEscape):
        reader(folder, "link", "file")
    with pytest.raises(PathEscape):
        check_below(str(folder), ("link",))


@pytest.mark.parametrize("reader", READERS)
def test_a_file_that_is_a_link_is_refused(reader: Callable[..., bytes], folder: Path) -> None:
    (folder / "aa" / "link").symlink_to("file")
    with pytest.raises(PathEscape):
        reader(folder, "aa", "link")


@pytest.mark.parametrize("reader", READERS)
def test_a_pipe_or_a_folder_is_refused_at_once(reader: Callable[..., bytes], folder: Path) -> None:
    os.mkfifo(folder / "aa" / "pipe")
    (folder / "aa" / "folder").mkdir()
    for name in ("pipe", "folder"):
        with pytest.raises(PathEscape, match="not a regular file"):
            reader(folder, "aa", name)


@pytest.mark.parametrize("reader", READERS)
def test_a_missing_file_is_told_apart_from_one_outside(reader: Callable[..., bytes], folder: Path) -> None:
    with pytest.raises(FileNotFoundError):
        reader(folder, "aa", "other")
    with pytest.raises(FileNotFoundError):
        reader(folder, "bb", "file")
    check_below(str(folder), ("bb", "cc"))


def test_the_folder_itself_may_be_a_link(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "alias").symlink_to(folder)
    assert read(tmp_path / "alias", "aa", "file") == b"inside"


def test_refusals_leave_no_descriptor_open(folder: Path) -> None:
    (folder / "link").symlink_to("../outside")
    before = len(list(Path("/proc/self/fd").iterdir()))
    for parts in (("link", "file"), ("aa", "none"), ("aa",)):
        for reader in READERS:
            with pytest.raises(OSError):  # noqa: PT011 - of any kind
                reader(folder, *parts)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_replaced_directory_has_the_new_files_only(tmp_path: Path) -> None:
    target = tmp_path / "models" / "digits"
    for name in ("first", "second"):
        with replace_directory(target) as fresh:
            (fresh / name).write_text(name)
    assert [file.name for file in target.iterdir()] == ["second"]
    assert [file.name for file in target.parent.iterdir()] == ["digits"]


def test_a_failure_before_the_end_leaves_the_old_directory_and_no_rest(tmp_path: Path) -> None:
    target = tmp_path / "digits"
    with replace_directory(target) as fresh:
        (fresh / "model").write_text("old")

    def fail() -> None:
        with replace_directory(target) as fresh:
            (fresh / "model").write_text("half")
            raise ValueError("disk full")

    with pytest.raises(ValueError, match="disk full"):
        fail()
    assert (target / "model").read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["digits"]


def test_an_unfinished_directory_is_not_found_by_readers_of_its_name(tmp_path: Path) -> None:
    scratch = tmp_path / "packages"
    with replace_directory(scratch / "digits", scratch=scratch) as fresh:
        (fresh / "function.toml").write_text("")
        assert list(scratch.glob("*/function.toml")) == []
        assert list(scratch.glob("*/*/model.toml")) == []
    assert [file.parent.name for file in scratch.glob("*/function.toml")] == ["digits"]


GOOD = "x" * MIN_PASSWORD_CHARS


def passwords(**environ: str) -> dict[str, str]:
    return read_passwords(environ, "P_", ["gpu-worker", "scheduler"])


def test_passwords_are_found_by_the_variable_of_their_user() -> None:
    assert variable("P_", "gpu-worker") == "P_GPU_WORKER"
    assert passwords(P_GPU_WORKER=GOOD, P_OTHER=GOOD) == {"gpu-worker": GOOD}
    assert passwords(P_GPU_WORKER="", P_SCHEDULER=GOOD) == {"scheduler": GOOD}


@pytest.mark.parametrize(
    ("environ", "named"),
    [
        ({"P_SCHEDULER": GOOD[1:]}, ["P_SCHEDULER", "at least 16"]),
        ({"P_SCHEDULER": GOOD, "P_GPU_WORKER": GOOD}, ["P_SCHEDULER", "P_GPU_WORKER"]),
    ],
)
def test_a_weak_password_is_refused_by_the_name_of_its_variable_and_not_shown(
    environ: dict[str, Any], named: list[str]
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        passwords(**environ)
    assert all(each in str(caught.value) for each in named)
    assert GOOD[1:] not in str(caught.value)
