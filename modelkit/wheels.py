"""Wheels of a hashed list of packages: fetched once through pip, and unpacked where only files are wanted."""

import hashlib
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path

from straightline.errors import ConfigurationError
from straightline.support.atomic_directory import replace_directory


def download_wheels(lists: Sequence[Path], cache: Path) -> Path:
    """Fetch the wheels of these lists, once for each state of them; return their directory.

    Each list is taken as it is: what it does not name is not fetched.

    Args:
        lists: files of pinned packages with their hashes.
        cache: where directories of wheels are kept.

    Raises:
        ConfigurationError: pip cannot fetch them; the message has the end of what it says.
    """
    target = cache / f"wheels-{_digest(lists)}-py{sys.version_info.major}{sys.version_info.minor}"
    if target.is_dir():
        return target
    with replace_directory(target) as fresh:
        for each in lists:
            # One by one: two lists may have the same package, each with the hashes of its own choice.
            run_pip(
                *("download", "--no-deps", "--require-hashes", "--only-binary=:all:"),
                *("-r", str(each), "-d", str(fresh)),
                what=f"the wheels of {each} cannot be fetched",
            )
    return target


def wheelhouse_for(lists: Sequence[Path], cache: Path, wheelhouse: Path | None) -> Path | None:
    """Return where the wheels of these lists are: the wheelhouse, or else the cache, filled through pip.

    With a wheelhouse nothing is fetched. None where there is no list.

    Raises:
        ConfigurationError: pip cannot fetch them.
    """
    if wheelhouse is not None or not lists:
        return wheelhouse
    return download_wheels(lists, cache)


def unpack_wheels(listed: Path, cache: Path, wheelhouse: Path | None) -> Path:
    """Return a directory with the files of the packages of a list; nothing is installed.

    Args:
        listed: pinned packages with their hashes.
        cache: where it is kept.
        wheelhouse: directory that has the wheels; None fetches them.

    Raises:
        ConfigurationError: a wheel is missing or is not the one that the list means.
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
            what=f"the wheels of {listed} cannot be had",
        )
        for wheel in wheels.glob("*.whl"):
            with zipfile.ZipFile(wheel) as archive:
                archive.extractall(fresh)
    return target


def install_wheels(lists: Sequence[Path], wheelhouse: Path, target: Path) -> None:
    """Install the packages of these lists into a plain directory, from the wheelhouse alone.

    Raises:
        ConfigurationError: a wheel is missing or is not the one that a list means.
    """
    for each in lists:
        run_pip(
            *("install", "--no-deps", "--no-index", "--find-links", str(wheelhouse), "--no-compile"),
            *("--target", str(target), "--no-cache-dir", "-r", str(each)),
            what=f"the packages of {each} cannot be installed from {wheelhouse}: fill it with `pip download "
            f"--no-deps -r {each} -d {wheelhouse}`",
        )


def run_pip(*arguments: str, what: str) -> None:
    """Run pip of this interpreter.

    Raises:
        ConfigurationError: it fails; the message is `what` and the end of what pip says.
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
