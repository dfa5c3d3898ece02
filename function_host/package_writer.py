"""Writing of `function.toml` files in the package directory."""

import json
import shutil
from pathlib import Path

from function_host.packages import Function, find_function
from straightline.support.atomic_directory import replace_directory


def rewrite_description(function: Function) -> Function:
    """Rewrite the `function.toml` of a package and return the new function."""
    with replace_directory(function.directory) as fresh:
        shutil.copytree(function.directory, fresh, dirs_exist_ok=True)
        write_description(function, fresh)
    return read_back(function.directory.parent, function.name)


def write_description(function: Function, target: Path) -> None:
    """Write a `function.toml`. JSON strings and numbers are valid TOML."""
    lines = [
        f"name = {_text(function.name)}",
        f"handler = {_text(function.handler)}",
        f"timeout = {function.timeout:g}",
        f"memory = {function.memory}",
        f"code = {_text(function.code)}",
        f"minimum = {function.minimum}",
        *([f"maximum = {function.maximum}"] if function.maximum is not None else ()),
        *([f"idle = {float(function.idle)}"] if function.idle is not None else ()),
        "[environment]",
        *(f"{_text(name)} = {_text(value)}" for name, value in function.environment.items()),
    ]
    (target / "function.toml").write_text("\n".join([*lines, ""]), encoding="utf-8")


def _text(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def read_back(packages: Path, name: str) -> Function:
    """Read a function that was just written."""
    function = find_function(packages, name)
    if function is None:
        raise AssertionError("a package disappeared right after it was written")
    return function
