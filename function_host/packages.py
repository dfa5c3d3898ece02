"""The package directory: the deployed functions, each `<name>/function.toml` with its files."""

import base64
import functools
import hashlib
import tomllib
from pathlib import Path
from typing import Annotated

import msgspec

from straightline.errors import ConfigurationError


class Function(msgspec.Struct, frozen=True, kw_only=True):
    """A deployed function; all attributes but the last two are members of `function.toml`.

    Attributes:
        name: name that callers invoke.
        handler: module and callable, joined by a dot.
        timeout: seconds that one invocation may take.
        memory: memory limit of an instance in MiB.
        environment: environment variables of its processes.
        minimum: instances that are kept ready without invocations.
        maximum: limit of instances; None for the host's limit.
        idle: seconds that an unused instance above the minimum is kept; None for the host's setting.
        code: SHA-256 in base64 of the package deployed through the API; empty if copied by hand.
        directory: directory of the package.
        revision: changes with every deployment.
    """

    name: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_-]{1,140}$")]
    handler: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_./-]+\.[A-Za-z0-9_]+$")]
    timeout: Annotated[float, msgspec.Meta(gt=0, le=900)] = 30
    memory: Annotated[int, msgspec.Meta(ge=128, le=10_240)] = 1024
    environment: dict[str, str] = {}
    minimum: Annotated[int, msgspec.Meta(ge=0)] = 0
    maximum: Annotated[int, msgspec.Meta(ge=1)] | None = None
    idle: Annotated[float, msgspec.Meta(gt=0)] | None = None
    code: str = ""
    directory: Path = Path()
    revision: str = ""


def find_function(packages: Path, name: str) -> Function | None:
    """Read the deployed function with this plain name; None if there is none.

    Raises:
        ConfigurationError: its `function.toml` is invalid.
    """
    file = packages / name / "function.toml"
    try:
        found = file.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise ConfigurationError(f"{file} cannot be read: {error}") from error
    # A package is replaced as a whole, so another inode is another deployment, even with the same text.
    return _read(file, f"{found.st_ino}-{found.st_mtime_ns}-{found.st_size}")


def list_functions(packages: Path) -> list[Function]:
    """Read all deployed functions, sorted by name.

    Raises:
        ConfigurationError: a `function.toml` is invalid.
    """
    names = sorted(file.parent.name for file in packages.glob("*/function.toml"))
    return [function for name in names if (function := find_function(packages, name)) is not None]


@functools.lru_cache(maxsize=256)
def _read(file: Path, revision: str) -> Function:
    """Read a `function.toml`, cached by revision, since every invocation needs it."""
    try:
        function = msgspec.convert(tomllib.loads(file.read_text(encoding="utf-8")), Function)
    except (OSError, tomllib.TOMLDecodeError, msgspec.ValidationError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{file} is invalid: {error}") from error
    if function.name != file.parent.name:
        raise ConfigurationError(
            f"{file} is invalid: it names the function {function.name}. Rename its directory to that"
        )
    return msgspec.structs.replace(function, directory=file.parent.resolve(), revision=revision)


def code_sha256(package: bytes) -> str:
    """Return Lambda's CodeSha256 of a zipped package: its SHA-256 in base64."""
    return base64.b64encode(hashlib.sha256(package).digest()).decode()
