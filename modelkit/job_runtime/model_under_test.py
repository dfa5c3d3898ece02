"""The model that a validation calls: that of a bundle, or an external server."""

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
    """Return a function that calls the bundle's model, and checks its tensors against `model.toml`.

    Raises:
        ConfigurationError: the model cannot be loaded, or its external server does not serve it.
    """
    found = read_bundle(bundle)
    if found.spec.url is not None:
        # Imported here: the images of models have no client of a server.
        from modelkit.job_runtime.remote import connect  # noqa: PLC0415

        predict = connect(found.spec)
    else:
        predict = load_engine(found).predict
    engine = Engine(found.spec, predict)

    def checked_predict(inputs: Tensors) -> Tensors:
        _check_input_shapes(found.spec, inputs)
        tensors = engine.run(inputs)
        for spec in found.spec.outputs:
            encode_tensor(spec.name, spec.datatype, tensors[spec.name][:1])
        return tensors

    return checked_predict


def _check_input_shapes(spec: ModelSpec, inputs: Tensors) -> None:
    """Refuse the inputs that a server would refuse, so that validation finds a wrong model.toml."""
    for wanted in spec.inputs:
        if wanted.name not in inputs:
            continue  # the model reports a missing input itself
        shape = np.shape(inputs[wanted.name])
        if not shape_matches(shape, wanted.shape):
            raise InvalidInput(
                f"input {wanted.name!r} has the shape {list(shape)}, but model.toml says {list(wanted.shape)}"
            )
