"""Download, unpacking and installation of the wheels in a hashed requirements file, through pip."""

import hashlib
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path

from straightline.errors import ConfigurationError
from straightline.support.atomic_directory import replace_directory


def download_wheels(lists: Sequence[Path], cache: Path) -> Path:
    """Download the wheels of requirements files into a cached directory, and return it.

    Dependencies that a file does not list are not downloaded.

    Args:
        lists: requirements files with pinned and hashed packages.
        cache: directory of the cache; an entry is reused until a file changes.

    Raises:
        ConfigurationError: pip failed; the message has the end of its output.
    """
    target = cache / f"wheels-{_digest(lists)}-py{sys.version_info.major}{sys.version_info.minor}"
    if target.is_dir():
        return target
    with replace_directory(target) as fresh:
        for each in lists:
            # One by one: two files may list the same package with different hashes.
            run_pip(
                *("download", "--no-deps", "--require-hashes", "--only-binary=:all:"),
                *("-r", str(each), "-d", str(fresh)),
                what=f"the wheels of {each} cannot be downloaded",
            )
    return target


def wheelhouse_for(lists: Sequence[Path], cache: Path, wheelhouse: Path | None) -> Path | None:
    """Return the directory with the wheels of requirements files; None if there are no files.

    It is the wheelhouse if given, without any download, else the cache.

    Raises:
        ConfigurationError: pip cannot download the wheels.
    """
    if wheelhouse is not None or not lists:
        return wheelhouse
    return download_wheels(lists, cache)


def unpack_wheels(listed: Path, cache: Path, wheelhouse: Path | None) -> Path:
    """Unpack the wheels of a requirements file into a cached directory, without installing them.

    Args:
        listed: requirements file with pinned and hashed packages.
        cache: directory of the cache.
        wheelhouse: directory with the wheels; None downloads them.

    Raises:
        ConfigurationError: a wheel is missing or has another hash.
    """
    target = cache / f"unpacked-{_digest([listed])}"
    if target.is_dir():
        return target
    with replace_directory(target) as fresh:
        wheels = fresh.with_name("wheels")
        source = () if wheelhouse is None else ("--no-index", "--find-links", str(wheelhouse))
        run_pip(
            *("download", "--no-deps", "--require-hashes", "--only-binary=:all:", *source),
            *("-r", str(listed), "-d", str(wheels)),
            what=f"the wheels of {listed} cannot be downloaded",
        )
        for wheel in wheels.glob("*.whl"):
            with zipfile.ZipFile(wheel) as archive:
                archive.extractall(fresh)
    return target


def install_wheels(lists: Sequence[Path], wheelhouse: Path, target: Path) -> None:
    """Install the packages of requirements files into a plain directory, only from the wheelhouse.

    Raises:
        ConfigurationError: a wheel is missing or has another hash.
    """
    for each in lists:
        run_pip(
            *("install", "--no-deps", "--no-index", "--find-links", str(wheelhouse), "--no-compile"),
            *("--target", str(target), "--no-cache-dir", "-r", str(each)),
            what=f"the packages of {each} cannot be installed from {wheelhouse}. Fill it with `pip download "
            f"--no-deps -r {each} -d {wheelhouse}`",
        )


def run_pip(*arguments: str, what: str) -> None:
    """Run pip with this interpreter.

    Raises:
        ConfigurationError: pip failed; the message is `what` and the end of pip's output.
    """
    done = subprocess.run(
        [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", *arguments],
        check=False,
        capture_output=True,
        text=True,
    )
    if done.returncode != 0:
        raise ConfigurationError(f"{what}:\n{(done.stderr or done.stdout).strip()[-1500:]}")


def _digest(lists: Sequence[Path]) -> str:
    total = hashlib.sha256()
    for each in lists:
        total.update(each.read_bytes() + b"\0")
    return total.hexdigest()[:16]
