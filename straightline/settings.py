"""Settings: environment variables, decoded into a typed structure when a process starts."""

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
    """Decode the environment variables named `prefix` + FIELD into `structure`.

    Args:
        structure: a msgspec Struct; fields without a default are required.
        environ: usually `os.environ`, passed by the entry point.
        prefix: of the variable names.

    Raises:
        ConfigurationError: a variable is missing or has the wrong type; the message names it.
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
        raise ConfigurationError(_message(error, structure, prefix)) from error


def _message(error: msgspec.ValidationError, structure: type[Any], prefix: str) -> str:
    """Translate an error of msgspec into the name of the variable, what is wrong and what is valid."""
    fault = parse_error(str(error))
    if not fault.path:
        return f"a setting is invalid: {error}"
    what = _KIND.sub(lambda kind: _WORDS[kind[1]], _GOT.sub("", fault.what))
    right = hint(fault, structure)
    text = f"{prefix}{str(fault.path[0]).upper()} is invalid: {what[:1].lower()}{what[1:]}"
    return f"{text}; {right}" if right else text


def _from_text(kind: type[Any], value: str) -> Any:
    """Convert a text into a type that msgspec does not know."""
    if kind is Path:
        return Path(value)
    raise NotImplementedError(kind)
