"""Runtimes of models: ONNX Runtime, and Python callables."""

import importlib
import importlib.machinery
import importlib.util
import sys
from collections.abc import Callable
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from model_server.models.bundle import PACKAGES_DIRECTORY, Bundle, content_digest
from straightline.errors import ConfigurationError

Tensors = dict[str, npt.NDArray[Any]]
Predict = Callable[[Tensors], Tensors]

_PROVIDERS: Final = ("CUDAExecutionProvider", "CPUExecutionProvider")
"""Execution providers, the fastest first; the first needs the build for CUDA."""
_V2_DATATYPES: Final = {
    "tensor(bool)": "BOOL",
    "tensor(uint8)": "UINT8",
    "tensor(uint16)": "UINT16",
    "tensor(uint32)": "UINT32",
    "tensor(uint64)": "UINT64",
    "tensor(int8)": "INT8",
    "tensor(int16)": "INT16",
    "tensor(int32)": "INT32",
    "tensor(int64)": "INT64",
    "tensor(float16)": "FP16",
    "tensor(float)": "FP32",
    "tensor(double)": "FP64",
    "tensor(string)": "BYTES",
}
"""V2 datatypes by their names in ONNX Runtime."""


def load(bundle: Bundle, *, threads: int = 1) -> Predict:
    """Load the model of a bundle and return a function that runs it.

    Args:
        bundle: the bundle.
        threads: threads of one call, for ONNX models.

    Raises:
        ConfigurationError: the model cannot be loaded; the message names the bundle and the cause.
    """
    try:
        return _load_onnx(bundle, threads) if bundle.flavour == "onnx" else _load_python(bundle)
    # Any exception of the bundle's code at import, even SystemExit, is a fault of the bundle.
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt | GeneratorExit | ConfigurationError):
            raise
        raise ConfigurationError(
            f"the model in {bundle.directory} cannot be loaded: {type(error).__name__}: {error}"
        ) from error


def _load_onnx(bundle: Bundle, threads: int) -> Predict:
    # Imported here: a bundle in Python does not need ONNX Runtime, which is slow to import.
    import onnxruntime  # noqa: PLC0415

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Spinning threads take CPU time from other processes on a small machine.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    available = onnxruntime.get_available_providers()
    providers = [name for name in _PROVIDERS if name in available]
    session = onnxruntime.InferenceSession(str(bundle.artifact), sess_options=options, providers=providers)
    names = [spec.name for spec in bundle.spec.outputs]
    _check_names(bundle, session)
    _check_inputs(bundle, session)

    def predict(inputs: Tensors) -> Tensors:
        return dict(zip(names, session.run(names, inputs), strict=True))

    return predict


def _check_names(bundle: Bundle, session: Any) -> None:
    """Check the tensor names of model.toml when the model is loaded, before the first request."""
    inputs = {tensor.name for tensor in session.get_inputs()}
    outputs = {tensor.name for tensor in session.get_outputs()}
    if inputs != {spec.name for spec in bundle.spec.inputs}:
        raise ConfigurationError(
            f"{bundle.artifact} has the inputs {sorted(inputs)}. List these in model.toml"
        )
    if not outputs >= {spec.name for spec in bundle.spec.outputs}:
        raise ConfigurationError(
            f"{bundle.artifact} has the outputs {sorted(outputs)}. List only these in model.toml"
        )


def _check_inputs(bundle: Bundle, session: Any) -> None:
    """Check the input types and shapes of model.toml, against which requests are checked."""
    taken = {tensor.name: tensor for tensor in session.get_inputs()}
    for spec in bundle.spec.inputs:
        tensor = taken[spec.name]
        # A symbolic or missing dimension takes any size, as -1 does in model.toml.
        shape = [size if isinstance(size, int) and size >= 0 else -1 for size in tensor.shape]
        datatype = _V2_DATATYPES.get(tensor.type, tensor.type)
        fits = len(shape) == len(spec.shape) and all(
            size == want or -1 in (size, want) for size, want in zip(shape, spec.shape, strict=True)
        )
        if not fits or datatype != spec.datatype:
            raise ConfigurationError(
                f"{bundle.artifact} takes {spec.name!r} as {datatype} {shape}, but model.toml says "
                f"{spec.datatype} {list(spec.shape)}. Correct model.toml or the model"
            )


def _load_python(bundle: Bundle) -> Predict:
    """Import the bundle as a package of its own, and return its callable.

    Two bundles can have modules with the same name. Inside a bundle, modules import each other relatively.
    """
    if bundle.entry is None:
        raise ConfigurationError(f"the model.toml in {bundle.directory} names no entry")
    module_name, callable_name = bundle.entry
    packages = str(bundle.directory.resolve() / PACKAGES_DIRECTORY)
    if packages not in sys.path:
        # At the end, after the libraries of the server itself.
        sys.path.append(packages)
    package = f"straightline_bundle_{content_digest(bundle.directory)}"
    if package not in sys.modules:
        spec = importlib.machinery.ModuleSpec(package, None, is_package=True)
        spec.submodule_search_locations = [str(bundle.directory)]
        sys.modules[package] = importlib.util.module_from_spec(spec)
    found = getattr(importlib.import_module(f"{package}.{module_name}"), callable_name, None)
    if not callable(found):
        raise ConfigurationError(f"{bundle.directory}: {module_name} has no callable {callable_name!r}")

    def predict(inputs: Tensors) -> Tensors:
        return {name: np.asarray(array) for name, array in found(inputs).items()}

    return predict
