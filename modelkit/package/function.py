"""A bundle as a serverless function: a directory that AWS's runtime interface client runs as it is.

It holds the code, the bundle, `function.py` with the handler, and `function.toml` that tells how to run
it. The libraries of `requirements/serve.txt` are expected where it runs: in the function host's environment,
or in the image or layer that goes to AWS.
"""

import compileall
import math
import py_compile
import shutil
import tempfile
from pathlib import Path
from typing import Final

from modelkit.bundle import Bundle, content_digest, read_bundle
from modelkit.package.code import copy_code
from straightline.errors import ConfigurationError

MEMORY_MB: Final = 1024
"""Enough for ONNX Runtime with a small model and the largest payload that Lambda takes."""

_HANDLER: Final = '''"""The function's handler; its bundle is loaded when this module is."""

from pathlib import Path

from modelkit.serve.lambda_handler import create

handler = create(Path(__file__).parent / "bundle")
'''


def function_name(model: str) -> str:
    """Return the name under which a model's function is deployed: Lambda allows no dots."""
    return f"straightline-{model.replace('.', '-')}"


def package_function(bundle: Path, out: Path, *, memory: int = MEMORY_MB) -> Path:
    """Build the function package of the bundle in `bundle`, as `out/<function name>/`.

    What stood there is replaced; the package appears whole, or not at all.

    Args:
        bundle: the bundle's directory.
        out: the directory of packages.
        memory: limit of an instance in MiB.

    Returns:
        The package's directory.

    Raises:
        ConfigurationError: the bundle is wrong, or `out` cannot be written.
    """
    source = read_bundle(bundle)
    name = function_name(source.spec.name)
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{name}-", dir=out) as scratch:
            # Two folders down, where no reader of `<name>/function.toml` looks.
            fresh, old = Path(scratch) / "package" / "fresh", Path(scratch) / "package" / "old"
            _fill(fresh, source, name, memory)
            if (out / name).exists():
                (out / name).rename(old)
            fresh.rename(out / name)
    except OSError as error:
        raise ConfigurationError(f"the package cannot be written to {out}: {error}") from error
    return out / name


def _fill(target: Path, bundle: Bundle, name: str, memory: int) -> None:
    copy_code(target)
    shutil.copytree(bundle.directory, target / "bundle", ignore=shutil.ignore_patterns("__pycache__"))
    (target / "function.py").write_text(_HANDLER, encoding="utf-8")
    (target / "function.toml").write_text(
        f'name = "{name}"\n'
        'handler = "function.handler"\n'
        f"timeout = {math.ceil(bundle.spec.timeout)}  # seconds\n"
        f"memory = {memory}  # MiB\n"
        f'model = "{bundle.spec.name}"\n'
        f'version = "{bundle.spec.version}"\n'
        f'digest = "{content_digest(bundle.directory)}"  # sha256 over the bundle\n',
        encoding="utf-8",
    )
    # Compiled here once, so that no cold start does; by content, since times change when files are copied.
    compileall.compile_dir(target, quiet=2, invalidation_mode=py_compile.PycInvalidationMode.CHECKED_HASH)
