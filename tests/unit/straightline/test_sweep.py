"""Clearing a store: what is old and ours goes, everything else stays."""

import os
import time
from pathlib import Path

import pytest

from straightline.cli import main
from straightline.errors import ConfigurationError, ContractError, StoreUnavailable
from straightline.ids import new_id
from straightline.storage.store import FRESH_S, Store
from straightline.storage.sweep import MIN_AGE_S, SweepReport, sweep

DAY = 86_400.0


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def store(folder: Path) -> Store:
    return Store(folder.as_uri())


def path_of(folder: Path, uri: str) -> Path:
    return folder / uri.removeprefix(f"{folder.as_uri()}/")


def age(path: Path, seconds: float) -> None:
    then = time.time() - seconds
    os.utime(path, (then, then))


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.rglob("*") if path.is_file()}


def test_old_files_are_removed_and_young_ones_kept(store: Store, folder: Path) -> None:
    old_result, old_input = store.put(b"result"), store.put(b"input", new_id())
    young = store.put(b"young", new_id())
    for ref in (old_result, old_input):
        age(path_of(folder, ref.uri), 8 * DAY)
    age(path_of(folder, young.uri), 6 * DAY)
    assert sweep(store, 7 * DAY, dry_run=True) == SweepReport(
        removed=2, removed_bytes=11, kept=1, kept_bytes=5
    )
    assert sweep(store, 7 * DAY) == SweepReport(removed=2, removed_bytes=11, kept=1, kept_bytes=5)
    assert names(folder) == {path_of(folder, young.uri).name}
    assert sweep(store, 7 * DAY) == SweepReport(kept=1, kept_bytes=5)


def test_the_part_file_of_a_dead_writer_is_removed(store: Store, folder: Path) -> None:
    whole = path_of(folder, store.put(b"whole", new_id()).uri)
    part = whole.with_name(f"{whole.name}.0123abcd.part")
    part.write_bytes(b"wh")
    age(part, DAY)
    sweep(store, MIN_AGE_S)
    assert names(folder) == {whole.name}


def test_foreign_files_in_the_store_are_kept(store: Store, folder: Path) -> None:
    digest = "0" * 64
    others = ["jobs/a.json", "ab/readme", f"ab/{'g' * 64}", "notes.txt", f"ab/cd/{digest}", f"abc/{digest}"]
    for name in others:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"theirs")
        age(folder / name, 100 * DAY)
    assert sweep(store, DAY) == SweepReport()
    assert len(names(folder)) == len(set(names(folder))) == 5


def test_a_file_written_again_is_young_again(store: Store, folder: Path) -> None:
    ref = store.put(b"result")
    age(path_of(folder, ref.uri), FRESH_S + 60)
    assert store.put(b"result") == ref
    age_now = time.time() - path_of(folder, ref.uri).stat().st_mtime
    assert age_now < FRESH_S, "or a sweep would take it from whom was just referred to it"


def test_the_data_of_two_requests_is_two_files_and_of_a_repeated_one_the_same(store: Store) -> None:
    first, second = new_id(), new_id()
    one = store.put(b"same", first)
    assert store.put(b"same", first) == one
    assert store.put(b"same", second).uri != one.uri
    assert store.put(b"other", first).uri != one.uri, "a conflicting repeat leaves the first its data"
    store.remove(one)
    assert store.get(store.put(b"same", second)) == b"same"
    store.remove(one)


def test_nothing_outside_of_the_store_is_removed(store: Store, folder: Path) -> None:
    secret = folder.parent / "secret"
    secret.write_text("x")
    ref = store.put(b"x")
    for uri in (f"{folder.as_uri()}/../secret", secret.as_uri()):
        with pytest.raises(ContractError):
            store.remove(type(ref)(uri=uri, size=1, sha256="0" * 64))
    assert secret.exists()


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), MIN_AGE_S - 1])
def test_an_age_that_may_be_in_use_is_refused(store: Store, seconds: float) -> None:
    with pytest.raises(ConfigurationError, match="2 h"):
        sweep(store, seconds)


def test_an_empty_store_is_clean(store: Store) -> None:
    assert sweep(store, DAY) == SweepReport()


def test_a_store_that_cannot_be_listed_or_cleared_is_unavailable(
    store: Store, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    age(path_of(folder, store.put(b"old").uri), 8 * DAY)

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError("not yours")

    for operation, words in (("rm_file", "removed"), ("ls", "listed")):
        monkeypatch.setattr(store._files, operation, refuse)
        with pytest.raises(StoreUnavailable, match=f"could not be {words}: not yours"):
            sweep(store, DAY)


def test_a_store_of_another_kind_is_swept_alike() -> None:
    store = Store("memory://sweep/bodies")
    store.put(b"1", new_id())
    assert sweep(store, DAY).kept == 1
    assert sweep(store, DAY, now=time.time() + 2 * DAY) == SweepReport(removed=1, removed_bytes=1)


def test_the_command_prints_its_counts(
    store: Store, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    age(path_of(folder, store.put(b"12345").uri), 8 * DAY)
    command = ["sweep", "--older-than", "7d"]
    assert main([*command, "--store", folder.as_uri(), "--dry-run"]) == 0
    assert "would remove 1 files (5 bytes)" in capsys.readouterr().out
    monkeypatch.setenv("STRAIGHTLINE_STORE", folder.as_uri())
    assert main([*command, "--json"]) == 0
    assert '"removed": 1' in capsys.readouterr().out
    monkeypatch.delenv("STRAIGHTLINE_STORE")
    assert main(command) == 2
    assert main(["sweep", "--older-than", "1h", "--store", folder.as_uri()]) == 2
