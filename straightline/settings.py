"""Settings from environment variables into a typed structure, read once where a process starts."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from straightline.contracts.parsing.error_hints import hint, parse_error
from straightline.errors import ConfigurationError

T = TypeVar("T", bound=msgspec.Struct)
_GOT: Final = re.compile(r", got `\w+`")
_KIND: Final = re.compile(r"`(float|int|bool)( \| null)?`")
_WORDS: Final = {"float": "a number", "int": "a whole number", "bool": "true or false"}


def load(structure: type[T], environ: Mapping[str, str], prefix: str = "STRAIGHTLINE_") -> T:
    """Fill `structure` from the variables named `prefix` + the field's name in capitals.

    Args:
        structure: a msgspec Struct; a field without a default is required.
        environ: usually `os.environ`, given by the entry point.
        prefix: what the names begin with.

    Raises:
        ConfigurationError: a variable is missing, or is not of the field's type; the message names it.
    """
    values = {}
    for field in msgspec.structs.fields(structure):
        name = prefix + field.encode_name.upper()
        if environ.get(name, "") != "":
            values[field.encode_name] = environ[name]
        elif field.required:
            msg = f"the environment variable {name} is not set; `script/up` writes it to .straightline/env"
            raise ConfigurationError(msg)
    try:
        return msgspec.convert(values, structure, strict=False, dec_hook=_from_text)
    except msgspec.ValidationError as error:
        raise ConfigurationError(_told(error, structure, prefix)) from error


def _told(error: msgspec.ValidationError, structure: type[Any], prefix: str) -> str:
    """Say which variable is wrong, and what it takes, of what msgspec says of a field."""
    fault = parse_error(str(error))
    if not fault.path:
        return f"a setting cannot be used: {error}"
    what = _KIND.sub(lambda kind: _WORDS[kind[1]], _GOT.sub("", fault.what))
    right = hint(fault, structure)
    told = f"{prefix}{str(fault.path[0]).upper()} cannot be used: {what[:1].lower()}{what[1:]}"
    return f"{told}; {right}" if right else told


def _from_text(kind: type[Any], value: str) -> Any:
    """Make what msgspec does not know; a wrong text is the type's own error."""
    if kind is Path:
        return Path(value)
    raise NotImplementedError(kind)
