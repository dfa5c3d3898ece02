"""Provisioned and reserved concurrency of functions, through Lambda's API.

Lambda provisions only published versions, so a function with a minimum is invoked by its version.
"""

from collections.abc import Mapping
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from modelkit.deployment.errors import NotPlaced
from modelkit.deployment.lambda_client import error_message, lambda_client
from straightline.contracts.deployed import DeployedModel
from straightline.contracts.model import WarmPool
from straightline.errors import ConfigurationError

REQUIRED_PERMISSIONS = (
    "lambda:PublishVersion, PutProvisionedConcurrencyConfig, ListProvisionedConcurrencyConfigs, "
    "DeleteProvisionedConcurrencyConfig, PutFunctionConcurrency and DeleteFunctionConcurrency"
)


def set_concurrency(client: Any, function: str, warm: WarmPool, *, ready: bool = True) -> str:
    """Set the provisioned and reserved concurrency of a function. Repeating it changes nothing.

    Provisioning continues after this returns; until it is done, invocations start instances on demand.

    Args:
        client: boto3's client of Lambda.
        function: unqualified name of the function.
        warm: the model's minimum and maximum; Lambda has no setting for `idle`.
        ready: whether to provision the minimum now. The name to invoke is the same either way.

    Returns:
        The name to invoke.

    Raises:
        ClientError, BotoCoreError: the call failed.
    """
    if warm.maximum is not None:
        client.put_function_concurrency(FunctionName=function, ReservedConcurrentExecutions=warm.maximum)
    else:
        client.delete_function_concurrency(FunctionName=function)
    if not warm.minimum:
        return function
    version = client.publish_version(FunctionName=function)["Version"]
    if ready:
        _provision(client, function, version, warm.minimum)
    return f"{function}:{version}"


def provision_model(model: DeployedModel, done: str) -> None:
    """Provision the minimum of a model's default and canary, and nothing for its other versions.

    Args:
        model: the model with all its versions.
        done: what the command has done so far, for the error message.

    Raises:
        NotPlaced: the concurrency could not be set.
    """
    wanted = wanted_minimums(model)
    if not wanted:
        return
    try:
        client = lambda_client()
        for function, minimum in wanted.items():
            provision_function(client, function, minimum)
    except (ClientError, BotoCoreError, OSError, ConfigurationError) as error:
        raise NotPlaced(
            f"{done}; but its provisioned concurrency could not be set: {error_message(error)}. The next "
            f"deployment of this model sets it. On AWS, grant {REQUIRED_PERMISSIONS}"
        ) from error


def wanted_minimums(model: DeployedModel) -> Mapping[str, int]:
    """Return the minimum to provision for each function that is invoked by a version."""
    with_traffic = (model.default, model.canary)
    return {
        each.function: each.spec.warm.minimum if version in with_traffic else 0
        for version, each in model.versions.items()
        if each.function is not None and each.function != unqualified_name(each.function)
    }


def provision_function(client: Any, function: str, minimum: int) -> None:
    """Provision the minimum for one version of a function, and nothing for its other versions.

    Args:
        client: boto3's client of Lambda.
        function: name of the function, with the version to provision.
        minimum: number of instances; 0 provisions nothing.

    Raises:
        ClientError, BotoCoreError: the call failed.
    """
    name, _, wanted = function.partition(":")
    provisioned = 0
    for page in client.get_paginator("list_provisioned_concurrency_configs").paginate(FunctionName=name):
        for found in page["ProvisionedConcurrencyConfigs"]:
            version = found["FunctionArn"].rpartition(":")[2]
            if version == wanted and minimum:
                provisioned = found["RequestedProvisionedConcurrentExecutions"]
            else:
                client.delete_provisioned_concurrency_config(FunctionName=name, Qualifier=version)
    if provisioned != minimum:
        _provision(client, name, wanted, minimum)


def unqualified_name(function: str) -> str:
    """Return the name of a function without its version."""
    return function.partition(":")[0]


def _provision(client: Any, name: str, version: str, minimum: int) -> None:
    client.put_provisioned_concurrency_config(
        FunctionName=name, Qualifier=version, ProvisionedConcurrentExecutions=minimum
    )
