"""Reproducible zip archives for AWS Lambda: the function package with all libraries."""

import compileall
import py_compile
import shutil
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Final

from model_server.models.bundle import read_bundle
from modelkit.package.function import check_servable, function_name, write_package
from modelkit.package.requirement_files import REQUIREMENTS
from modelkit.wheels import install_wheels
from straightline.errors import ConfigurationError

MAX_UNZIPPED_BYTES: Final = 250 * 1024 * 1024
"""Lambda's limit of an unzipped package."""
_ZIP_EPOCH: Final = (1980, 1, 1, 0, 0, 0)


def package_archive(
    bundle: Path,
    out: Path,
    *,
    wheelhouse: Path,
    memory: int | None = None,
    requirements: Sequence[Path] = (REQUIREMENTS,),
) -> Path:
    """Write `out/<function name>-<version>.zip`, for Lambda with the Python version of this interpreter.

    Args:
        bundle: directory of the bundle.
        out: directory of archives.
        wheelhouse: directory with the wheels of all requirements, including the model's own.
        memory: memory of an instance in MiB; None takes the model's own.
        requirements: requirements files to install, beside the model's own.

    Raises:
        ConfigurationError: the bundle or the wheelhouse is unusable, `out` cannot be written, or the archive
            is too large for Lambda.
    """
    source = read_bundle(bundle)
    check_servable(source)
    target = out / f"{function_name(source.spec.name)}-{source.spec.version}.zip"
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".archive-", dir=out) as scratch:
            content, draft = Path(scratch) / "content", Path(scratch) / "draft.zip"
            content.mkdir()
            install_wheels(requirements, wheelhouse, content)
            _remove_unused_files(content)
            write_package(content, source, memory=memory, wheelhouse=wheelhouse)
            _compile(content)
            _check_size(content, target.name)
            write_archive(content, draft)
            draft.replace(target)
    except OSError as error:
        raise ConfigurationError(f"the archive cannot be written to {out}: {error}") from error
    return target


def write_archive(content: Path, target: Path | IO[bytes]) -> None:
    """Write a directory as a zip that depends only on names and contents."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        for file in sorted(path for path in content.rglob("*") if path.is_file()):
            member = zipfile.ZipInfo(file.relative_to(content).as_posix(), _ZIP_EPOCH)
            member.compress_type = zipfile.ZIP_DEFLATED
            member.external_attr = (0o100755 if file.stat().st_mode & 0o100 else 0o100644) << 16
            archive.writestr(member, file.read_bytes())


def _remove_unused_files(content: Path) -> None:
    """Remove files that no function needs: scripts with this machine's paths, and tests of libraries."""
    for folder in [content / "bin", *content.rglob("tests")]:
        shutil.rmtree(folder, ignore_errors=True)


def _compile(content: Path) -> None:
    """Compile all modules; on Lambda the sources never change, so they are not checked again."""
    compileall.compile_dir(
        content,
        quiet=2,
        force=True,
        stripdir=content,
        prependdir="/var/task",
        invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
    )


def _check_size(content: Path, name: str) -> None:
    size = sum(path.stat().st_size for path in content.rglob("*") if path.is_file())
    if size > MAX_UNZIPPED_BYTES:
        raise ConfigurationError(
            f"{name} is too large: {size:,} bytes unzipped, and Lambda's limit is {MAX_UNZIPPED_BYTES:,}. "
            "Compress the model, or use the form function-image"
        )
