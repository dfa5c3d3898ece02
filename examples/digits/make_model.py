"""`python -m examples.digits.make_model --out MODELS`: train, validate and package the digits model.

Does the same as `python -m modelkit train`, `validate` and `package`, in one process.
"""

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Final

from examples.digits import evaluate, train
from model_server.models.bundle import read_bundle
from model_server.models.engine import load_engine
from modelkit.package.server import package_server
from modelkit.project import assemble, read_project

PROJECT: Final = Path(__file__).parent


def main(arguments: list[str] | None = None) -> int:
    """Train, validate and package. Return 1 with a message on stderr if the accuracy is below the minimum."""
    parser = argparse.ArgumentParser(prog="python -m examples.digits.make_model", description=__doc__)
    parser.add_argument(
        "--out", type=Path, required=True, help="model directory; the model is written to digits/1/"
    )
    models: Path = parser.parse_args(arguments).out
    models.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".digits-", dir=models) as scratch:
        project = read_project(PROJECT, Path(scratch) / "build" / "digits")
        project.training_output.mkdir(parents=True)
        train.train(project.training_output)
        bundle = assemble(project)
        reached = evaluate.validate(load_engine(read_bundle(bundle)).predict)["accuracy"]
        minimum = project.spec.validate.minimum if project.spec.validate else 0.0
        if reached < minimum:
            print(f"The accuracy is {reached:.4f}, below {minimum}: nothing was written.", file=sys.stderr)
            return 1
        target = package_server(bundle, models)
    print(f"digits 1: held-out accuracy {reached:.4f}, written to {target}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
