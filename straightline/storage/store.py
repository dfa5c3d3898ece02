"""Large bodies by reference: bytes under one root URL, named by their SHA-256 or for their request."""

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
"""Bytes; a larger reference is refused, whatever the store holds."""

SCHEMES: Final = ("file", "s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "sftp", "memory")
"""Kinds of stores. What is fetched over HTTP is none: a server there may send its reader anywhere else."""

FRESH_S: Final = 3600.0
"""Seconds for which what was put need not be put again. Nothing as young may be swept."""

_SHARD = re.compile(r"[0-9a-f]{2}")
_OURS = re.compile(r"([0-9a-f]{64}|[0-9a-f-]{36}-[0-9a-f]{16})(\.[0-9a-f]{8}\.part)?")
_ROOT = re.compile(r"[a-z][a-z0-9+.-]*://[^?#%:\\]*(:[0-9]+)?[^?#%:\\]*")
_LOCAL_ROOT = re.compile(r"file://(/(?:[^?#%:\\]|%(?!00)[0-9A-Fa-f]{2})*)")
_CREDENTIALS = re.compile(r"://[^/]*:[^/]*@")
_SEGMENT = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9._=-]+")


class Kept(msgspec.Struct, frozen=True):
    """What lies in a store: where, its size in bytes, and when it was written (seconds since the epoch)."""

    uri: str
    size: int
    modified: float


class Store:
    """Puts and gets bytes under `root` through fsspec. Thread-safe.

    Args:
        root: URL of a folder, such as `file:///var/lib/straightline/store` or `s3://bucket/prefix`; of a
            local folder as `pathlib.Path.as_uri` writes it. References outside of it are refused.
        largest: bytes of the largest body that is read.

    Raises:
        ConfigurationError: the URL is wrong, or fsspec (or what it needs for this kind of URL) is missing.
    """

    def __init__(self, root: str, *, largest: int = MAX_OBJECT_BYTES) -> None:
        self._root = root.rstrip("/") + "/"
        self._largest = largest
        self._files, self._folder = _open(root)
        self._is_folder = "file" in self._files.protocol

    def put(self, data: bytes, owner: str | None = None) -> DataRef:
        """Store bytes.

        Args:
            data: the bytes.
            owner: the id of the request that they belong to alone, so that they may be removed with it.
                Without one, the same bytes are stored once, whoever puts them.

        Raises:
            StoreUnavailable: it could not be written now.
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
        """Remove what lies at a reference, where it is still there.

        Raises:
            ContractError: it lies outside of the root.
            StoreUnavailable: it could not be removed now.
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
        """Yield what clients and workers have put here, folder by folder; what others keep here is left out.

        Raises:
            StoreUnavailable: it could not be listed now.
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
        """Remove what `listing` told of.

        Raises:
            StoreUnavailable: it could not be removed now.
        """
        self.remove(DataRef(uri=kept.uri, size=0, sha256="0" * 64))

    def get(self, ref: DataRef) -> bytes:
        """Return the bytes of a reference, of which size and digest are right.

        Raises:
            ContractError: it lies outside of the root (`forbidden_reference`), is not there (`missing_data`),
                is too large (`too_large`), or is not what the reference says (`wrong_data`).
            StoreUnavailable: it could not be read now.
        """
        path = self._path(ref)
        try:
            data = self._read(path, ref.size + 1)
        except PathEscape as error:
            raise self._forbidden(ref) from error
        except FileNotFoundError as error:
            raise ContractError(
                f"there is nothing at {ref.uri}: data is stored before its request is sent, and old results "
                "are swept",
                error_class="missing_data",
            ) from error
        except Exception as error:
            raise StoreUnavailable(f"the store {self._root} could not be read: {error}") from error
        if len(data) != ref.size or hashlib.sha256(data).hexdigest() != ref.sha256:
            raise ContractError(
                f"what lies at {ref.uri} has not the size and sha256 of the reference",
                error_class="wrong_data",
            )
        return bytes(data)

    def receive(self, pieces: Iterable[bytes], owner: str) -> DataRef:
        """Store bytes that come piece by piece; where they break off nothing is there.

        Args:
            pieces: the bytes; what they raise is raised.
            owner: a UUID for the name.

        Raises:
            StoreUnavailable: it could not be written now.
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
        """Open what lies at a reference, to be read piece by piece; its digest is not checked.

        Raises:
            ContractError: it lies outside of the root (`forbidden_reference`), or is not there
                (`missing_data`).
            StoreUnavailable: it could not be read now.
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
            raise ContractError(f"there is nothing at {uri}", error_class="missing_data") from error
        except Exception as error:
            raise StoreUnavailable(f"the store {self._root} could not be read: {error}") from error
        return opened

    @contextmanager
    def _writing(self, path: str) -> Iterator[BinaryIO]:
        """Open a file to be written, and remove it where that breaks off."""
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
                f"the reference says {ref.size} bytes, the limit is {self._largest}", error_class="too_large"
            )
        return f"{self._folder}/{relative}"

    def _forbidden(self, ref: DataRef) -> ContractError:
        return ContractError(
            f"the reference {ref.uri[:200]!r} does not lie under the store {self._root}",
            error_class="forbidden_reference",
        )

    def _read(self, path: str, most: int) -> bytes:
        if self._is_folder and SUPPORTED:
            return read_below(self._folder, path.removeprefix(f"{self._folder}/").split("/"), most)
        return bytes(self._files.cat_file(path, start=0, end=most))

    def _is_there(self, path: str, size: int) -> bool:
        """Tell whether the bytes are there, and so young that no sweep takes them for forgotten."""
        if not (self._files.exists(path) and self._files.size(path) == size):
            return False
        return bool(time.time() - self._files.modified(path).timestamp() < FRESH_S)

    def _stay_below(self, path: str) -> None:
        """Raise `PathEscape` where a folder on the way to `path` is a link."""
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
            raise StoreUnavailable(f"the age of {file['name']} is not known: {error}") from error

    def _write(self, path: str, data: bytes) -> None:
        self._stay_below(path)
        self._files.makedirs(path.rpartition("/")[0], exist_ok=True)
        if not self._is_folder:
            self._files.pipe_file(path, data)
            return
        # Object stores show a file when it is whole; a folder shows it at once, so it gets its name last.
        part = f"{path}.{secrets.token_hex(4)}.part"
        self._files.pipe_file(part, data)
        self._files.mv(part, path)


def root_of(uri: str) -> str:
    """Return the root of the store that named what lies at `uri`."""
    return uri.rsplit("/", 2)[0]


def _last(path: str) -> str:
    return path.rstrip("/").rpartition("/")[2]


def _open(root: str) -> tuple[Any, str]:
    if _CREDENTIALS.search(root):
        raise ConfigurationError(
            "the store's URL holds a password, which would stand in every reference: give it by the "
            "environment, as the library for this kind of store reads it"
        )
    local = _LOCAL_ROOT.fullmatch(root)
    if local is None and not _ROOT.fullmatch(root):
        raise ConfigurationError(f"the store {root!r} is not the URL of a folder, such as file:///srv/store")
    if root.partition(":")[0] not in SCHEMES:
        raise ConfigurationError(f"the store {root!r} is of no kind that is used here: {', '.join(SCHEMES)}")
    try:
        import fsspec  # noqa: PLC0415 - an optional dependency, and slow to import for who sends small data
    except ImportError as error:
        raise ConfigurationError("a store needs fsspec: install it with `pip install fsspec`") from error
    try:
        if local is not None:  # fsspec would not undo the escapes
            return fsspec.filesystem("file"), unquote(local[1]).rstrip("/")
        files, folder = fsspec.core.url_to_fs(root)
    except (ImportError, ValueError, OSError) as error:
        raise ConfigurationError(f"the store {root!r} cannot be used: {error}") from error
    return files, folder.rstrip("/")
