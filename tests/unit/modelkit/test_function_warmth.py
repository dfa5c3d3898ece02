"""Provisioned and reserved concurrency, held against botocore's model of Lambda's API."""

from collections.abc import Iterator
from typing import Any

import boto3.session
import pytest
from botocore.exceptions import ClientError
from botocore.stub import Stubber

from modelkit.deployment.warmth import keep_warm, plain
from straightline.contracts.model import WarmPool


@pytest.fixture
def client() -> Any:
    return boto3.session.Session(
        aws_access_key_id="none", aws_secret_access_key="none", region_name="eu-west-1"
    ).client("lambda")


@pytest.fixture
def lambda_(client: Any) -> Iterator[Stubber]:
    """Validates each call, and each answer, by the service's model."""
    with Stubber(client) as stubber:
        yield stubber
        stubber.assert_no_pending_responses()


def test_a_minimum_is_provisioned_on_a_published_version_which_is_invoked(
    client: Any, lambda_: Stubber
) -> None:
    reserved = {"FunctionName": "f", "ReservedConcurrentExecutions": 5}
    lambda_.add_response("put_function_concurrency", {"ReservedConcurrentExecutions": 5}, reserved)
    lambda_.add_response("publish_version", {"FunctionName": "f", "Version": "7"}, {"FunctionName": "f"})
    lambda_.add_response(
        "put_provisioned_concurrency_config",
        {"RequestedProvisionedConcurrentExecutions": 2, "Status": "IN_PROGRESS"},
        {"FunctionName": "f", "Qualifier": "7", "ProvisionedConcurrentExecutions": 2},
    )
    assert keep_warm(client, "f", WarmPool(minimum=2, maximum=5)) == "f:7"


def test_without_a_minimum_the_function_itself_is_invoked_and_without_a_maximum_nothing_is_reserved(
    client: Any, lambda_: Stubber
) -> None:
    lambda_.add_response("delete_function_concurrency", {}, {"FunctionName": "f"})
    assert keep_warm(client, "f", WarmPool()) == "f"


def test_what_lambda_refuses_is_not_hidden(client: Any, lambda_: Stubber) -> None:
    lambda_.add_client_error("put_function_concurrency", "InvalidParameterValueException", "below the floor")
    with pytest.raises(ClientError):
        keep_warm(client, "f", WarmPool(maximum=1))


def test_a_function_is_deleted_with_its_versions() -> None:
    assert plain("straightline-m-1-abc:7") == plain("straightline-m-1-abc") == "straightline-m-1-abc"
