"""Settings from environment variables into a typed structure, read once where a process starts."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from straightline.contracts.explaining import explain
from straightline.errors import ConfigurationError

T = TypeVar("T", bound=msgspec.Struct)


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
        raise ConfigurationError(
            f"a setting cannot be used: {explain(error, structure)}; the variable is {prefix}<NAME>"
        ) from error


def _from_text(kind: type[Any], value: str) -> Any:
    """Make what msgspec does not know; a wrong text is the type's own error."""
    if kind is Path:
        return Path(value)
    raise NotImplementedError(kind)
