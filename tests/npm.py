"""npm packages for tests, installed from a lock file and cached."""

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).resolve().parents[1]


def node_modules(folder: Path) -> Path:
    """Return the `node_modules` of the package in `folder`; skip the test if Node is missing."""
    missing = [name for name in ("node", "npm") if shutil.which(name) is None]
    if missing:
        pytest.skip(f"{' and '.join(missing)} not installed (Debian: nodejs, npm)")
    files = [folder / name for name in ("package.json", "package-lock.json", ".npmrc")]
    digest = hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:16]
    cache = Path(os.environ.get("STRAIGHTLINE_STATE") or ROOT / ".straightline") / "npm"
    wanted = cache / digest / "node_modules"
    if wanted.is_dir():
        return wanted
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as made:
        for file in files:
            shutil.copy(file, made)
        done = subprocess.run(
            ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"],
            cwd=made,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        wanted.parent.mkdir(exist_ok=True)
        # A concurrent run may have installed the same.
        if not wanted.is_dir():
            (Path(made) / "node_modules").rename(wanted)
    return wanted
