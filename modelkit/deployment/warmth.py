"""How many instances of a function stand ready, and how many there may be, through Lambda's API.

Lambda provisions published versions alone: a function with a minimum is invoked by its version from then on.
"""

from typing import Any

from straightline.contracts.model import WarmPool

RIGHTS = (
    "lambda:PublishVersion, PutProvisionedConcurrencyConfig, PutFunctionConcurrency and "
    "DeleteFunctionConcurrency"
)


def keep_warm(client: Any, function: str, warm: WarmPool) -> str:
    """Set a function's provisioned and reserved concurrency; calling it again changes nothing.

    Provisioning goes on after this returns: until it is done, invocations start instances as ever.

    Args:
        client: boto3's, of Lambda.
        function: its plain name.
        warm: what its model asks for; `idle` is for those who start instances, and no setting of Lambda.

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
    client.put_provisioned_concurrency_config(
        FunctionName=function, Qualifier=version, ProvisionedConcurrentExecutions=warm.minimum
    )
    return f"{function}:{version}"


def plain(function: str) -> str:
    """Return a function's name without its version: who deletes one deletes all of it."""
    return function.partition(":")[0]
