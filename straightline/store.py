"""Large bodies by reference: bytes under one root URL, named by their SHA-256."""

import hashlib
import re
import secrets
from typing import Any, Final

from straightline.contracts.request import DataRef
from straightline.errors import ConfigurationError, ContractError, StoreUnavailable

LARGEST: Final = 1024 * 1024 * 1024
"""Bytes; a larger reference is refused, whatever the store holds."""

_ROOT = re.compile(r"[a-z][a-z0-9+.-]*://[^?#%:\\]*(:[0-9]+)?[^?#%:\\]*")
_SEGMENT = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9._=-]+")


class Store:
    """Puts and gets bytes under `root` through fsspec. Thread-safe.

    Args:
        root: URL of a folder, such as `file:///var/lib/straightline/store` or `s3://bucket/prefix`.
            References outside of it are refused.
        largest: bytes of the largest body that is read.

    Raises:
        ConfigurationError: the URL is wrong, or fsspec (or what it needs for this kind of URL) is missing.
    """

    def __init__(self, root: str, *, largest: int = LARGEST) -> None:
        self._root = root.rstrip("/") + "/"
        self._largest = largest
        self._files, self._folder = _open(root)

    def put(self, data: bytes) -> DataRef:
        """Store bytes; the same bytes are stored once.

        Raises:
            StoreUnavailable: it could not be written now.
        """
        digest = hashlib.sha256(data).hexdigest()
        name = f"{digest[:2]}/{digest}"
        path = f"{self._folder}/{name}"
        try:
            if not (self._files.exists(path) and self._files.size(path) == len(data)):
                self._write(path, data)
        except Exception as error:
            raise StoreUnavailable(f"the store {self._root} could not be written: {error}") from error
        return DataRef(uri=self._root + name, size=len(data), sha256=digest)

    def get(self, ref: DataRef) -> bytes:
        """Return the bytes of a reference, of which size and digest are right.

        Raises:
            ContractError: it lies outside of the root (`forbidden_reference`), is not there (`missing_data`),
                is too large (`too_large`), or is not what the reference says (`wrong_data`).
            StoreUnavailable: it could not be read now.
        """
        path = self._path(ref)
        try:
            data = self._files.cat_file(path, start=0, end=ref.size + 1)
        except FileNotFoundError as error:
            raise ContractError(
                f"there is nothing at {ref.uri}: store the data before the request is sent",
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

    def _path(self, ref: DataRef) -> str:
        relative = ref.uri.removeprefix(self._root)
        if relative == ref.uri or not all(_SEGMENT.fullmatch(part) for part in relative.split("/")):
            raise ContractError(
                f"the reference {ref.uri[:200]!r} does not lie under the store {self._root}",
                error_class="forbidden_reference",
            )
        if ref.size > self._largest:
            raise ContractError(
                f"the reference says {ref.size} bytes, the limit is {self._largest}", error_class="too_large"
            )
        return f"{self._folder}/{relative}"

    def _write(self, path: str, data: bytes) -> None:
        self._files.makedirs(path.rpartition("/")[0], exist_ok=True)
        if "file" not in self._files.protocol:
            self._files.pipe_file(path, data)
            return
        # Object stores show a file when it is whole; a folder shows it at once, so it gets its name last.
        part = f"{path}.{secrets.token_hex(4)}.part"
        self._files.pipe_file(part, data)
        self._files.mv(part, path)


def _open(root: str) -> tuple[Any, str]:
    if not _ROOT.fullmatch(root):
        raise ConfigurationError(f"the store {root!r} is not the URL of a folder, such as file:///srv/store")
    try:
        import fsspec  # noqa: PLC0415 - an optional dependency, and slow to import for who sends small data
    except ImportError as error:
        raise ConfigurationError(
            "a store needs fsspec: install it with `pip install straightline[store]`"
        ) from error
    try:
        files, folder = fsspec.core.url_to_fs(root)
    except (ImportError, ValueError, OSError) as error:
        raise ConfigurationError(f"the store {root!r} cannot be used: {error}") from error
    return files, folder.rstrip("/")
