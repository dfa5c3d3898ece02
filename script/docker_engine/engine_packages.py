"""The programs of a private engine and of its base image, installed when they are first needed."""

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
    """Install the packages of `script/engine` where one of the programs is missing.

    Raises:
        StackError: they cannot be installed here.
    """
    missing = _missing(programs)
    if not missing:
        return
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise StackError(
            f"{', '.join(missing)} are missing, and only root can install them, with Debian's packages; the "
            "other way is DOCKER_HOST with an engine that runs"
        )
    done = subprocess.run([str(_COMMAND), "packages"], check=False, stdout=sys.stderr)
    if done.returncode != 0 or _missing(missing):
        raise StackError(f"the packages of a Docker engine could not be installed: {', '.join(missing)}")


def _missing(programs: Iterable[str]) -> list[str]:
    return [name for name in programs if shutil.which(name, path=PROGRAM_PATH) is None]
