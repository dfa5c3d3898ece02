"""Lambda's API to create, update and delete functions in the package directory.

A package is replaced atomically. Instances of the previous one finish their invocations and get no more.

Source: the API reference of AWS Lambda (CreateFunction, UpdateFunctionCode, UpdateFunctionConfiguration,
DeleteFunction).
"""

import base64
import binascii
import io
import shutil
import stat
import zipfile
from pathlib import Path, PurePosixPath
from typing import Annotated, Final

import msgspec

from function_host.http.errors import BadRequest, decode_body, invalid_parameter
from function_host.names import plain_name
from function_host.package_writer import read_back, rewrite_description, write_description
from function_host.packages import Function, code_sha256
from straightline.support.atomic_directory import replace_directory

MAX_DEPLOY_BODY_BYTES: Final = 70 * 1024 * 1024
"""Lambda's limit of 50 MB for a package, in base64."""
MAX_UNZIPPED_BYTES: Final = 250 * 1024 * 1024
"""Lambda's quota of an unzipped package."""


Timeout = Annotated[int, msgspec.Meta(ge=1, le=900)]
Memory = Annotated[int, msgspec.Meta(ge=128, le=10_240)]
Handler = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_./-]{1,127}\.[A-Za-z0-9_]{1,64}$")]


class _Code(msgspec.Struct, rename="pascal"):
    zip_file: str


class _Variables(msgspec.Struct, rename="pascal"):
    variables: dict[str, str] = {}


class _Configuration(msgspec.Struct, rename="pascal", kw_only=True):
    handler: Handler | None = None
    timeout: Timeout | None = None
    memory_size: Memory | None = None
    environment: _Variables | None = None


class _Create(_Configuration, rename="pascal", kw_only=True):
    function_name: str
    code: _Code
    package_type: str = "Zip"


def create_function(packages: Path, body: bytes) -> Function:
    """Create a function.

    Raises:
        BadRequest: the function exists, or the request is invalid.
    """
    asked = decode_body(body, _Create)
    name = plain_name(asked.function_name)
    if name is None or asked.package_type != "Zip" or asked.handler is None:
        raise invalid_parameter("this host needs a plain FunctionName, PackageType Zip, and a Handler")
    if (packages / name).exists():
        raise BadRequest("ResourceConflictException", f"Function already exist: {name}", 409)
    function = _with_settings(Function(name=name, handler=asked.handler, timeout=3, memory=128), asked)
    with replace_directory(packages / name) as fresh:
        write_description(msgspec.structs.replace(function, code=_unpack(asked.code, fresh)), fresh)
    return read_back(packages, name)


def update_function_code(function: Function, body: bytes) -> Function:
    """Replace the package of a function.

    Raises:
        BadRequest: the package is invalid.
    """
    code = decode_body(body, _Code)
    with replace_directory(function.directory) as fresh:
        write_description(msgspec.structs.replace(function, code=_unpack(code, fresh)), fresh)
    return read_back(function.directory.parent, function.name)


def update_function_settings(function: Function, body: bytes) -> Function:
    """Change the settings of a function.

    Raises:
        BadRequest: the settings are invalid.
    """
    return rewrite_description(_with_settings(function, decode_body(body, _Configuration)))


def update_concurrency(
    function: Function, *, minimum: int | None = None, maximum: int | None = None
) -> Function:
    """Change the minimum or the limit of a function's instances; None keeps it, a maximum of 0 removes it.

    Raises:
        BadRequest: the minimum would exceed the limit.
    """
    least = function.minimum if minimum is None else minimum
    most = function.maximum if maximum is None else maximum or None
    if most is not None and least > most:
        raise invalid_parameter(f"{least} provisioned instances exceed the function's limit of {most}")
    changed = msgspec.structs.replace(function, minimum=least, maximum=most)
    # Rewriting the description ends warm instances.
    return function if changed == function else rewrite_description(changed)


def delete_function(function: Function) -> None:
    """Remove a function's package."""
    shutil.rmtree(function.directory)


def _with_settings(function: Function, asked: _Configuration) -> Function:
    return msgspec.structs.replace(
        function,
        handler=asked.handler or function.handler,
        timeout=asked.timeout or function.timeout,
        memory=asked.memory_size or function.memory,
        environment=function.environment if asked.environment is None else asked.environment.variables,
    )


def _unpack(code: _Code, target: Path) -> str:
    """Unpack a package without paths out of its directory, and return its CodeSha256."""
    try:
        package = base64.b64decode(code.zip_file, validate=True)
        archive = zipfile.ZipFile(io.BytesIO(package))
    except (binascii.Error, ValueError, zipfile.BadZipFile) as error:
        raise invalid_parameter(f"Could not unzip uploaded file: {error}") from error
    with archive:
        members = archive.infolist()
        if sum(member.file_size for member in members) > MAX_UNZIPPED_BYTES:
            raise invalid_parameter(f"Unzipped size must be smaller than {MAX_UNZIPPED_BYTES} bytes")
        for member in members:
            path = PurePosixPath(member.filename)
            if path.is_absolute() or ".." in path.parts or stat.S_ISLNK(member.external_attr >> 16):
                raise invalid_parameter(
                    f"the package has the path {member.filename[:128]!r}, which leads out of it"
                )
        try:
            archive.extractall(target)
        except (zipfile.BadZipFile, OSError, RuntimeError, NotImplementedError) as error:
            raise invalid_parameter(f"Could not unzip uploaded file: {error}") from error
    return code_sha256(package)
