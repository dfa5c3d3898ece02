"""The image of a model for an engine, with all that it takes: base image, wheels, build."""

import hashlib
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from modelkit.package.image import REQUIREMENTS, package_image
from script.stack.engine_home import ROOT, base
from script.stack.failure import StackError


def build_image(bundle: Path, tag: str, environ: Mapping[str, str], root: Path = ROOT) -> str:
    """Build the image of a bundle as `tag` on the engine of `environ`, and return its id.

    Base image and wheels are kept in the checkout's cache and in the engine: only the first time is long.

    Raises:
        StackError: the base image or the wheels cannot be had.
        StraightLineError: the image cannot be built.
    """
    return package_image(
        bundle,
        base=base(root, environ),
        wheelhouse=provide_wheels(root / ".straightline" / "cache"),
        tag=tag,
        environ=environ,
    )


def provide_wheels(cache: Path) -> Path:
    """Fetch the wheels of a model server's packages, once for each state of the list; return where."""
    digest = hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()[:16]
    target = cache / f"wheels-{digest}-py{sys.version_info.major}{sys.version_info.minor}"
    if target.is_dir():
        return target
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="wheels-", dir=cache) as scratch:
        fresh = Path(scratch) / "fresh"
        done = subprocess.run(
            [
                *(sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--quiet"),
                *("--require-hashes", "--only-binary=:all:", "-r", str(REQUIREMENTS), "-d", str(fresh)),
            ],
            check=False,
            capture_output=True,
            text=True,
        )
        if done.returncode != 0:
            raise StackError(f"the wheels of {REQUIREMENTS} cannot be fetched:\n{done.stderr[-2000:]}")
        if not target.is_dir():
            fresh.replace(target)
    return target
