"""Functions have valid and unique names; AWS gets a role and a package within its limits."""

import re
from pathlib import Path

import pytest

from model_server.models.bundle import read_bundle
from modelkit.deployment import functions
from modelkit.deployment.errors import NotPlaced
from modelkit.deployment.functions import FunctionTarget, deployed_function_name
from modelkit.deployment.target import Candidate
from straightline.errors import ConfigurationError

DIGEST = "sha256:" + "0123456789abcdef" * 4
TOML = """
name = "m"
version = "1"
flavour = "python"
entry = "code:run"
inputs = [{name = "x", datatype = "FP32", shape = [-1]}]
outputs = [{name = "y", datatype = "FP32", shape = [-1]}]
"""


@pytest.mark.parametrize(
    ("model", "version"), [("m", "1"), ("a.b_c-d", "1.0.3"), ("x" * 128, "9" * 128), ("9", "v")]
)
def test_function_names_are_valid_on_lambda(model: str, version: str) -> None:
    assert re.fullmatch(r"[A-Za-z0-9_-]{1,64}", deployed_function_name(model, version, DIGEST))


def test_truncated_names_differ_by_digest() -> None:
    other = DIGEST.replace("0", "1")
    assert deployed_function_name("x" * 100, "1", DIGEST) != deployed_function_name("x" * 100, "1", other)
    assert deployed_function_name("m", "1", DIGEST) == "straightline-m-1-0123456789ab"


@pytest.fixture
def candidate(tmp_path: Path) -> Candidate:
    (tmp_path / "model.toml").write_text(TOML)
    (tmp_path / "code.py").write_text("def run(inputs):\n    return inputs\n")
    return Candidate(bundle=read_bundle(tmp_path), digest=DIGEST, staged=tmp_path, work=tmp_path)


@pytest.fixture(autouse=True)
def _aws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL_LAMBDA", raising=False)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")


def test_aws_needs_a_role(candidate: Candidate) -> None:
    def build(_candidate: Candidate, _whole: bool) -> Path:
        raise AssertionError("nothing is built in vain")

    with pytest.raises(ConfigurationError, match="STRAIGHTLINE_DEPLOY_ROLE"):
        FunctionTarget(build, role=None, ready_timeout=1.0).deploy(candidate)


def test_a_too_large_package_is_reported_with_both_sizes(
    candidate: Candidate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bool] = []

    def build(_candidate: Candidate, whole: bool) -> Path:
        asked.append(whole)
        (tmp_path / "package.zip").write_bytes(b"0" * 2_000)
        return tmp_path / "package.zip"

    monkeypatch.setattr(functions, "MAX_PACKAGE_BYTES", 1_000)
    with pytest.raises(NotPlaced, match=r"2,000 bytes, and Lambda's limit for an upload is 1,000"):
        FunctionTarget(build, role="arn:aws:iam::1:role/r", ready_timeout=1.0).deploy(candidate)
    assert asked == [True], "AWS does not have the libraries"


def test_a_missing_region_is_reported_with_the_remedy(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    monkeypatch.delenv("AWS_REGION", raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    with pytest.raises(ConfigurationError, match="Set AWS_DEFAULT_REGION"):
        FunctionTarget(lambda _candidate, _whole: tmp_path, role=None, ready_timeout=1.0)
