"""Reads the text of a `model.toml`; what is wrong is told with its line and with what mends it. Pure."""

import difflib
import re
import tomllib
from collections.abc import Iterator
from typing import Final

import msgspec

from straightline.contracts.model import ModelFile
from straightline.contracts.parsing.error_hints import Path, hint, members, parse_error
from straightline.errors import ConfigurationError

_MISSING: Final = re.compile(r"missing required field `(?P<name>[^`]*)`")
_HEADER: Final = re.compile(r"^\s*(?P<open>\[\[?)\s*(?P<name>[A-Za-z0-9_.\-]+)\s*\]\]?\s*(?:#.*)?$")
_MEMBER: Final = re.compile(r"^\s*[\"']?(?P<name>[A-Za-z0-9_\-]+)[\"']?\s*[.=]")


def decode_model_file(text: str) -> ModelFile:
    """Read a `model.toml`.

    Raises:
        ConfigurationError: it is not TOML, or a member is unknown, missing or wrong.
    """
    try:
        return _checked(msgspec.convert(tomllib.loads(text), ModelFile))
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"it is not TOML: {error}") from error
    except msgspec.ValidationError as error:
        raise ConfigurationError(_explain(str(error), text)) from error


def _checked(file: ModelFile) -> ModelFile:
    """Hold the members against each other."""
    needs = {"onnx": "artifact", "python": "entry", "external": "url"}
    wanted = needs[file.flavour]
    examples = {"artifact": '"model.onnx"', "entry": '"model:predict"', "url": '"http://127.0.0.1:8000"'}
    if getattr(file, wanted) is None:
        raise ConfigurationError(
            f'it has flavour = "{file.flavour}" and needs {wanted} = {examples[wanted]} (a value of yours)'
        )
    allowed = {"onnx": ["artifact"], "python": ["artifact", "entry", "requirements"], "external": ["url"]}
    for member in ("artifact", "entry", "requirements", "url"):
        if getattr(file, member) is not None and member not in allowed[file.flavour]:
            raise ConfigurationError(
                f'{member} has no meaning with flavour = "{file.flavour}": remove it, or change the flavour'
            )
    if file.flavour == "external" and file.train is not None:
        raise ConfigurationError("an external model is not trained here: remove [train]")
    if file.flavour == "external" and file.backends != ("local",):
        raise ConfigurationError(
            'an external model is asked by the local pool and runs nowhere else: set backends = ["local"]'
        )
    if file.warm.maximum is not None and file.warm.minimum > file.warm.maximum:
        raise ConfigurationError("[warm] has a minimum above its maximum: lower the one or raise the other")
    for kind, tensors in (("inputs", file.inputs), ("outputs", file.outputs)):
        names = [tensor.name for tensor in tensors]
        if not names or len(set(names)) != len(names):
            raise ConfigurationError(f"[[{kind}]] must name at least one tensor, and each name once: {names}")
    return file


def _explain(error: str, text: str) -> str:
    fault = parse_error(error)
    path = fault.path
    if fault.unknown is not None:
        name = fault.unknown
        return f"{_where(text, (*path, name))}{_title((*path, name))} is not known; {_advice(path, name)}"
    if missing := _MISSING.search(error):
        return f"{_where(text, path)}{_title((*path, missing['name']))} is missing: add it"
    right = hint(fault, ModelFile)
    what = fault.form or (f"{fault.what}; {right}" if right else fault.what)
    return f"{_where(text, path)}{_title(path)}: {what}"


def _where(text: str, path: Path) -> str:
    line = line_of(text, path)
    return "" if line is None else f"line {line}: "


def _title(path: Path) -> str:
    words = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return words.lstrip(".") or "the file"


def _advice(path: Path, name: str) -> str:
    known = members(ModelFile, path)
    close = difflib.get_close_matches(name, known, 1)
    if close:
        return f"did you mean {close[0]}?"
    return f"remove it; known are {', '.join(known)}"


def line_of(text: str, path: Path) -> int | None:
    """Return the line, from 1, where the innermost member of `path` stands that has one; None for none."""
    lines = dict(_places(text))
    while path:
        if path in lines:
            return lines[path]
        path = path[:-1]
    return None


def _places(text: str) -> Iterator[tuple[Path, int]]:
    """Give each table's and member's path with its line, as far as they stand on lines of their own."""
    table: Path = ()
    counts: dict[str, int] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if header := _HEADER.match(line):
            table = tuple(header["name"].split("."))
            if header["open"] == "[[":
                index = counts.get(header["name"], 0)
                counts[header["name"]] = index + 1
                yield table, number
                table = (*table, index)
            yield table, number
        elif member := _MEMBER.match(line):
            yield (*table, member["name"]), number
