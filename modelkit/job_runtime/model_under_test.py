"""The model that a validation asks: a bundle's own, or the server of an external one."""

from pathlib import Path

import numpy as np

from model_server.errors import InvalidInput
from model_server.models.bundle import read_bundle
from model_server.models.engine import Engine, load_engine
from model_server.models.runtimes import Predict, Tensors
from model_server.tensors.encode import encode_tensor
from straightline.contracts import ModelSpec
from straightline.contracts.tensors.v2 import shape_matches


def load_predict(bundle: Path) -> Predict:
    """Return the function that asks the model of the bundle; what it gives is held against `model.toml`.

    Raises:
        ConfigurationError: it cannot be loaded, or its server does not answer for it.
    """
    found = read_bundle(bundle)
    if found.spec.url is not None:
        # Only where it is needed: the client of a server is no part of a served model.
        from modelkit.job_runtime.remote import connect  # noqa: PLC0415

        predict = connect(found.spec)
    else:
        predict = load_engine(found).predict
    engine = Engine(found.spec, predict)

    def asked(inputs: Tensors) -> Tensors:
        _check_input_shapes(found.spec, inputs)
        tensors = engine.answer(inputs)
        for spec in found.spec.outputs:
            encode_tensor(spec.name, spec.datatype, tensors[spec.name][:1])
        return tensors

    return asked


def _check_input_shapes(spec: ModelSpec, inputs: Tensors) -> None:
    """Refuse what the served model would refuse, or a wrong model.toml is met by its first request."""
    for wanted in spec.inputs:
        if wanted.name not in inputs:
            continue  # the model itself says what it lacks
        shape = np.shape(inputs[wanted.name])
        if not shape_matches(shape, wanted.shape):
            raise InvalidInput(
                f"input {wanted.name!r} is asked with the shape {list(shape)}; "
                f"model.toml says {list(wanted.shape)}"
            )
