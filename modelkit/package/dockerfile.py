"""The text of the Dockerfile of a model's image."""

import json
import re
from typing import Final

from straightline.contracts import ModelSpec
from straightline.errors import ConfigurationError

PORT: Final = 8080
USER: Final = "65532:65532"
"""The image's user: neither root nor anybody of the host's."""
CODE: Final = "/srv/straightline"
MODELS: Final = "/srv/models"
ENVIRONMENT: Final = "/opt/straightline"
_WORD: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_REFERENCE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/:@-]*")


def dockerfile(spec: ModelSpec, digest: str, base: str) -> str:
    """Return the Dockerfile for a context with `wheelhouse/`, `requirements.txt`, `code/` and `bundle/`.

    What changes seldom comes first, so that a new version of a model costs one small layer.

    Args:
        spec: the model.
        digest: sha256 over the files of its bundle, in hexadecimal.
        base: the image to build on; it has `python3` with the module `venv`.

    Raises:
        ConfigurationError: a name cannot be part of a Dockerfile.
    """
    for what, word, pattern in (
        ("the model's name", spec.name, _WORD),
        ("the model's version", spec.version, _WORD),
        ("the base image", base, _REFERENCE),
    ):
        if not pattern.fullmatch(word):
            raise ConfigurationError(
                f"{what} {word!r} cannot stand in a Dockerfile: it matches not {pattern.pattern}"
            )
    install = [
        *("/pip/bin/python", "-m", "pip", "--python", f"{ENVIRONMENT}/bin/python"),
        *("install", "--no-index", "--find-links", "/wheelhouse", "--no-cache-dir"),
        *("--disable-pip-version-check", "--root-user-action", "ignore"),
        *("-r", "/requirements.txt"),
    ]
    serve = [
        *(f"{ENVIRONMENT}/bin/python", "-m", "gunicorn", "-c", "python:modelkit.serve.gunicorn_conf"),
        "modelkit.serve.app:create()",
    ]
    labels = {
        "straightline.model": spec.name,
        "straightline.version": spec.version,
        "straightline.bundle.digest": f"sha256:{digest}",
    }
    return "\n".join(
        (
            f"FROM {base} AS packages",
            'RUN ["python3", "-m", "venv", "/pip"]',
            # What is served has no installer.
            f'RUN ["python3", "-m", "venv", "--without-pip", "{ENVIRONMENT}"]',
            "COPY wheelhouse /wheelhouse",
            "COPY requirements.txt /requirements.txt",
            f"RUN {json.dumps(install)}",
            f"FROM {base}",
            f"COPY --from=packages {ENVIRONMENT} {ENVIRONMENT}",
            f"COPY code {CODE}",
            # The root file system is read-only where it runs: what is compiled must be so before.
            f'RUN ["{ENVIRONMENT}/bin/python", "-m", "compileall", "-q", "{CODE}"]',
            f"ENV STRAIGHTLINE_MODELS_DIR={MODELS} STRAIGHTLINE_SERVE_BIND=0.0.0.0:{PORT}",
            # Whoever runs something else in the image (a validation) finds the same Python.
            f"ENV PATH={ENVIRONMENT}/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HOME=/tmp",
            f"WORKDIR {CODE}",
            f"USER {USER}",
            f"EXPOSE {PORT}",
            f"CMD {json.dumps(serve)}",
            f"COPY bundle {MODELS}/{spec.name}/{spec.version}",
            "LABEL " + " ".join(f"{name}={json.dumps(value)}" for name, value in labels.items()),
            "",
        )
    )
