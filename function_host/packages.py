"""The functions that are deployed: a directory of packages, `<name>/function.toml` with its files."""

import base64
import functools
import hashlib
import re
import tomllib
from pathlib import Path
from typing import Annotated

import msgspec

from straightline.errors import ConfigurationError

_NAME = re.compile(
    r"(?:arn:[^:]+:lambda:[^:]*:[^:]*:function:|\d{12}:function:)?(?P<name>[A-Za-z0-9_-]{1,140})(?::(?:\$LATEST|1))?"
)


class Function(msgspec.Struct, frozen=True, kw_only=True):
    """A function as its `function.toml` says it.

    Attributes:
        name: what invokers call it.
        handler: module and callable, with a dot between them.
        timeout: seconds that one invocation may take.
        memory: limit of an instance in MiB.
        environment: variables for its processes.
        minimum: instances that stand ready though nobody invokes it.
        maximum: at most so many at once; None leaves it to the host.
        idle: seconds that an instance above the minimum stays unused; None leaves it to the host.
        code: sha256 of the package that came through the API, in base64; empty for one put there by hand.
        directory: where its package lies; not of the file.
        revision: changes with every deployment; not of the file.
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


def plain_name(name: str) -> str | None:
    """Return the function's name of what the Invoke API calls so (a name or an ARN); None for others.

    The only qualifiers that exist here are `$LATEST` and `1`, which is what was published of it: the same.
    """
    found = _NAME.fullmatch(name)
    return None if found is None else found["name"]


def find_function(packages: Path, name: str) -> Function | None:
    """Read the function of this plain name as it is deployed now; None where there is none.

    Raises:
        ConfigurationError: its `function.toml` cannot be used.
    """
    file = packages / name / "function.toml"
    try:
        found = file.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise ConfigurationError(f"{file} cannot be read: {error}") from error
    # A package is replaced whole: another inode is another deployment, were even its text the same.
    return _read(file, f"{found.st_ino}-{found.st_mtime_ns}-{found.st_size}")


def list_functions(packages: Path) -> list[Function]:
    """Read every function that is deployed, by name.

    Raises:
        ConfigurationError: a `function.toml` cannot be used.
    """
    names = sorted(file.parent.name for file in packages.glob("*/function.toml"))
    return [function for name in names if (function := find_function(packages, name)) is not None]


@functools.lru_cache(maxsize=256)
def _read(file: Path, revision: str) -> Function:
    """Read a `function.toml`; once for each revision, since every invocation asks."""
    try:
        function = msgspec.convert(tomllib.loads(file.read_text(encoding="utf-8")), Function)
    except (OSError, tomllib.TOMLDecodeError, msgspec.ValidationError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{file} cannot be used: {error}") from error
    if function.name != file.parent.name:
        raise ConfigurationError(
            f"{file} names the function {function.name}: its directory must have that name"
        )
    return msgspec.structs.replace(function, directory=file.parent.resolve(), revision=revision)


def code_sha256(package: bytes) -> str:
    """Return what Lambda calls the CodeSha256 of a zipped package: sha256 in base64."""
    return base64.b64encode(hashlib.sha256(package).digest()).decode()
