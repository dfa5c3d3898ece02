"""What runs a model: ONNX Runtime, or a Python callable of the bundle."""

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
"""What runs an ONNX model, the fastest first; only its build for CUDA has the first."""
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
"""Datatypes of V2 by ONNX Runtime's words for them."""


def load(bundle: Bundle, *, threads: int = 1) -> Predict:
    """Load a bundle's model and return the function that answers for it.

    Args:
        bundle: what to load.
        threads: how many a single call may use, where the runtime can be told.

    Raises:
        ConfigurationError: it cannot be loaded; the message names the bundle and the cause.
    """
    try:
        return _load_onnx(bundle, threads) if bundle.flavour == "onnx" else _load_python(bundle)
    # Whatever a bundle's code raises while it is imported, SystemExit too, is a fault of the bundle.
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt | GeneratorExit | ConfigurationError):
            raise
        raise ConfigurationError(
            f"the model in {bundle.directory} cannot be loaded: {type(error).__name__}: {error}"
        ) from error


def _load_onnx(bundle: Bundle, threads: int) -> Predict:
    # Imported here: a bundle in Python needs no ONNX Runtime, and its start need not wait for it.
    import onnxruntime  # noqa: PLC0415

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Threads that spin while they wait take the time of the other processes on a small machine.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    there = onnxruntime.get_available_providers()
    providers = [name for name in _PROVIDERS if name in there]
    session = onnxruntime.InferenceSession(str(bundle.artifact), sess_options=options, providers=providers)
    names = [spec.name for spec in bundle.spec.outputs]
    _check_names(bundle, session)
    _check_inputs(bundle, session)

    def predict(inputs: Tensors) -> Tensors:
        return dict(zip(names, session.run(names, inputs), strict=True))

    return predict


def _check_names(bundle: Bundle, session: Any) -> None:
    """Find a wrong name in model.toml when the model is loaded, not when it is first asked."""
    inputs = {tensor.name for tensor in session.get_inputs()}
    outputs = {tensor.name for tensor in session.get_outputs()}
    if inputs != {spec.name for spec in bundle.spec.inputs}:
        raise ConfigurationError(
            f"{bundle.artifact} takes {sorted(inputs)}: model.toml must list these inputs"
        )
    if not outputs >= {spec.name for spec in bundle.spec.outputs}:
        raise ConfigurationError(f"{bundle.artifact} gives {sorted(outputs)}: model.toml lists other outputs")


def _check_inputs(bundle: Bundle, session: Any) -> None:
    """Refuse inputs that the model could take from no request: requests are held against model.toml alone."""
    taken = {tensor.name: tensor for tensor in session.get_inputs()}
    for spec in bundle.spec.inputs:
        tensor = taken[spec.name]
        # A dimension of a name, or of none, takes any size, as -1 does in model.toml.
        shape = [size if isinstance(size, int) and size >= 0 else -1 for size in tensor.shape]
        datatype = _V2_DATATYPES.get(tensor.type, tensor.type)
        fits = len(shape) == len(spec.shape) and all(
            size == want or -1 in (size, want) for size, want in zip(shape, spec.shape, strict=True)
        )
        if not fits or datatype != spec.datatype:
            raise ConfigurationError(
                f"{bundle.artifact} takes {spec.name!r} as {datatype} {shape}, and model.toml says "
                f"{spec.datatype} {list(spec.shape)}: correct model.toml, or the model"
            )


def _load_python(bundle: Bundle) -> Predict:
    """Import the entry as a module of a package of the bundle's own.

    Two bundles may so have modules of the same name; inside a bundle, imports of its modules are relative.
    """
    if bundle.entry is None:
        raise ConfigurationError(f"{bundle.directory} names no entry")
    module_name, callable_name = bundle.entry
    packages = str(bundle.directory.resolve() / PACKAGES_DIRECTORY)
    if packages not in sys.path:
        # At the end: what the server itself runs on comes first.
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
