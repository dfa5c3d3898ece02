"""Text of the Dockerfile of a model's image."""

import json
import re
from typing import Final, Literal

from straightline.contracts import ModelSpec
from straightline.errors import ConfigurationError

ImageForm = Literal["server", "function"]

PORT: Final = 8080
USER: Final = "65532:65532"
"""User of the image: not root, and not a user of the host."""
CODE: Final = "/srv/straightline"
MODELS: Final = "/srv/models"
TASK: Final = "/var/task"
"""Directory of a function on Lambda."""
ENVIRONMENT: Final = "/opt/straightline"
_WORD: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_REFERENCE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/:@-]*")


def dockerfile(
    spec: ModelSpec, digest: str, base: str, *, form: ImageForm = "server", requirements: str | None = None
) -> str:
    """Return the Dockerfile for a context with `wheelhouse/`, `requirements.txt`, `code/` and `bundle/`.

    Layers that rarely change come first, so that a new version of a model adds one small layer.

    Args:
        spec: the model.
        digest: SHA-256 over the files of its bundle, in hexadecimal.
        base: image to build on, with `python3` and the module `venv`.
        form: a V2 server, or a function for AWS Lambda, whose context also has `function.py`.
        requirements: name of the bundle's own requirements file.

    Raises:
        ConfigurationError: a name cannot be used in a Dockerfile.
    """
    _check_names(spec, base, requirements)
    labels = {
        "straightline.model": spec.name,
        "straightline.version": spec.version,
        "straightline.bundle.digest": f"sha256:{digest}",
    }
    ending = _server(spec) if form == "server" else _function()
    return "\n".join(
        (
            *_packages(base, requirements),
            f"FROM {base}",
            f"COPY --from=packages {ENVIRONMENT} {ENVIRONMENT}",
            # A validation in the image uses the same Python.
            f"ENV PATH={ENVIRONMENT}/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HOME=/tmp",
            *ending,
            "LABEL " + " ".join(f"{name}={json.dumps(value)}" for name, value in labels.items()),
            "",
        )
    )


def _check_names(spec: ModelSpec, base: str, requirements: str | None) -> None:
    for what, word, pattern in (
        ("the model's name", spec.name, _WORD),
        ("the model's version", spec.version, _WORD),
        ("the base image", base, _REFERENCE),
        ("the requirements file", requirements or "none", _REFERENCE),
    ):
        if not pattern.fullmatch(word):
            raise ConfigurationError(
                f"{what} {word!r} cannot be used in a Dockerfile: it does not match {pattern.pattern}"
            )


def _packages(base: str, requirements: str | None) -> list[str]:
    lines = [
        f"FROM {base} AS packages",
        'RUN ["python3", "-m", "venv", "/pip"]',
        # The served environment has no installer.
        f'RUN ["python3", "-m", "venv", "--without-pip", "{ENVIRONMENT}"]',
        "COPY wheelhouse /wheelhouse",
        "COPY requirements.txt /requirements.txt",
        f"RUN {json.dumps(_install('/requirements.txt', '/wheelhouse'))}",
    ]
    if requirements is not None:
        # No dependencies, as in the forms without an installer.
        own = _install("/own-requirements.txt", "/own-wheelhouse", "--no-deps")
        lines += [
            "COPY own-wheelhouse /own-wheelhouse",
            f"COPY bundle/{requirements} /own-requirements.txt",
            f"RUN {json.dumps(own)}",
        ]
    return lines


def _install(listed: str, wheels: str, *options: str) -> list[str]:
    return [
        *("/pip/bin/python", "-m", "pip", "--python", f"{ENVIRONMENT}/bin/python"),
        *("install", "--no-index", "--find-links", wheels, "--no-cache-dir", *options),
        *("--disable-pip-version-check", "--root-user-action", "ignore"),
        *("-r", listed),
    ]


def _code(place: str) -> list[str]:
    # The root file system is read-only at run time, so modules are compiled now.
    compiled = [f"{ENVIRONMENT}/bin/python", "-m", "compileall", "-q", place]
    return [f"COPY code {place}", f"RUN {json.dumps(compiled)}", f"WORKDIR {place}", f"USER {USER}"]


def _server(spec: ModelSpec) -> list[str]:
    serve = [
        *(f"{ENVIRONMENT}/bin/python", "-m", "gunicorn", "-c", "python:model_server.gunicorn_conf"),
        "model_server.app:create()",
    ]
    return [
        *_code(CODE),
        f"ENV STRAIGHTLINE_MODELS_DIR={MODELS} STRAIGHTLINE_SERVE_BIND=0.0.0.0:{PORT}",
        f"EXPOSE {PORT}",
        f"CMD {json.dumps(serve)}",
        f"COPY bundle {MODELS}/{spec.name}/{spec.version}",
    ]


def _function() -> list[str]:
    return [
        *_code(TASK),
        # As in AWS's own images: the entry point is the runtime client, the command is the handler.
        f"ENTRYPOINT {json.dumps([f'{ENVIRONMENT}/bin/python', '-m', 'awslambdaric'])}",
        'CMD ["function.handler"]',
        f"COPY bundle {TASK}/bundle",
    ]
