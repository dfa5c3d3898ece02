"""The function package of a bundle: a directory that AWS's runtime interface client can run.

It has the code, the bundle, `function.py` with the handler, and `function.toml` with the settings. The
libraries of `requirements/serve.txt` must be installed where it runs: in the environment of the function
host, or in the image or layer on AWS.
"""

import compileall
import math
import py_compile
from pathlib import Path
from typing import Final

from model_server.models.bundle import PACKAGES_DIRECTORY, Bundle, content_digest, read_bundle
from modelkit.package.code import copy_code
from modelkit.package.server import copy_bundle, install_requirements
from straightline.contracts.model import WarmPool
from straightline.errors import ConfigurationError
from straightline.support.atomic_directory import replace_directory

DEFAULT_MEMORY_MIB: Final = 1024
"""Enough for ONNX Runtime with a small model and Lambda's largest payload."""

MIN_MEMORY_MIB: Final = 128
"""Lambda's minimum."""

HANDLER: Final = '''"""The function's handler; importing this module loads the bundle."""

from pathlib import Path

from model_server.lambda_handler import create

handler = create(Path(__file__).parent / "bundle")
'''


def function_name(model: str) -> str:
    """Return the name of a model's function, without the dots that Lambda does not allow."""
    return f"straightline-{model.replace('.', '-')}"


def package_function(
    bundle: Path, out: Path, *, memory: int | None = None, wheelhouse: Path | None = None
) -> Path:
    """Build the function package `out/<function name>/`, and atomically replace an earlier one.

    Args:
        bundle: directory of the bundle.
        out: directory of function packages.
        memory: memory of an instance in MiB; None takes the model's own, or `DEFAULT_MEMORY_MIB`.
        wheelhouse: directory with the wheels of the model's own requirements, if it has any.

    Returns:
        The directory of the package.

    Raises:
        ConfigurationError: the bundle or the wheelhouse is unusable, or `out` cannot be written.
    """
    source = read_bundle(bundle)
    check_servable(source)
    name = function_name(source.spec.name)
    try:
        with replace_directory(out / name) as fresh:
            write_package(fresh, source, memory=memory, wheelhouse=wheelhouse)
    except OSError as error:
        raise ConfigurationError(f"the package cannot be written to {out}: {error}") from error
    return out / name


def write_package(target: Path, bundle: Bundle, *, memory: int | None, wheelhouse: Path | None) -> None:
    """Write the function package of a bundle into the empty directory `target`.

    Raises:
        ConfigurationError: the wheelhouse is unusable.
    """
    copy_code(target)
    copy_bundle(bundle.directory, target / "bundle")
    install_requirements(bundle.directory, target / "bundle" / PACKAGES_DIRECTORY, wheelhouse)
    (target / "function.py").write_text(HANDLER, encoding="utf-8")
    (target / "function.toml").write_text(_description(bundle, memory), encoding="utf-8")
    # Compiled now, so that no cold start has to. Checked by content, since copying changes file times; with
    # the paths on Lambda, so that the same bundle gives the same files.
    compileall.compile_dir(
        target,
        quiet=2,
        stripdir=target,
        prependdir="/var/task",
        invalidation_mode=py_compile.PycInvalidationMode.CHECKED_HASH,
    )


def _description(bundle: Bundle, memory: int | None) -> str:
    memory = memory or bundle.spec.resources.memory or DEFAULT_MEMORY_MIB
    return (
        f'name = "{function_name(bundle.spec.name)}"\n'
        'handler = "function.handler"\n'
        f"timeout = {math.ceil(bundle.spec.timeout)}  # seconds\n"
        f"memory = {max(MIN_MEMORY_MIB, memory)}  # MiB\n"
        + _warm_lines(bundle.spec.warm)
        + f'model = "{bundle.spec.name}"\n'
        f'version = "{bundle.spec.version}"\n'
        f'digest = "{content_digest(bundle.directory)}"  # sha256 over the bundle\n'
    )


def _warm_lines(warm: WarmPool) -> str:
    wanted = {"minimum": warm.minimum or None, "maximum": warm.maximum, "idle": warm.idle}
    return "".join(f"{name} = {value}\n" for name, value in wanted.items() if value is not None)


def check_servable(bundle: Bundle) -> None:
    """Check that a bundle has a model to serve.

    Raises:
        ConfigurationError: it is external.
    """
    if bundle.flavour == "external":
        raise ConfigurationError(
            f"{bundle.spec.name} cannot be packaged in this form: it is external, served by "
            f"{bundle.spec.url}. Use only the form `server`, which registers it"
        )
