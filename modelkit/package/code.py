"""Copies of the code that a served model needs."""

import shutil
from pathlib import Path
from typing import Final

import model_server
import modelkit
import straightline

STRAIGHTLINE_MEMBERS: Final = (
    "contracts",
    "errors.py",
    "ids.py",
    "models",
    "names.py",
    "settings.py",
    "support",
)
"""Members of `straightline` that a model server imports."""


def copy_code(target: Path, *, also: tuple[str, ...] = ()) -> None:
    """Copy the serving code into `target` as the packages `model_server` and `straightline`.

    The copied `straightline/__init__.py` is empty, since the SDK needs libraries that a model server does not
    have.

    Args:
        target: the directory.
        also: members of `modelkit` to copy as well.
    """
    _copy(_package_directory(model_server.__file__), target / "model_server")
    _copy(_package_directory(straightline.__file__), target / "straightline", STRAIGHTLINE_MEMBERS)
    if also:
        _copy(_package_directory(modelkit.__file__), target / "modelkit", also)


def _package_directory(file: str | None) -> Path:
    if file is None:
        raise RuntimeError("the package has no __init__.py: the checkout is damaged")
    return Path(file).parent


def _copy(source: Path, target: Path, members: tuple[str, ...] | None = None) -> None:
    if members is None:
        members = tuple(
            each.name for each in source.iterdir() if each.name not in {"__init__.py", "__pycache__"}
        )
    target.mkdir(parents=True, exist_ok=True)
    (target / "__init__.py").touch()
    for member in members:
        if (source / member).is_dir():
            shutil.copytree(
                source / member, target / member, ignore=shutil.ignore_patterns("__pycache__", "*.pyc")
            )
        else:
            shutil.copyfile(source / member, target / member)
