"""Hints for msgspec's errors: what would be valid at the place of the error."""

import re
from typing import Any, Final, Literal, NamedTuple, get_args, get_origin

import msgspec

_PLACE: Final = re.compile(r"(?P<key>`key` in )?`\$(?P<path>[^`]*)`")
_STEP: Final = re.compile(r"\.([^.\[\]]+)|\[(\d+|\.\.\.)\]")
_UNKNOWN: Final = re.compile(r"unknown field `(?P<name>[^`]*)`")
_WORD: Final = (
    "use letters, digits, dots, dashes and underscores, at most 128, beginning with a letter or digit"
)
_FORMS: Final = {
    "name": _WORD,
    "model": _WORD,
    "version": _WORD,
    "sha256": "use 64 lower-case hexadecimal digits",
    "datatype": "use BOOL, BYTES, FP16, FP32, FP64, or INT or UINT with 8, 16, 32 or 64",
    "entry": 'name a module and a callable, as "module:callable"',
    "url": 'use http:// or https:// and a host, as "http://127.0.0.1:8000"',
}
"""Descriptions of texts with a pattern, by member: a regular expression helps no user."""

Path = tuple[str | int, ...]


class FieldError(NamedTuple):
    """A parsed error of msgspec.

    Attributes:
        what: what is wrong.
        path: of the member; an unknown index is 0.
        of_key: whether the error is about a key of the object at `path`.
    """

    what: str
    path: Path
    of_key: bool

    @property
    def unknown(self) -> str | None:
        """The name of an unknown field, if that is the error."""
        found = _UNKNOWN.search(self.what)
        return found and found["name"]

    @property
    def form(self) -> str | None:
        """The description of a text whose pattern does not match, or None."""
        name = next((step for step in reversed(self.path) if isinstance(step, str)), "")
        return _FORMS.get(name) if "matching regex" in self.what else None


def parse_error(error: str) -> FieldError:
    """Parse an error of msgspec, which may be as long as the message that caused it."""
    what, _, place = error.rpartition(" - at ")
    found = _PLACE.fullmatch(place)
    if found is None:
        return FieldError(error, (), of_key=False)
    steps = _STEP.findall(found["path"])
    path = tuple(name or (int(index) if index.isdigit() else 0) for name, index in steps)
    return FieldError(what, path, of_key=found["key"] is not None)


def explain(error: Exception, kind: Any) -> str:
    """Return what is wrong with a body decoded as `kind`, and if known, what would be valid."""
    text = str(error)
    fault = parse_error(text)
    if fault.form is not None:
        return f"{text.replace(fault.what, 'the text has a wrong form', 1)}; {fault.form}"
    right = hint(fault, kind)
    return f"{text}; {right}" if right else text


def hint(fault: FieldError, kind: Any) -> str | None:
    """Return what is valid at the place of an error within `kind`, or None if unknown."""
    if fault.unknown is not None:
        known = members(kind, fault.path)
        return f"valid fields are {', '.join(known)}" if known else None
    if "Invalid enum value" in fault.what:
        values = _choices(_at(kind, fault.path, of_key=fault.of_key))
        return f"use one of {', '.join(map(str, values))}" if values else None
    return fault.form


def members(kind: Any, path: Path) -> list[str]:
    """Return the encoded field names of the structure at `path` within `kind`."""
    found = _at(kind, path)
    for each in (found, *_parts(found)):
        if isinstance(each, type) and issubclass(each, msgspec.Struct):
            return [field.encode_name for field in msgspec.structs.fields(each)]
    return []


def _at(kind: Any, path: Path, *, of_key: bool = False) -> Any:
    """Return the type at `path` within `kind`, or None."""
    for step in path:
        kind = next((inner for each in (kind, *_parts(kind)) if (inner := _inside(each, step))), None)
    if of_key:
        return next((get_args(each)[0] for each in (kind, *_parts(kind)) if get_origin(each) is dict), None)
    return kind


def _inside(kind: Any, step: str | int) -> Any:
    """Return the type of a member or element of `kind`, or None."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        fields = msgspec.structs.fields(kind)
        return next((field.type for field in fields if field.encode_name == step), None)
    if get_origin(kind) in (list, tuple):
        return get_args(kind)[0]
    return get_args(kind)[1] if get_origin(kind) is dict else None


def _parts(kind: Any) -> list[Any]:
    """Return the members of a union or annotated type, recursively."""
    if get_origin(kind) in (list, tuple, dict, Literal):
        return []
    return [part for each in get_args(kind) for part in (each, *_parts(each))]


def _choices(kind: Any) -> list[Any]:
    """Return the values of the literals in a type."""
    parts = (kind, *_parts(kind))
    return [value for each in parts if get_origin(each) is Literal for value in get_args(each)]
