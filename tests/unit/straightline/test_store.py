"""Large bodies by reference."""

import hashlib
import os
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from straightline.contracts import DataRef
from straightline.errors import ConfigurationError, ContractError, StoreUnavailable
from straightline.storage.store import Store

DIGEST = hashlib.sha256(b"hello").hexdigest()


def reference(uri: str, data: bytes = b"hello", **changes: Any) -> DataRef:
    ref = DataRef(uri=uri, size=len(data), sha256=hashlib.sha256(data).hexdigest())
    return msgspec.structs.replace(ref, **changes)


def refusal(store: Store, ref: DataRef) -> str:
    with pytest.raises(ContractError) as caught:
        store.get(ref)
    return caught.value.error_class


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store((tmp_path / "store").as_uri())


def test_stored_bytes_are_returned_and_named_by_their_digest(store: Store, tmp_path: Path) -> None:
    ref = store.put(b"hello")
    assert ref == store.put(b"hello")
    assert ref == reference(f"{tmp_path.as_uri()}/store/{DIGEST[:2]}/{DIGEST}")
    assert store.get(ref) == b"hello"
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == [DIGEST], "no parts are left"


def test_nothing_is_something_too(store: Store) -> None:
    assert store.get(store.put(b"")) == b""


def test_a_half_written_file_is_mended_by_putting_again(store: Store, tmp_path: Path) -> None:
    store.put(b"hello")
    (tmp_path / "store" / DIGEST[:2] / DIGEST).write_bytes(b"hel")
    assert store.get(store.put(b"hello")) == b"hello"


def test_the_root_may_end_with_a_slash(tmp_path: Path) -> None:
    ref = Store(tmp_path.as_uri() + "/").put(b"hello")
    assert Store(tmp_path.as_uri()).get(ref) == b"hello"


def test_another_producers_path_under_the_root_is_read(store: Store, tmp_path: Path) -> None:
    (tmp_path / "store" / "jobs").mkdir(parents=True)
    (tmp_path / "store" / "jobs" / "a-1.json").write_bytes(b"hello")
    assert store.get(reference(f"{tmp_path.as_uri()}/store/jobs/a-1.json")) == b"hello"


@pytest.mark.parametrize(
    "uri",
    [
        "{root}/../secret",
        "{root}/aa/../../secret",
        "{root}/./secret",
        "{root}//secret",
        "{root}",
        "{root}/",
        "{root}/%2e%2e/secret",
        "{root}/a\\..\\secret",
        "{root}/aa/*",
        "{root}x/secret",
        "{root}/a?b",
        "{root}/a\n",
        "file:///etc/passwd",
        "/etc/passwd",
        "http://169.254.169.254/latest",
        "s3://bucket/key",
        "simplecache::{root}/a",
        "{root}/a::http://x",
        "memory://store/a",
    ],
)
def test_a_reference_outside_of_the_root_is_refused_unread(store: Store, tmp_path: Path, uri: str) -> None:
    (tmp_path / "secret").write_bytes(b"hello")
    ref = reference(uri.replace("{root}", f"{tmp_path.as_uri()}/store"))
    assert refusal(store, ref) == "forbidden_reference"


def test_a_link_below_the_root_leads_nowhere(store: Store, tmp_path: Path) -> None:
    root, outside = tmp_path / "store", tmp_path / "outside"
    (outside / "aa").mkdir(parents=True)
    (outside / "aa" / "secret").write_bytes(b"hello")
    root.mkdir()
    (root / "file").symlink_to(outside / "aa" / "secret")
    (root / "folder").symlink_to(outside)
    (root / DIGEST[:2]).symlink_to(outside / "aa")
    (root / "dangling").symlink_to(outside / "nothing")
    for name in ("file", "folder/aa/secret", f"{DIGEST[:2]}/secret", "dangling"):
        assert refusal(store, reference(f"{root.as_uri()}/{name}")) == "forbidden_reference", name
    with pytest.raises(StoreUnavailable):
        store.put(b"hello")
    with pytest.raises(StoreUnavailable):
        store.remove(reference(f"{root.as_uri()}/folder/aa/secret"))
    assert (outside / "aa" / "secret").read_bytes() == b"hello"
    assert list((outside / "aa").iterdir()) == [outside / "aa" / "secret"]


def test_the_root_itself_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "store").symlink_to(tmp_path / "disk")
    store = Store((tmp_path / "store").as_uri())
    assert store.get(store.put(b"hello")) == b"hello"


def test_a_device_or_pipe_is_refused_without_blocking(store: Store, tmp_path: Path) -> None:
    (tmp_path / "store" / "folder").mkdir(parents=True)
    os.mkfifo(tmp_path / "store" / "pipe")
    for name in ("pipe", "folder", "pipe/a"):
        assert refusal(store, reference(f"{tmp_path.as_uri()}/store/{name}")) == "forbidden_reference", name


def test_missing_and_wrong_data_are_distinguished(store: Store) -> None:
    ref = store.put(b"hello")
    assert refusal(store, msgspec.structs.replace(ref, uri=ref.uri + "0")) == "missing_data"
    assert refusal(store, msgspec.structs.replace(ref, size=4)) == "wrong_data"
    assert refusal(store, msgspec.structs.replace(ref, size=6)) == "wrong_data"
    assert refusal(store, msgspec.structs.replace(ref, sha256="0" * 64)) == "wrong_data"


def test_a_reference_to_an_oversized_file_is_refused_unread(tmp_path: Path) -> None:
    store = Store(tmp_path.as_uri(), largest=100)
    assert refusal(store, reference(f"{tmp_path.as_uri()}/a", size=101)) == "too_large"


def test_a_store_that_cannot_be_written_or_read_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("a file where a folder should be")
    store = Store((tmp_path / "store").as_uri())
    with pytest.raises(StoreUnavailable, match="could not be written"):
        store.put(b"hello")
    with pytest.raises(StoreUnavailable, match="could not be read"):
        store.get(reference((tmp_path / "store" / "a").as_uri()))


@pytest.mark.parametrize(
    "root",
    [
        "",
        "store",
        "/srv/store",
        "file:relative",
        "a::file:///x",
        "file:///x?y",
        "nosuch://x",
        "https://host/x",
        "github://x/y",
    ],
)
def test_a_root_that_is_no_folder_url_is_refused(root: str) -> None:
    with pytest.raises(ConfigurationError, match="store"):
        Store(root)


@pytest.mark.parametrize("name", ["my files", "été", "100%", "a%20b", "a#b?c", "a:b", "a\\b"])
def test_a_local_folder_may_have_any_name(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    store = Store(folder.as_uri())
    ref = store.put(b"hello")
    assert [file.read_bytes() for file in folder.rglob("*") if file.is_file()] == [b"hello"]
    assert store.get(ref) == b"hello"
    assert [kept.uri for kept in store.listing()] == [ref.uri]


@pytest.mark.parametrize("root", ["file:///a%0", "file:///a%00b", "file:///a%zz", "s3://bucket/a%20b"])
def test_an_escape_that_means_nothing_is_refused(root: str) -> None:
    with pytest.raises(ConfigurationError, match="store"):
        Store(root)


def test_a_missing_fsspec_is_reported_with_the_package_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "fsspec", None)
    with pytest.raises(ConfigurationError, match="pip install"):
        Store(tmp_path.as_uri())


def test_another_kind_of_store_works_alike() -> None:
    store = Store("memory://unit/bodies")
    assert store.get(store.put(b"hello")) == b"hello"
