"""How many instances of a function stand ready, and how many there may be, through Lambda's API.

Lambda provisions published versions alone: a function with a minimum is invoked by its version from then on.
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
    """Set a function's provisioned and reserved concurrency; calling it again changes nothing.

    Provisioning goes on after this returns: until it is done, invocations start instances as ever.

    Args:
        client: boto3's, of Lambda.
        function: its plain name.
        warm: what its model asks for; `idle` is for those who start instances, and no setting of Lambda.
        ready: whether the minimum is provisioned now; it can be later, as the name to invoke is the same.

    Returns:
        The name to invoke.

    Raises:
        ClientError, BotoCoreError: as the client.
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
    """Have the minima of a model's default and canary provisioned, and those of its other versions not.

    Args:
        model: all of its versions.
        done: what has been done before, for people.

    Raises:
        NotPlaced: it could not be set.
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
    """Return the functions that are invoked by a version, each with the minimum that it is to have now."""
    standing = (model.default, model.canary)
    return {
        each.function: each.spec.warm.minimum if version in standing else 0
        for version, each in model.versions.items()
        if each.function is not None and each.function != unqualified_name(each.function)
    }


def provision_function(client: Any, function: str, minimum: int) -> None:
    """Provision a function's minimum for the version that is invoked, and nothing for any other.

    Args:
        client: boto3's, of Lambda.
        function: its name, with the version that is invoked.
        minimum: 0 provisions nothing.

    Raises:
        ClientError, BotoCoreError: as the client.
    """
    name, _, wanted = function.partition(":")
    there = 0
    for page in client.get_paginator("list_provisioned_concurrency_configs").paginate(FunctionName=name):
        for found in page["ProvisionedConcurrencyConfigs"]:
            version = found["FunctionArn"].rpartition(":")[2]
            if version == wanted and minimum:
                there = found["RequestedProvisionedConcurrentExecutions"]
            else:
                client.delete_provisioned_concurrency_config(FunctionName=name, Qualifier=version)
    if there != minimum:
        _provision(client, name, wanted, minimum)


def unqualified_name(function: str) -> str:
    """Return a function's name without its version: who deletes one deletes all of it."""
    return function.partition(":")[0]


def _provision(client: Any, name: str, version: str, minimum: int) -> None:
    client.put_provisioned_concurrency_config(
        FunctionName=name, Qualifier=version, ProvisionedConcurrentExecutions=minimum
    )
