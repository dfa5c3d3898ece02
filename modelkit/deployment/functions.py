"""Deployment of functions through the API of AWS Lambda or the function host (AWS_ENDPOINT_URL_LAMBDA)."""

import io
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import msgspec
from botocore.exceptions import BotoCoreError, ClientError, WaiterError

from function_host.packages import code_sha256
from modelkit.deployment.errors import NotPlaced, NotReady
from modelkit.deployment.lambda_client import error_code, error_message, is_aws, lambda_client
from modelkit.deployment.provisioned_concurrency import (
    REQUIRED_PERMISSIONS,
    set_concurrency,
    unqualified_name,
)
from modelkit.deployment.target import Candidate, DeployedForm
from modelkit.package.archive import write_archive
from modelkit.package.function import DEFAULT_MEMORY_MIB
from straightline.contracts.deployed import DeployedVersion
from straightline.contracts.model import WarmPool
from straightline.contracts.parsing.decoding import decode
from straightline.errors import ConfigurationError, ContractError
from straightline.support.event_log import EventLogger

RUNTIME: Final = "python3.11"
HANDLER: Final = "function.handler"
MAX_PACKAGE_BYTES: Final = 50 * 1024 * 1024
"""Lambda's quota for a package that is uploaded with the call."""
MAX_TIMEOUT_S: Final = 900
MIN_MEMORY_MIB: Final = 128
_NOT_FOUND: Final = "ResourceNotFoundException"
_CONFLICT: Final = "ResourceConflictException"
_TRIAL_SUFFIX: Final = "t"
"""Suffix of the function that tests a package for a running one; names have room for one more character."""
_log = EventLogger(__name__)

Build = Callable[[Candidate, bool], Path]
"""Builds the function package, a directory or a file; True includes its libraries."""


class _Failure(msgspec.Struct):
    errorType: str = ""  # noqa: N815 - Lambda's spelling
    errorMessage: str = ""  # noqa: N815


class FunctionTarget:
    """Creates, updates and deletes functions, one for each version of a model.

    Args:
        build: builds packages.
        role: AWS role of the functions; the function host needs none.
        ready_timeout: seconds until a function must answer.

    Raises:
        ConfigurationError: boto3 has no region, or an invalid endpoint.
    """

    def __init__(self, build: Build, *, role: str | None, ready_timeout: float) -> None:
        self._build = build
        self._role = role
        self._ready_timeout = ready_timeout
        self._client = lambda_client(ready_timeout)
        self._aws = is_aws(self._client)

    def deploy(self, candidate: Candidate) -> DeployedForm:
        """Create or update the function; see `DeploymentTarget.deploy`."""
        if self._aws and self._role is None:
            raise ConfigurationError(
                "functions cannot be deployed: AWS needs a role for them. Set STRAIGHTLINE_DEPLOY_ROLE"
            )
        spec = candidate.bundle.spec
        name = deployed_function_name(spec.name, spec.version, candidate.digest)
        package = _zip_bytes(self._build(candidate, self._aws))
        if len(package) > MAX_PACKAGE_BYTES:
            raise NotPlaced(
                f"the package of {candidate.title} is too large: {len(package):,} bytes, and Lambda's limit "
                f"for an upload is {MAX_PACKAGE_BYTES:,}. Make the model or its requirements smaller, or use "
                "the form function-image"
            )
        fresh = self._created(name, package, candidate)
        changed = not fresh and not self._is_current(name, package, candidate)
        if changed:
            self._test_under_other_name(name + _TRIAL_SUFFIX, package, candidate)
        try:
            self._finish(name, package if changed else None, candidate)
            self._check_invocable(name, candidate.title)
            return DeployedForm(function=self._keep_warm(name, candidate, fresh=fresh))
        except (NotReady, NotPlaced):
            if fresh:
                self._delete(name)
            raise

    def remove(self, version: DeployedVersion) -> None:
        """Delete the function; see `DeploymentTarget.remove`."""
        if version.function is not None:
            self._delete(unqualified_name(version.function))

    def _created(self, name: str, package: bytes, candidate: Candidate) -> bool:
        """Create a function, and return whether it is new."""
        extra = {"Role": self._role or "arn:aws:iam::000000000000:role/none", "Runtime": RUNTIME}
        with _client_errors_as_not_placed(name):
            try:
                self._client.create_function(
                    FunctionName=name,
                    Code={"ZipFile": package},
                    PackageType="Zip",
                    **_settings(candidate),
                    **extra,
                )
            except ClientError as error:
                if error_code(error) != _CONFLICT:
                    raise
                return False
        return True

    def _is_current(self, name: str, package: bytes, candidate: Candidate) -> bool:
        """Return whether the function already has this package and these settings."""
        wanted = {**_settings(candidate), "CodeSha256": code_sha256(package)}
        with _client_errors_as_not_placed(name):
            found = self._client.get_function(FunctionName=name)["Configuration"]
        return all(
            found.get(key) == wanted[key] for key in ("CodeSha256", "Handler", "Timeout", "MemorySize")
        )

    def _test_under_other_name(self, name: str, package: bytes, candidate: Candidate) -> None:
        """Test a package under another name, so that a failure does not touch the running function."""
        self._delete(name)  # of an interrupted deployment
        try:
            self._created(name, package, candidate)
            self._finish(name, None, candidate)
            self._check_invocable(name, candidate.title)
        finally:
            try:
                self._delete(name)
            except NotPlaced as error:
                _log.warning("test_function_not_deleted", function=name, error=error)

    def _finish(self, name: str, package: bytes | None, candidate: Candidate) -> None:
        """Update the function if there is a package, and wait until it is active."""
        with _client_errors_as_not_placed(name):
            if package is not None:
                updated = self._client.get_waiter("function_updated_v2")
                self._client.update_function_code(FunctionName=name, ZipFile=package)
                updated.wait(FunctionName=name)
                self._client.update_function_configuration(FunctionName=name, **_settings(candidate))
                updated.wait(FunctionName=name)
            self._client.get_waiter("function_active_v2").wait(FunctionName=name)

    def _keep_warm(self, name: str, candidate: Candidate, *, fresh: bool) -> str:
        warm = candidate.bundle.spec.warm
        if warm == WarmPool() and fresh:
            return name
        try:
            return set_concurrency(self._client, name, warm, ready=candidate.receives_traffic)
        except (ClientError, BotoCoreError, OSError) as error:
            why = error_message(error)
            raise NotPlaced(
                f"the function {name} cannot have {warm.minimum} instances ready"
                f"{f' and {warm.maximum} at most' if warm.maximum else ''}: {why}. Change [warm] in its "
                f"model.toml. On AWS, grant {REQUIRED_PERMISSIONS}, and check the account's concurrency"
            ) from error

    def _check_invocable(self, name: str, title: str) -> None:
        """Invoke the function with an empty event; one that has loaded its model answers `InvalidInput`."""
        try:
            response = self._client.invoke(FunctionName=name, Payload=b"{}")
            payload = response["Payload"].read()
        except (ClientError, BotoCoreError, OSError) as error:
            raise NotReady(f"the function {name} of {title} cannot be invoked: {error}") from error
        try:
            failure = decode(payload, _Failure)
        except ContractError:
            failure = _Failure()
        if failure.errorType != "InvalidInput":
            raise NotReady(
                f"the function {name} of {title} does not become ready ({failure.errorType or 'no answer'}): "
                f"{failure.errorMessage or payload[:500].decode(errors='replace')}. Fix the model, or raise "
                "`memory` in its model.toml"
            )

    def _delete(self, name: str) -> None:
        try:
            self._client.delete_function(FunctionName=name)
        except ClientError as error:
            if error_code(error) != _NOT_FOUND:
                raise NotPlaced(f"the function {name} cannot be deleted: {error_message(error)}") from error
        except (BotoCoreError, OSError) as error:
            raise NotPlaced(f"the function {name} cannot be deleted: {error}") from error


@contextmanager
def _client_errors_as_not_placed(name: str) -> Iterator[None]:
    """Raise errors of the client as `NotPlaced`."""
    try:
        yield
    except ClientError as error:
        raise NotPlaced(
            f"the function {name} was refused: {error_message(error)} ({error_code(error)}). Start the "
            "function host with STRAIGHTLINE_FUNCTIONS_DEPLOY=true. On AWS, grant lambda:CreateFunction, "
            "UpdateFunctionCode, UpdateFunctionConfiguration, GetFunction, DeleteFunction, InvokeFunction "
            "and iam:PassRole"
        ) from error
    except (BotoCoreError, WaiterError, OSError) as error:
        raise NotPlaced(
            f"the function {name} could not be created: {error}. Check AWS_ENDPOINT_URL_LAMBDA"
        ) from error


def deployed_function_name(model: str, version: str, digest: str) -> str:
    """Return the name of a version's function, at most 64 characters; the digest keeps cut names apart."""
    words = [text.replace(".", "-") for text in (model, version)]
    return f"straightline-{words[0][:24]}-{words[1][:12]}-{digest.removeprefix('sha256:')[:12]}"


def _settings(candidate: Candidate) -> dict[str, Any]:
    spec = candidate.bundle.spec
    return {
        "Handler": HANDLER,
        "Timeout": min(MAX_TIMEOUT_S, math.ceil(spec.timeout)),
        "MemorySize": max(MIN_MEMORY_MIB, spec.resources.memory or DEFAULT_MEMORY_MIB),
        "Description": f"{candidate.title} {candidate.digest}"[:256],
    }


def _zip_bytes(package: Path) -> bytes:
    if package.is_file():
        return package.read_bytes()
    memory = io.BytesIO()
    write_archive(package, memory)
    return memory.getvalue()
