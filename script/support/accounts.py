"""System accounts of the services: Postgres refuses to run as root, and RabbitMQ should not."""

import os
import pwd
import re
import shutil
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path

from script.support.errors import StackError

_PLAIN = re.compile(r"[A-Za-z0-9/._+-]+")


@dataclass(frozen=True)
class Account:
    """A system user; `switch` says whether processes must change to it."""

    name: str
    uid: int
    gid: int
    switch: bool

    def give(self, path: Path) -> None:
        """Make this account the owner of `path` and everything below."""
        if not self.switch:
            return
        os.chown(path, self.uid, self.gid)
        for parent, directories, files in os.walk(path):
            for name in (*directories, *files):
                os.chown(Path(parent, name), self.uid, self.gid, follow_symlinks=False)


def account(name: str) -> Account:
    """Return the account for a service: its own as root, the current user otherwise.

    Raises:
        StackError: called as root, and the account is missing.
    """
    if os.geteuid() != 0:
        return Account(pwd.getpwuid(os.geteuid()).pw_name, os.geteuid(), os.getegid(), switch=False)
    try:
        entry = pwd.getpwnam(name)
    except KeyError as error:
        raise StackError(
            f"no user {name!r} on this system: the service's package creates it. Install the package"
        ) from error
    return Account(name, entry.pw_uid, entry.pw_gid, switch=True)


def service_home(run: Path) -> Path:
    """Create a directory that the services can use: below `run`, otherwise below /var/tmp.

    Their accounts must be able to reach it, and their settings cannot contain a path with spaces.
    """
    if _PLAIN.fullmatch(str(run)) and (os.geteuid() != 0 or _open_to_all(run)):
        home = run / "services"
        home.mkdir(mode=0o711)
    else:
        home = Path(tempfile.mkdtemp(prefix="straightline-", dir=_large_temporary()))
    home.chmod(0o711)
    return home


def remove(path: Path) -> None:
    """Remove a directory tree; a missing one is not an error."""
    shutil.rmtree(path, ignore_errors=True)


def _open_to_all(path: Path) -> bool:
    return all(parent.stat().st_mode & stat.S_IXOTH for parent in (path, *path.parents))


def _large_temporary() -> Path:
    persistent = Path("/var/tmp")  # noqa: S108 - mkdtemp makes a private directory in it
    return persistent if persistent.is_dir() else Path(tempfile.gettempdir())
