"""The function archive runs unchanged under AWS's emulator with a bare Python."""

import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from examples.digits.data import held_out
from modelkit.package.archive import package_archive
from script.docker_engine.model_image import provide_wheels
from tests.integration.modelkit.emulator import CACHE, Emulator, invoke
from tests.integration.modelkit.test_model_forms import accuracy, images

pytestmark = pytest.mark.integration


@pytest.mark.timeout(600)  # may download the wheels and the emulator
def test_the_zip_runs_under_awss_emulator(digits_models: Path, tmp_path: Path) -> None:
    wheels = provide_wheels(CACHE)
    archive = package_archive(digits_models / "digits" / "1", tmp_path, wheelhouse=wheels)
    assert archive.name == "straightline-digits-1.zip"
    with zipfile.ZipFile(archive) as unzipped:
        unzipped.extractall(tmp_path / "task")
    python = str(Path(sys.base_prefix) / "bin" / "python3")
    # -S: no site-packages; all it imports comes from the zip or is the standard library's.
    command = [python, "-S", "-m", "awslambdaric", "function.handler"]
    with Emulator(tmp_path / "task", command) as url:
        assert accuracy(invoke(url, images(50))) > 0.95
        labels = {output["name"]: output["data"] for output in invoke(url, images(7))["outputs"]}["label"]
        assert np.mean(np.array(labels) == held_out()[1][:7]) > 0.8
        wrong = invoke(url, {"inputs": [{"name": "images", "shape": [1], "datatype": "FP32", "data": [1]}]})
        assert wrong["errorType"] == "InvalidInput"
        assert "input 'images' of model digits must be FP32 [-1, 64]" in wrong["errorMessage"]
