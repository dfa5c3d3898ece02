"""Programs of a private engine and of its base image, installed on first use."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from script.support.errors import StackError

ENGINE_PROGRAMS: Final = ("dockerd", "containerd", "runc", "ip")
BASE_IMAGE_PROGRAMS: Final = ("debootstrap", "wget")
PROGRAM_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_COMMAND: Final = Path(__file__).parents[1] / "engine"


def install_missing(programs: Iterable[str]) -> None:
    """Install the packages of `script/engine` if a program is missing.

    Raises:
        StackError: they cannot be installed.
    """
    missing = _missing(programs)
    if not missing:
        return
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise StackError(
            f"missing programs: {', '.join(missing)}. Run this as root on Debian to install them, or set "
            "DOCKER_HOST to a running engine"
        )
    done = subprocess.run([str(_COMMAND), "packages"], check=False, stdout=sys.stderr)
    if done.returncode != 0 or _missing(missing):
        raise StackError(f"installing the packages of a Docker engine failed; missing: {', '.join(missing)}")


def _missing(programs: Iterable[str]) -> list[str]:
    return [name for name in programs if shutil.which(name, path=PROGRAM_PATH) is None]
