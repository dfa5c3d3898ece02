"""The commands write and read projects, print JSON with --json, and return their documented exit codes."""

import json
from pathlib import Path
from typing import Any

import pytest
import requests

from model_server.models.bundle import content_digest
from modelkit.cli import COMMANDS, main
from tests.integration.modelkit.processes import HostMaker, ModelServer

pytestmark = pytest.mark.integration


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, Any, str]:
    """Run a command with --json, and return exit code, decoded stdout, and stderr."""
    code = main([*arguments, "--json"])
    printed = capsys.readouterr()
    return code, json.loads(printed.out), printed.err


@pytest.mark.parametrize("command", COMMANDS, ids=lambda module: module.__name__.rpartition(".")[2])
def test_each_command_has_help_with_its_exit_codes(command: Any, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main([command.__name__.rpartition(".")[2], "--help"])
    assert caught.value.code == 0
    assert "exit codes:" in capsys.readouterr().out


@pytest.mark.parametrize("flavour", ["onnx", "python"])
def test_a_new_project_trains_and_validates(
    flavour: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    project = str(tmp_path / "plane")
    assert run(capsys, "new", "plane", "--flavour", flavour, "--directory", project)[0] == 0
    code, trained, log = run(capsys, "train", project, "--runtime", "local")
    assert code == 0
    assert "100% loss" in log
    code, found, _ = run(capsys, "validate", project, "--runtime", "local")
    assert code == 0
    assert found["accepted"]
    assert found["bundle"] == trained["bundle"]
    again = run(capsys, "train", project, "--runtime", "local")[1]
    assert again["bundle"] == trained["bundle"], "the same inputs give the same digest"


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["new", "../evil"], 2, "cannot be a model's name"),
        (["train", "nowhere"], 2, "no model project in nowhere"),
        (["validate", "PROJECT", "--runtime", "local"], 2, "not trained yet"),
    ],
)
def test_an_error_is_one_message_with_its_exit_code(
    arguments: list[str], code: int, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    project = str(tmp_path / "plane")
    run(capsys, "new", "plane", "--directory", project)
    found, record, text = run(capsys, *(project if word == "PROJECT" else word for word in arguments))
    assert (found, record["exit_code"]) == (code, code)
    assert told in record["error"]
    assert told in text
    assert "Traceback" not in text


def test_an_error_shows_control_characters_as_escapes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, text = run(capsys, "train", str(tmp_path / "\x1b[31mred"))
    assert code == 2
    assert "\\x1b[31mred" in text
    assert "\x1b" not in text


def test_a_new_project_overwrites_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    code, record, _ = run(capsys, "new", "plane", "--directory", str(tmp_path))
    assert code == 2
    assert "not empty" in record["error"]
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_missing_entry_point_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    project = tmp_path / "plane"
    run(capsys, "new", "plane", "--directory", str(project))
    file = project / "model.toml"
    file.write_text(file.read_text().replace("training:train", "making:train"))
    code, record, _ = run(capsys, "train", str(project), "--runtime", "local")
    assert code == 2
    assert "'making', which is not in its directory. Add making.py with 'train'" in record["error"]
    file.write_text(file.read_text().replace("making:train", "training:fit"))
    code, record, said = run(capsys, "train", str(project), "--runtime", "local")
    assert code == 4
    assert "training.py has no callable 'fit'" in record["error"]
    assert "Traceback" not in said


def test_outputs_that_contradict_model_toml_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    project = tmp_path / "plane"
    run(capsys, "new", "plane", "--flavour", "python", "--directory", str(project))
    run(capsys, "train", str(project), "--runtime", "local")
    code = project / "model.py"
    for wrong, told in (
        ('inputs["features"] @ _WEIGHTS).ravel()', "has the shape [500], but model.toml says [-1, 1]"),
        ('inputs["features"] @ _WEIGHTS).astype(complex)', "is complex128, but model.toml says FP32"),
    ):
        text = code.read_text()
        code.write_text(text.replace('inputs["features"] @ _WEIGHTS', f"({wrong}"))
        exit_code, record, _ = run(capsys, "validate", str(project), "--runtime", "local")
        code.write_text(text)
        assert exit_code == 4
        assert told in record["error"]


def test_an_unreachable_external_server_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    project = str(tmp_path / "theirs")
    url = "http://127.0.0.1:9"
    run(capsys, "new", "theirs", "--flavour", "external", "--url", url, "--directory", project)
    code, record, _ = run(capsys, "validate", project)
    assert code == 2
    assert f"{url} does not serve theirs in V2" in record["error"]
    code, record, _ = run(capsys, "train", project)
    assert "nothing to train" in record["error"]


@pytest.mark.parametrize("flavour", ["onnx", "python"])
def test_a_new_project_answers_as_server_and_function(
    flavour: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], make_host: HostMaker
) -> None:
    project = tmp_path / "plane"
    run(capsys, "new", "plane", "--flavour", flavour, "--directory", str(project))
    for step in ("train", "validate"):
        assert run(capsys, step, str(project), "--runtime", "local")[0] == 0
    code, packages, _ = run(capsys, "package", str(project), "--out", str(tmp_path / "out"))
    assert code == 0
    assert packages["digest"] == f"sha256:{content_digest(Path(packages['forms']['server']))}"
    assert packages["digest"].removeprefix("sha256:") in (
        Path(packages["forms"]["function"]) / "function.toml"
    ).read_text(encoding="utf-8")
    request = json.loads((project / "request.json").read_text(encoding="utf-8"))
    server = ModelServer(tmp_path / "out" / "models", {})
    try:
        server.wait_until_ready()
        served = requests.post(f"{server.url}/v2/models/plane/infer", json=request, timeout=30).json()
        hold_external(server.url, tmp_path / "theirs", capsys)
    finally:
        server.stop()
    client = make_host(tmp_path / "out" / "functions").client
    answer = client.invoke(FunctionName="straightline-plane", Payload=json.dumps(request).encode())
    assert served["outputs"][0]["data"] == pytest.approx([4.0], abs=0.1)
    assert json.loads(answer["Payload"].read())["outputs"] == served["outputs"]


def hold_external(url: str, project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Check that an external V2 server is accepted, and refused if its tensors differ."""
    run(capsys, "new", "plane", "--flavour", "external", "--url", url, "--directory", str(project))
    assert run(capsys, "validate", str(project))[0] == 0
    code, packages, _ = run(capsys, "package", str(project), "--form", "server")
    assert code == 0
    assert [file.name for file in Path(packages["forms"]["server"]).iterdir()] == ["model.toml"]
    file = project / "model.toml"
    file.write_text(file.read_text(encoding="utf-8").replace("FP32", "INT64", 1), encoding="utf-8")
    code, record, _ = run(capsys, "validate", str(project))
    assert code == 2
    assert "model.toml lists {'features': 'INT64'}. Make them equal" in record["error"]
    file.write_text(file.read_text(encoding="utf-8").replace('"1"', '"7"', 1), encoding="utf-8")
    code, record, _ = run(capsys, "validate", str(project))
    assert code == 2
    assert "has the versions ['1'] of plane, but model.toml says '7'" in record["error"]


def test_only_a_validated_unchanged_bundle_can_be_packaged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    project = tmp_path / "plane"
    run(capsys, "new", "plane", "--flavour", "python", "--directory", str(project))
    run(capsys, "train", str(project), "--runtime", "local")
    code, record, _ = run(capsys, "package", str(project))
    assert (code, "plane 1 is not validated" in record["error"]) == (10, True)
    run(capsys, "validate", str(project), "--runtime", "local")
    assert run(capsys, "package", str(project))[0] == 0
    code, record, _ = run(capsys, "package", str(project), "--digest", "sha256:" + "0" * 64)
    assert (code, record["error_class"]) == (10, "DigestMismatch")
    with (project / "model.py").open("a") as file:
        file.write("# changed\n")
    code, record, _ = run(capsys, "package", str(project))
    assert (code, "Run `validate` again" in record["error"]) == (10, True)


def test_the_bundle_gets_the_compressed_digits_model(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    project = ["examples/digits", "--build", str(tmp_path / "build"), "--runtime", "local"]
    trained = run(capsys, "train", *project)[1]
    code, found, _ = run(capsys, "compress", *project)
    assert code == 0
    assert found["bytes_after"] < 0.5 * found["bytes_before"]
    assert found["before"] - found["after"] <= 0.005
    code, valid, _ = run(capsys, "validate", *project)
    assert (code, valid["value"]) == (0, found["after"])
    assert valid["bundle"] != trained["bundle"]
    assert (tmp_path / "build" / "bundle" / "model.onnx").stat().st_size == found["bytes_after"]


def test_a_useless_compression_is_rejected(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    project = str(tmp_path / "plane")
    run(capsys, "new", "plane", "--directory", project)
    trained = run(capsys, "train", project, "--runtime", "local")[1]
    code, record, _ = run(capsys, "compress", project, "--runtime", "local")
    assert code == 9
    assert "plane 1 stays uncompressed" in record["error"]
    valid = run(capsys, "validate", project, "--runtime", "local")[1]
    assert valid["bundle"] == trained["bundle"]
