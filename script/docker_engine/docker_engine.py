"""`script/engine`: start and stop a Docker engine private to this checkout."""

import argparse
import fcntl
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

import docker

from script.docker_engine import dockerd
from script.docker_engine.base_image import provide_base
from script.docker_engine.engine_packages import ENGINE_PROGRAMS, install_missing
from script.support.errors import StackError

ROOT: Final = Path(__file__).resolve().parents[2]


@contextmanager
def engine(root: Path = ROOT) -> Iterator[Mapping[str, str]]:
    """Provide a running engine while the block lasts; yield the variables that select it.

    An engine that already answers is used. Otherwise this checkout's private engine is started; it stops with
    its last user unless `up` started it.

    Raises:
        StackError: no engine answers, and none can be started.
    """
    if dockerd.answers(None):
        yield {}
        return
    home = _home(root)
    with (home / "users.lock").open("w") as users:
        # Users hold the lock shared; the one that can get it exclusively is the last.
        fcntl.flock(users, fcntl.LOCK_SH)
        try:
            yield {"DOCKER_HOST": _started(home).url}
        finally:
            if not (home / "persistent").exists() and _is_last_user(users):
                _stop(home)


def up(root: Path) -> str:
    """Start the private engine unless one answers; return its URL, empty if another answers."""
    if dockerd.answers(None):
        return ""
    home = _home(root)
    (home / "persistent").touch()
    return _started(home).url


def down(root: Path) -> None:
    """Stop the private engine, if any."""
    home = _home(root)
    (home / "persistent").unlink(missing_ok=True)
    _stop(home)


def base(root: Path, environ: Mapping[str, str]) -> str:
    """Load the base image into the engine of `environ` and return its name."""
    client = docker.from_env(environment=dict(environ))
    try:
        with _exclusive(_home(root) / "base.lock"):
            return provide_base(client, root / ".straightline" / "cache")
    finally:
        client.close()


def _started(home: Path) -> dockerd.Engine:
    with _exclusive(home / "start.lock"):
        known = dockerd.Engine.read(home / "engine.json")
        if known is not None:
            if known.process.alive() and dockerd.answers(known.url):
                return known
            dockerd.stop(known, home)  # cleans up after a crash
        install_missing(ENGINE_PROGRAMS)
        return dockerd.start(home)


def _stop(home: Path) -> None:
    with _exclusive(home / "start.lock"):
        known = dockerd.Engine.read(home / "engine.json")
        if known is not None:
            dockerd.stop(known, home)


def _home(root: Path) -> Path:
    home = root / ".straightline" / "engine"
    home.mkdir(parents=True, exist_ok=True)
    return home


def _is_last_user(lock: IO[str]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def _exclusive(file: Path) -> Iterator[None]:
    with file.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def main() -> int:
    """Run the command; its standard output is for `eval` in a shell."""
    parser = argparse.ArgumentParser(prog="script/engine", description=__doc__)
    parser.add_argument(
        "command",
        choices=("up", "down", "base"),
        help="up: start the engine, print its variable; down: stop it; base: up, and make the base image",
    )
    command = parser.parse_args().command
    try:
        if command == "down":
            down(ROOT)
            return 0
        url = up(ROOT)
        if url:
            print(f"export DOCKER_HOST={url}")
        if command == "base":
            environ = {**os.environ, **({"DOCKER_HOST": url} if url else {})}
            print(f"# base image: {base(ROOT, environ)}")
    except StackError as error:
        print(f"script/engine {command} failed: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
