"""Image names, made from the template, and models, parsed from image names."""

import re
from collections.abc import Iterable

from straightline.errors import ConfigurationError


def image_name(template: str, model: str, version: str) -> str:
    """Return the name of a model's image; Docker requires lower case.

    Raises:
        ConfigurationError: the template has other fields than `{model}` and `{version}`.
    """
    try:
        return _tagged(template).format(model=model.lower(), version=version)
    except (KeyError, IndexError, ValueError) as error:
        raise ConfigurationError(
            f"STRAIGHTLINE_CONTAINER_IMAGE is {template!r}: it may contain only {{model}} and {{version}}"
        ) from error


def models_of(template: str, tags: Iterable[str]) -> list[str] | None:
    """Return the models of these images; None if the template does not contain the model."""
    if "{model}" not in template:
        return None
    pattern = re.escape(_tagged(template))
    for field in ("model", "version"):
        # The first occurrence captures, any other must be equal.
        pattern = pattern.replace(rf"\{{{field}\}}", rf"(?P<{field}>[A-Za-z0-9._-]+)", 1)
        pattern = pattern.replace(rf"\{{{field}\}}", rf"(?P={field})")
    matches = (re.fullmatch(pattern, tag) for tag in tags)
    return sorted({match["model"] for match in matches if match})


def _tagged(template: str) -> str:
    """Add Docker's default tag if there is none, since the engine lists images with their tags."""
    return template if ":" in template.rpartition("/")[2] else f"{template}:latest"
