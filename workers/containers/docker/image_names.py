"""The name of a model's image from the template, and back."""

import re
from collections.abc import Iterable

from straightline.errors import ConfigurationError


def image_name(template: str, model: str, version: str) -> str:
    """Fill in the template; Docker wants the model's name in lower case.

    Raises:
        ConfigurationError: the template has other fields than `{model}` and `{version}`.
    """
    try:
        return _tagged(template).format(model=model.lower(), version=version)
    except (KeyError, IndexError, ValueError) as error:
        raise ConfigurationError(
            f"STRAIGHTLINE_CONTAINER_IMAGE is {template!r}: it may hold {{model}} and {{version}} alone"
        ) from error


def models_of(template: str, tags: Iterable[str]) -> list[str] | None:
    """Return the models that these images are of, None where the template does not tell them apart."""
    if "{model}" not in template:
        return None
    pattern = re.escape(_tagged(template))
    for field in ("model", "version"):
        # The first one captures, any other must be the same.
        pattern = pattern.replace(rf"\{{{field}\}}", rf"(?P<{field}>[A-Za-z0-9._-]+)", 1)
        pattern = pattern.replace(rf"\{{{field}\}}", rf"(?P={field})")
    matches = (re.fullmatch(pattern, tag) for tag in tags)
    return sorted({match["model"] for match in matches if match})


def _tagged(template: str) -> str:
    """Add the tag that Docker takes where none is given: it lists images with theirs."""
    return template if ":" in template.rpartition("/")[2] else f"{template}:latest"
