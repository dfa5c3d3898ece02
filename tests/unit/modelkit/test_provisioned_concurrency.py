"""Provisioned and reserved concurrency, checked against botocore's model of Lambda's API."""

from collections.abc import Iterator
from typing import Any

import boto3.session
import pytest
from botocore.exceptions import ClientError
from botocore.stub import Stubber

from modelkit.deployment.provisioned_concurrency import (
    provision_function,
    set_concurrency,
    unqualified_name,
    wanted_minimums,
)
from straightline.contracts import ModelSpec
from straightline.contracts.deployed import DeployedModel, DeployedVersion
from straightline.contracts.model import WarmPool


@pytest.fixture
def client() -> Any:
    return boto3.session.Session(
        aws_access_key_id="none", aws_secret_access_key="none", region_name="eu-west-1"
    ).client("lambda")


@pytest.fixture
def lambda_(client: Any) -> Iterator[Stubber]:
    """Validates each call and response against botocore's model."""
    with Stubber(client) as stubber:
        yield stubber
        stubber.assert_no_pending_responses()


def test_a_minimum_is_provisioned_on_the_invoked_published_version(client: Any, lambda_: Stubber) -> None:
    reserved = {"FunctionName": "f", "ReservedConcurrentExecutions": 5}
    lambda_.add_response("put_function_concurrency", {"ReservedConcurrentExecutions": 5}, reserved)
    lambda_.add_response("publish_version", {"FunctionName": "f", "Version": "7"}, {"FunctionName": "f"})
    lambda_.add_response(
        "put_provisioned_concurrency_config",
        {"RequestedProvisionedConcurrentExecutions": 2, "Status": "IN_PROGRESS"},
        {"FunctionName": "f", "Qualifier": "7", "ProvisionedConcurrentExecutions": 2},
    )
    assert set_concurrency(client, "f", WarmPool(minimum=2, maximum=5)) == "f:7"


def test_without_a_minimum_the_function_itself_is_invoked_and_without_a_maximum_nothing_is_reserved(
    client: Any, lambda_: Stubber
) -> None:
    lambda_.add_response("delete_function_concurrency", {}, {"FunctionName": "f"})
    assert set_concurrency(client, "f", WarmPool()) == "f"


def test_errors_of_lambda_are_raised(client: Any, lambda_: Stubber) -> None:
    lambda_.add_client_error("put_function_concurrency", "InvalidParameterValueException", "below the floor")
    with pytest.raises(ClientError):
        set_concurrency(client, "f", WarmPool(maximum=1))


def test_a_version_without_traffic_is_published_and_not_provisioned(client: Any, lambda_: Stubber) -> None:
    lambda_.add_response("delete_function_concurrency", {}, {"FunctionName": "f"})
    lambda_.add_response("publish_version", {"FunctionName": "f", "Version": "7"}, {"FunctionName": "f"})
    assert set_concurrency(client, "f", WarmPool(minimum=2), ready=False) == "f:7"


ARN = "arn:aws:lambda:eu-west-1:1:function:f"


def listed(lambda_: Stubber, **requested: int) -> None:
    found = [
        {"FunctionArn": f"{ARN}:{version[1:]}", "RequestedProvisionedConcurrentExecutions": count}
        for version, count in requested.items()
    ]
    lambda_.add_response(
        "list_provisioned_concurrency_configs",
        {"ProvisionedConcurrencyConfigs": found},
        {"FunctionName": "f"},
    )


def test_only_the_version_that_is_invoked_stays_provisioned(client: Any, lambda_: Stubber) -> None:
    listed(lambda_, v6=2, v7=2)
    lambda_.add_response("delete_provisioned_concurrency_config", {}, {"FunctionName": "f", "Qualifier": "6"})
    provision_function(client, "f:7", 2)


def test_a_restored_default_is_provisioned_again(client: Any, lambda_: Stubber) -> None:
    listed(lambda_)
    lambda_.add_response(
        "put_provisioned_concurrency_config",
        {},
        {"FunctionName": "f", "Qualifier": "7", "ProvisionedConcurrentExecutions": 2},
    )
    provision_function(client, "f:7", 2)


def test_a_former_default_is_not_provisioned(client: Any, lambda_: Stubber) -> None:
    listed(lambda_, v7=2)
    lambda_.add_response("delete_provisioned_concurrency_config", {}, {"FunctionName": "f", "Qualifier": "7"})
    provision_function(client, "f:7", 0)


def test_only_default_and_canary_have_their_minimum() -> None:
    def version(name: str, function: str | None, minimum: int = 2) -> DeployedVersion:
        spec = ModelSpec(name="m", version=name, inputs=(), outputs=(), warm=WarmPool(minimum=minimum))
        return DeployedVersion(spec=spec, digest="sha256:a", function=function)

    versions = {
        "1": version("1", "a:1"),
        "2": version("2", "b:7"),
        "3": version("3", "c:1"),
        "4": version("4", "d", 0),
        "5": version("5", None),
    }
    model = DeployedModel(versions=versions, default="2", canary="3", share=5.0)
    assert wanted_minimums(model) == {"a:1": 0, "b:7": 2, "c:1": 2}


def test_a_function_is_deleted_with_its_versions() -> None:
    assert (
        unqualified_name("straightline-m-1-abc:7")
        == unqualified_name("straightline-m-1-abc")
        == "straightline-m-1-abc"
    )
