"""The code that a served model needs, and nothing beside it."""

import shutil
from pathlib import Path
from typing import Final

import modelkit
import straightline

MODELKIT: Final = ("bundle.py", "serve")
STRAIGHTLINE: Final = (
    "catalogue.py",
    "contracts",
    "errors.py",
    "ids.py",
    "listening.py",
    "model_file.py",
    "names.py",
    "settings.py",
)


def copy_code(target: Path, *, also: tuple[str, ...] = ()) -> None:
    """Copy the serving code into `target` as the packages `modelkit` and `straightline`.

    The packages' own `__init__.py` stay empty there: what the published one offers (the producer SDK) needs
    libraries that a model server has no use for.

    Args:
        target: a directory.
        also: more members of `modelkit`.
    """
    _copy(_home(modelkit.__file__), target / "modelkit", (*MODELKIT, *also))
    _copy(_home(straightline.__file__), target / "straightline", STRAIGHTLINE)


def _home(file: str | None) -> Path:
    if file is None:
        raise RuntimeError("the package has no __init__.py: this checkout is damaged")
    return Path(file).parent


def _copy(source: Path, target: Path, members: tuple[str, ...]) -> None:
    target.mkdir(parents=True, exist_ok=True)
    (target / "__init__.py").touch()
    for member in members:
        if (source / member).is_dir():
            shutil.copytree(
                source / member, target / member, ignore=shutil.ignore_patterns("__pycache__", "*.pyc")
            )
        else:
            shutil.copyfile(source / member, target / member)
