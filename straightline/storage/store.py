"""The store for large data: files under one root URL, named by SHA-256 or by request."""

import hashlib
import re
import secrets
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import Any, BinaryIO, Final
from urllib.parse import unquote

import msgspec

from straightline.contracts.request import DataRef
from straightline.errors import ConfigurationError, ContractError, StoreUnavailable
from straightline.storage.local_files import SUPPORTED, PathEscape, check_below, open_below, read_below

MAX_OBJECT_BYTES: Final = 1024 * 1024 * 1024
"""A larger reference is rejected."""

SCHEMES: Final = ("file", "s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "sftp", "memory")
"""Supported kinds of stores. HTTP is not one: a server could redirect the reader to any address (SSRF)."""

FRESH_S: Final = 3600.0
"""A file younger than this is not written again, and must not be swept."""

_SHARD = re.compile(r"[0-9a-f]{2}")
_OURS = re.compile(r"([0-9a-f]{64}|[0-9a-f-]{36}-[0-9a-f]{16})(\.[0-9a-f]{8}\.part)?")
_ROOT = re.compile(r"[a-z][a-z0-9+.-]*://[^?#%:\\]*(:[0-9]+)?[^?#%:\\]*")
_LOCAL_ROOT = re.compile(r"file://(/(?:[^?#%:\\]|%(?!00)[0-9A-Fa-f]{2})*)")
_CREDENTIALS = re.compile(r"://[^/]*:[^/]*@")
_SEGMENT = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9._=-]+")


class Kept(msgspec.Struct, frozen=True):
    """A stored file: URI, size in bytes, and time of writing in seconds since the epoch."""

    uri: str
    size: int
    modified: float


class Store:
    """Reads and writes files under `root` through fsspec. Thread-safe.

    Args:
        root: URL of a folder, such as `file:///var/lib/straightline/store` or `s3://bucket/prefix`; of a
            local folder as `pathlib.Path.as_uri` returns it. References outside of it are rejected.
        largest: bytes of a file that is read at most.

    Raises:
        ConfigurationError: the URL is invalid, or fsspec or its driver for this URL is not installed.
    """

    def __init__(self, root: str, *, largest: int = MAX_OBJECT_BYTES) -> None:
        self._root = root.rstrip("/") + "/"
        self._largest = largest
        self._files, self._folder = _open(root)
        self._is_folder = "file" in self._files.protocol

    def put(self, data: bytes, owner: str | None = None) -> DataRef:
        """Write bytes and return their reference.

        Args:
            data: the bytes.
            owner: UUID of the only request that uses them, so that they can be removed with it. Without an
                owner equal bytes are stored once.

        Raises:
            StoreUnavailable: the store could not be written.
        """
        digest = hashlib.sha256(data).hexdigest()
        name = f"{digest[:2]}/{digest}" if owner is None else f"{owner[-2:]}/{owner}-{digest[:16]}"
        path = f"{self._folder}/{name}"
        try:
            if not self._is_there(path, len(data)):
                self._write(path, data)
        except Exception as error:
            raise StoreUnavailable(f"the store {self._root} could not be written: {error}") from error
        return DataRef(uri=self._root + name, size=len(data), sha256=digest)

    def remove(self, ref: DataRef) -> None:
        """Remove a file if it exists.

        Raises:
            ContractError: the reference is outside of the root.
            StoreUnavailable: the file could not be removed.
        """
        path = self._path(ref)
        try:
            self._stay_below(path)
            self._files.rm_file(path)
        except FileNotFoundError:
            return
        except Exception as error:
            raise StoreUnavailable(f"{ref.uri} could not be removed: {error}") from error

    def listing(self) -> Iterator[Kept]:
        """Yield the files that clients and workers have written, folder by folder; skip all others.

        Raises:
            StoreUnavailable: the store could not be listed.
        """
        for folder in self._list(self._folder):
            if folder["type"] != "directory" or not _SHARD.fullmatch(_last(folder["name"])):
                continue
            for file in self._list(folder["name"]):
                if file["type"] == "file" and _OURS.fullmatch(_last(file["name"])):
                    yield Kept(
                        uri=f"{self._root}{_last(folder['name'])}/{_last(file['name'])}",
                        size=int(file.get("size") or 0),
                        modified=self._modified(file),
                    )

    def discard(self, kept: Kept) -> None:
        """Remove a file of `listing`.

        Raises:
            StoreUnavailable: the file could not be removed.
        """
        self.remove(DataRef(uri=kept.uri, size=0, sha256="0" * 64))

    def get(self, ref: DataRef) -> bytes:
        """Return the bytes of a reference after checking size and digest.

        Raises:
            ContractError: the reference is outside of the root (`forbidden_reference`) or too large
                (`too_large`); the file does not exist (`missing_data`) or does not match (`wrong_data`).
            StoreUnavailable: the store could not be read.
        """
        path = self._path(ref)
        try:
            data = self._read(path, ref.size + 1)
        except PathEscape as error:
            raise self._forbidden(ref) from error
        except FileNotFoundError as error:
            raise ContractError(
                f"no file at {ref.uri}: write data before its request is submitted; old results are swept",
                error_class="missing_data",
            ) from error
        except Exception as error:
            raise StoreUnavailable(f"the store {self._root} could not be read: {error}") from error
        if len(data) != ref.size or hashlib.sha256(data).hexdigest() != ref.sha256:
            raise ContractError(
                f"the file at {ref.uri} does not have the size and sha256 of its reference",
                error_class="wrong_data",
            )
        return bytes(data)

    def receive(self, pieces: Iterable[bytes], owner: str) -> DataRef:
        """Write bytes piece by piece; an incomplete file is removed.

        Args:
            pieces: the bytes; their exceptions are passed on.
            owner: UUID for the file's name.

        Raises:
            StoreUnavailable: the store could not be written.
        """
        digest, size = hashlib.sha256(), 0
        folder = f"{self._folder}/{owner[-2:]}"
        part = f"{folder}/{owner}-{'0' * 16}.{secrets.token_hex(4)}.part"  # a name that is swept
        with self._writing(part) as file:
            for piece in pieces:
                digest.update(piece)
                size += len(piece)
                with self._translated():
                    file.write(piece)
        name = f"{owner}-{digest.hexdigest()[:16]}"
        with self._translated():
            self._files.mv(part, f"{folder}/{name}")
        return DataRef(uri=f"{self._root}{owner[-2:]}/{name}", size=size, sha256=digest.hexdigest())

    def open(self, uri: str) -> BinaryIO:
        """Open a file for reading; its digest is not checked.

        Raises:
            ContractError: the URI is outside of the root (`forbidden_reference`), or the file does not exist
                (`missing_data`).
            StoreUnavailable: the store could not be read.
        """
        ref = DataRef(uri=uri, size=0, sha256="0" * 64)
        path = self._path(ref)
        try:
            if self._is_folder and SUPPORTED:
                return open_below(self._folder, path.removeprefix(f"{self._folder}/").split("/"))
            opened: BinaryIO = self._files.open(path, "rb")
        except PathEscape as error:
            raise self._forbidden(ref) from error
        except FileNotFoundError as error:
            raise ContractError(f"no file at {uri}", error_class="missing_data") from error
        except Exception as error:
            raise StoreUnavailable(f"the store {self._root} could not be read: {error}") from error
        return opened

    @contextmanager
    def _writing(self, path: str) -> Iterator[BinaryIO]:
        """Open a file for writing; remove it after an exception."""
        with self._translated():
            self._stay_below(path)
            self._files.makedirs(path.rpartition("/")[0], exist_ok=True)
            file = self._files.open(path, "wb")
        try:
            yield file
            with self._translated():
                file.close()
        except BaseException:
            with suppress(Exception):
                file.close()
            with suppress(Exception):
                self._files.rm_file(path)
            raise

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            raise StoreUnavailable(f"the store {self._root} could not be written: {error}") from error

    def _path(self, ref: DataRef) -> str:
        relative = ref.uri.removeprefix(self._root)
        if relative == ref.uri or not all(_SEGMENT.fullmatch(part) for part in relative.split("/")):
            raise self._forbidden(ref)
        if ref.size > self._largest:
            raise ContractError(
                f"the reference has {ref.size} bytes, the limit is {self._largest}", error_class="too_large"
            )
        return f"{self._folder}/{relative}"

    def _forbidden(self, ref: DataRef) -> ContractError:
        return ContractError(
            f"the reference {ref.uri[:200]!r} is not under the store {self._root}",
            error_class="forbidden_reference",
        )

    def _read(self, path: str, most: int) -> bytes:
        if self._is_folder and SUPPORTED:
            return read_below(self._folder, path.removeprefix(f"{self._folder}/").split("/"), most)
        return bytes(self._files.cat_file(path, start=0, end=most))

    def _is_there(self, path: str, size: int) -> bool:
        """Return whether the file exists and is too young for a sweep."""
        if not (self._files.exists(path) and self._files.size(path) == size):
            return False
        return bool(time.time() - self._files.modified(path).timestamp() < FRESH_S)

    def _stay_below(self, path: str) -> None:
        """Raise `PathEscape` if a folder on the way to `path` is a link."""
        if self._is_folder and SUPPORTED:
            check_below(self._folder, path.removeprefix(f"{self._folder}/").split("/")[:-1])

    def _list(self, path: str) -> list[dict[str, Any]]:
        try:
            return list(self._files.ls(path, detail=True, refresh=True))
        except FileNotFoundError:
            return []
        except Exception as error:
            raise StoreUnavailable(f"the store {self._root} could not be listed: {error}") from error

    def _modified(self, file: dict[str, Any]) -> float:
        for word in ("mtime", "LastModified", "last_modified", "updated", "created"):
            value = file.get(word)
            if isinstance(value, datetime):
                return value.timestamp()
            if isinstance(value, int | float):
                return float(value)
        try:
            return float(self._files.modified(file["name"]).timestamp())
        except Exception as error:
            raise StoreUnavailable(f"the age of {file['name']} is unknown: {error}") from error

    def _write(self, path: str, data: bytes) -> None:
        self._stay_below(path)
        self._files.makedirs(path.rpartition("/")[0], exist_ok=True)
        if not self._is_folder:
            self._files.pipe_file(path, data)
            return
        # An object store shows complete files only; in a folder a file is renamed once it is complete.
        part = f"{path}.{secrets.token_hex(4)}.part"
        self._files.pipe_file(part, data)
        self._files.mv(part, path)


def root_of(uri: str) -> str:
    """Return the root URL of the store of a URI."""
    return uri.rsplit("/", 2)[0]


def _last(path: str) -> str:
    return path.rstrip("/").rpartition("/")[2]


def _open(root: str) -> tuple[Any, str]:
    if _CREDENTIALS.search(root):
        raise ConfigurationError(
            "the store URL contains a password, which every reference would show: set it in the environment, "
            "as the library for this kind of store expects"
        )
    local = _LOCAL_ROOT.fullmatch(root)
    if local is None and not _ROOT.fullmatch(root):
        raise ConfigurationError(
            f"the store {root!r} is invalid: it must be the URL of a folder, such as file:///srv/store"
        )
    if root.partition(":")[0] not in SCHEMES:
        raise ConfigurationError(f"the store {root!r} is invalid: supported schemes are {', '.join(SCHEMES)}")
    try:
        import fsspec  # noqa: PLC0415 - an optional dependency, slow to import
    except ImportError as error:
        raise ConfigurationError("a store needs fsspec: install it with `pip install fsspec`") from error
    try:
        if local is not None:  # fsspec would not decode the escapes
            return fsspec.filesystem("file"), unquote(local[1]).rstrip("/")
        files, folder = fsspec.core.url_to_fs(root)
    except (ImportError, ValueError, OSError) as error:
        raise ConfigurationError(f"the store {root!r} cannot be used: {error}") from error
    return files, folder.rstrip("/")
