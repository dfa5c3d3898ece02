"""The examples of the SDK's page run as they stand there."""

import re
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest

from straightline.contracts import Outcome, Request
from tests.integration.straightline.replier import Replier

pytestmark = pytest.mark.integration

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "straightline" / "README.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
RESULT = {
    "model_name": "digits",
    "outputs": [{"name": "label", "shape": [1], "datatype": "INT64", "data": [7]}],
}


def answer(request: Request) -> Outcome:
    return Outcome(
        request_id=request.id,
        state="succeeded",
        backend="local",
        finished_at=time.time(),
        result=msgspec.Raw(msgspec.json.encode(RESULT)),
    )


def test_there_are_examples() -> None:
    assert len(EXAMPLES) == 3


@pytest.mark.parametrize("example", EXAMPLES, ids=["one", "many", "asyncio"])
def test_an_example_runs(broker_url: str, example: str) -> None:
    with Replier(broker_url, answer):
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", example],
            capture_output=True,
            text=True,
            check=False,
            cwd=ROOT,
            env={"STRAIGHTLINE_BROKER_URL": broker_url},
            timeout=120,
        )
    assert (done.returncode, done.stderr) == (0, "")
    assert "succeeded" in done.stdout


def test_the_examples_are_typed(tmp_path: Path) -> None:
    """As a user's strict mypy reads them; what it knows of the package comes from the package itself."""
    for number, example in enumerate(EXAMPLES):
        (tmp_path / f"example_{number}.py").write_text(example, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={"MYPYPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stdout
