"""The build context of an image: a reproducible tar."""

import re
import tarfile
import tempfile
from pathlib import Path
from typing import IO, Final

from modelkit.package.code import copy_code
from modelkit.package.server import copy_bundle
from straightline.errors import ConfigurationError

_EXECUTABLE_BIT: Final = 0o100
_PACKAGE_NAME: Final = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)", re.MULTILINE)
"""The name at the beginning of a requirement."""


def write_context(
    target: IO[bytes],
    dockerfile: str,
    bundle: Path,
    wheelhouse: Path,
    requirements: Path,
    *,
    own_requirements: str | None = None,
    handler: str | None = None,
) -> None:
    """Write the context as an uncompressed tar.

    Args:
        target: output file.
        dockerfile: text of the Dockerfile.
        bundle: directory of the bundle.
        wheelhouse: directory of wheels.
        requirements: requirements file.
        own_requirements: name of the bundle's own requirements file.
        handler: text of a function's `function.py`; None for a server.

    Raises:
        ConfigurationError: the wheelhouse has no wheel, or the requirements file is missing.
    """
    wheels = _required_wheels(wheelhouse, requirements)
    own = [] if own_requirements is None else named_wheels(wheelhouse, bundle / own_requirements)
    with (
        tempfile.TemporaryDirectory(prefix="straightline-image-") as scratch,
        # Links would point out of the context, so their targets are added.
        tarfile.open(fileobj=target, mode="w", dereference=True) as tar,
    ):
        work = Path(scratch)
        (work / "Dockerfile").write_text(dockerfile, encoding="utf-8")
        copy_code(work / "code")
        copy_bundle(bundle, work / "bundle")
        if handler is not None:
            (work / "code" / "function.py").write_text(handler, encoding="utf-8")
        tar.add(work / "Dockerfile", "Dockerfile", filter=_normalise)
        tar.add(requirements, "requirements.txt", filter=_normalise)
        for wheel in wheels:
            tar.add(wheel, f"wheelhouse/{wheel.name}", filter=_normalise)
        for wheel in own:
            tar.add(wheel, f"own-wheelhouse/{wheel.name}", filter=_normalise)
        tar.add(work / "code", "code", filter=_normalise)
        tar.add(work / "bundle", "bundle", filter=_normalise)


def _required_wheels(wheelhouse: Path, requirements: Path) -> list[Path]:
    if not requirements.is_file():
        raise ConfigurationError(f"the image cannot be built: there is no requirements file {requirements}")
    wheels = named_wheels(wheelhouse, requirements)
    if not wheels:
        raise ConfigurationError(
            f"there is no wheel in {wheelhouse}. Fill it with `pip download --only-binary=:all: -r "
            f"{requirements} -d {wheelhouse}`"
        )
    return wheels


def named_wheels(wheelhouse: Path, requirements: Path) -> list[Path]:
    """Return the wheels of the packages in a requirements file, sorted by name.

    Other wheels of the wheelhouse would change the layers that images share.
    """
    listed = _PACKAGE_NAME.findall(requirements.read_text(encoding="utf-8"))
    names = {re.sub(r"[-_.]+", "_", name).lower() for name in listed}
    return [
        wheel for wheel in sorted(wheelhouse.glob("*.whl")) if wheel.name.split("-", 1)[0].lower() in names
    ]


def _normalise(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    """Drop caches, and normalise what differs between machines: owners, times and modes."""
    if "__pycache__" in Path(member.name).parts:
        return None
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    member.mtime = 0
    member.mode = 0o755 if member.isdir() or member.mode & _EXECUTABLE_BIT else 0o644
    return member
