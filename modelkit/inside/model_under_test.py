"""The model that a validation asks: a bundle's own, or the server of an external one."""

from pathlib import Path

from modelkit.bundle import read_bundle
from modelkit.serve.encode import encode_tensor
from modelkit.serve.engine import Engine, load_engine
from modelkit.serve.runtimes import Predict, Tensors


def load_predict(bundle: Path) -> Predict:
    """Return the function that asks the model of the bundle; what it gives is held against `model.toml`.

    Raises:
        ConfigurationError: it cannot be loaded, or its server does not answer for it.
    """
    found = read_bundle(bundle)
    if found.spec.url is not None:
        # Only where it is needed: the client of a server is no part of a served model.
        from modelkit.inside.remote import connect  # noqa: PLC0415

        predict = connect(found.spec)
    else:
        predict = load_engine(found).predict
    engine = Engine(found.spec, predict)

    def asked(inputs: Tensors) -> Tensors:
        tensors = engine.answer(inputs)
        for spec in found.spec.outputs:
            encode_tensor(spec.name, spec.datatype, tensors[spec.name][:1])
        return tensors

    return asked
