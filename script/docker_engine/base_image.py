"""Base image for models, made with debootstrap from this machine's distribution and mirror."""

import os
import re
import subprocess
import tempfile
from pathlib import Path
from typing import Final

import docker
from docker.errors import ImageNotFound

from script.docker_engine.engine_packages import BASE_IMAGE_PROGRAMS, PROGRAM_PATH, install_missing
from script.support.errors import StackError

TAG: Final = "straightline-base:latest"
_PACKAGES: Final = "python3,python3-venv"
_SKIPPED: Final = (
    "./var/cache/apt",
    "./var/lib/apt/lists",
    "./usr/share/doc",
    "./usr/share/man",
    "./usr/share/locale",
)


def provide_base(client: docker.DockerClient, cache: Path) -> str:
    """Load a Debian image with Python into the engine, cached in `cache`; return its name.

    Raises:
        StackError: it cannot be made.
    """
    try:
        client.images.get(TAG)
    except ImageNotFound:
        file = cache / f"base-{_codename()}.tar"
        if not file.is_file():
            _make(file)
        repository, _, tag = TAG.partition(":")
        client.api.import_image_from_file(str(file), repository=repository, tag=tag)
    return TAG


def _make(file: Path) -> None:
    install_missing(BASE_IMAGE_PROGRAMS)
    if os.geteuid() != 0:
        raise StackError(
            f"making the base image needs root. Or tag any image with python3 and venv in the engine as {TAG}"
        )
    file.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="base-", dir=file.parent) as scratch:
        root, draft = Path(scratch) / "root", Path(scratch) / "draft.tar"
        done = subprocess.run(
            ["debootstrap", "--variant=minbase", f"--include={_PACKAGES}", _codename(), str(root), _mirror()],
            check=False,
            capture_output=True,
            text=True,
            env={**os.environ, **_proxies(), "PATH": PROGRAM_PATH},
        )
        if done.returncode != 0:
            raise StackError(f"debootstrap failed:\n{(done.stdout + done.stderr)[-2000:]}")
        subprocess.run(
            ["tar", "-C", str(root), *(f"--exclude={path}/*" for path in _SKIPPED), "-cf", str(draft), "."],
            check=True,
        )
        draft.replace(file)


def _codename() -> str:
    text = Path("/etc/os-release").read_text(encoding="utf-8")
    found = re.search(r'^VERSION_CODENAME="?([a-z]+)"?$', text, re.MULTILINE)
    if found is None:
        raise StackError("making the base image needs Debian: /etc/os-release has no VERSION_CODENAME")
    return found[1]


def _mirror() -> str:
    """Return the URL of apt's mirror of this release's main packages."""
    listed = subprocess.run(
        [
            "apt-get",
            "indextargets",
            "--format",
            "$(REPO_URI) $(RELEASE) $(COMPONENT)",
            "Created-By: Packages",
        ],
        check=False,
        capture_output=True,
        text=True,
    )
    for line in listed.stdout.splitlines():
        uri, release, component = line.rsplit(" ", 2)
        if (release, component) == (_codename(), "main"):
            return uri
    raise StackError(
        f"apt has no source of {_codename()} main. Run apt-get update, or add one to apt's sources"
    )


def _proxies() -> dict[str, str]:
    """Return apt's proxies as variables; debootstrap does not read apt's configuration."""
    done = subprocess.run(
        ["apt-config", "shell", "http_proxy", "Acquire::http::Proxy", "https_proxy", "Acquire::https::Proxy"],
        check=False,
        capture_output=True,
        text=True,
    )
    return dict(re.findall(r"^(\w+)='(.*)'$", done.stdout, re.MULTILINE))
