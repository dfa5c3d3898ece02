"""Parser of `model.toml`, with errors that name the line and the fix."""

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
    """Parse the text of a `model.toml`.

    Raises:
        ConfigurationError: it is not TOML, or a member is unknown, missing or invalid.
    """
    try:
        return _checked(msgspec.convert(tomllib.loads(text), ModelFile))
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"it is not TOML: {error}") from error
    except msgspec.ValidationError as error:
        raise ConfigurationError(_explain(str(error), text)) from error


def _checked(file: ModelFile) -> ModelFile:
    """Check that the members are consistent."""
    needs = {"onnx": "artifact", "python": "entry", "external": "url"}
    wanted = needs[file.flavour]
    examples = {"artifact": '"model.onnx"', "entry": '"model:predict"', "url": '"http://127.0.0.1:8000"'}
    if getattr(file, wanted) is None:
        raise ConfigurationError(
            f'flavour = "{file.flavour}" needs {wanted}: add it, for example {wanted} = {examples[wanted]}'
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
        raise ConfigurationError('only the local pool calls an external model: set backends = ["local"]')
    if file.warm.maximum is not None and file.warm.minimum > file.warm.maximum:
        raise ConfigurationError(
            "[warm] has a minimum above its maximum: lower the minimum or raise the maximum"
        )
    for kind, tensors in (("inputs", file.inputs), ("outputs", file.outputs)):
        names = [tensor.name for tensor in tensors]
        if not names or len(set(names)) != len(names):
            raise ConfigurationError(f"[[{kind}]] needs at least one tensor and unique names; it has {names}")
    return file


def _explain(error: str, text: str) -> str:
    fault = parse_error(error)
    path = fault.path
    if fault.unknown is not None:
        name = fault.unknown
        return f"{_where(text, (*path, name))}{_title((*path, name))} is unknown; {_advice(path, name)}"
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
    return f"remove it; valid members are {', '.join(known)}"


def line_of(text: str, path: Path) -> int | None:
    """Return the line (from 1) of the innermost member of `path` that has one, or None."""
    lines = dict(_places(text))
    while path:
        if path in lines:
            return lines[path]
        path = path[:-1]
    return None


def _places(text: str) -> Iterator[tuple[Path, int]]:
    """Yield the path and line of each table and member that has a line of its own."""
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
