"""A pool knows what was deployed before it came, learns what is deployed while it works, and waits for it."""

import threading
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from flask import Flask
from werkzeug.serving import make_server

from straightline.amqp.publishing.publisher import Publisher
from straightline.contracts import FailedAttempts, ModelSpec, TensorSpec
from straightline.contracts.deployed import Deployed, DeployedModel, DeployedVersion
from straightline.messages.streams import deployed_message

pytestmark = pytest.mark.integration


@pytest.fixture
def announce(broker_url: str) -> Iterator[Any]:
    """Announce external versions of the model, each by its URL."""
    with Publisher(broker_url, name="test") as publisher:
        revision = iter(range(1, 100))

        def tell(**urls: str) -> None:
            tensors = {name: (TensorSpec(name=name, datatype="FP32", shape=(-1, 2)),) for name in ("x", "y")}
            versions = {
                version: DeployedVersion(
                    spec=ModelSpec(
                        name="double",
                        version=version,
                        inputs=tensors["x"],
                        outputs=tensors["y"],
                        backends=("local",),
                        url=url,
                    ),
                    digest="sha256:0",
                )
                for version, url in urls.items()
            }
            model = DeployedModel(versions=versions, default=next(iter(versions), None))
            publisher.publish(
                deployed_message(Deployed(revision=next(revision), models={"double": model}))
            ).result()

        yield tell


@pytest.fixture
def second() -> Iterator[str]:
    """A server of version v2, which triples."""
    app = Flask(__name__)

    @app.get("/v2/models/double")
    def metadata() -> Any:
        return {"name": "double", "versions": ["v2"]}

    @app.get("/v2/models/double/versions/v2/ready")
    def ready() -> Any:
        return {"ready": True}

    @app.post("/v2/models/double/versions/v2/infer")
    def infer() -> Any:
        return {
            "model_name": "double",
            "outputs": [{"name": "y", "shape": [1, 2], "datatype": "FP32", "data": [3.0, 3.0]}],
        }

    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def answered(bench: Any, version: str) -> list[float]:
    bench.place(bench.ticket([1.0, 1.0], version=version))
    (outcome,) = bench.outcomes(1)
    assert outcome.state == "succeeded", outcome
    return list(msgspec.json.decode(outcome.result)["outputs"][0]["data"])


def test_a_version_deployed_while_the_pool_runs_is_executed(
    bench: Any, start_worker: Any, announce: Any, second: str
) -> None:
    start_worker()
    assert answered(bench, "1") == [2.0, 2.0]
    announce(v2=second)
    assert answered(bench, "v2") == [3.0, 3.0]


def test_a_pool_that_starts_later_knows_earlier_deployments(
    bench: Any, start_worker: Any, announce: Any, second: str
) -> None:
    announce(v2=second)
    bench.place(bench.ticket([1.0, 1.0], version="v2"))
    start_worker()
    (outcome,) = bench.outcomes(1)
    assert outcome.state == "succeeded"


def test_a_placement_that_overtakes_its_announcement_waits_for_it(
    bench: Any, start_worker: Any, announce: Any, second: str
) -> None:
    start_worker()
    bench.place(bench.ticket([1.0, 1.0], version="v2"))
    bench.wait_for("the pool took it", lambda: bench.heartbeat().active == 1)
    announce(v2=second)
    (outcome,) = bench.outcomes(1)
    assert outcome.state == "succeeded"


def test_a_version_that_is_not_deployed_is_given_back(
    bench: Any, start_worker: Any, announce: Any, second: str
) -> None:
    announce(v2=second)
    start_worker()
    bench.place(bench.ticket([1.0, 1.0], version="v9"))
    (failed,) = msgspec.json.decode(bench.get(bench.attempts), type=FailedAttempts).failed
    assert failed.attempt.error_class == "not_deployed"


def test_an_unknown_model_before_the_first_announcement_is_given_back_as_not_informed(
    bench: Any, start_worker: Any
) -> None:
    start_worker()
    bench.place(bench.ticket([1.0, 1.0], version="v9"))
    (failed,) = msgspec.json.decode(bench.get(bench.attempts), type=FailedAttempts).failed
    assert failed.attempt.error_class == "not_informed"
