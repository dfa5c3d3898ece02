"""Functions, through AWS Lambda's API: AWS's own, or the function host's (AWS_ENDPOINT_URL_LAMBDA)."""

import io
import logging
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import msgspec
from botocore.exceptions import BotoCoreError, ClientError, WaiterError

from function_host.hosting.packages import code_sha256
from modelkit.deployment.errors import NotPlaced, NotReady
from modelkit.deployment.lambda_client import code_of, is_aws, lambda_client, message_of
from modelkit.deployment.provisioned_concurrency import RIGHTS, keep_warm, plain
from modelkit.deployment.target import Candidate, Placed
from modelkit.package.archive import write_archive
from modelkit.package.function import MEMORY_MB
from straightline.contracts.deployed import DeployedVersion
from straightline.contracts.model import WarmPool
from straightline.contracts.parsing.decoding import decode
from straightline.errors import ConfigurationError, ContractError

RUNTIME: Final = "python3.11"
HANDLER: Final = "function.handler"
LARGEST: Final = 50 * 1024 * 1024
"""Bytes of a package that Lambda takes with the call itself, by its quotas."""
_LONGEST: Final = 900
_SMALLEST_MB: Final = 128
_GONE: Final = "ResourceNotFoundException"
_THERE: Final = "ResourceConflictException"
_REHEARSAL: Final = "t"
"""Ends the name of a function that is tried in place of a running one; names may have one more character."""
_log = logging.getLogger(__name__)

Build = Callable[[Candidate, bool], Path]
"""Builds the function's package, a directory or a file, whole with its libraries where asked to."""


class _Failure(msgspec.Struct):
    errorType: str = ""  # noqa: N815 - as Lambda writes it
    errorMessage: str = ""  # noqa: N815


class Functions:
    """Creates, updates and deletes functions, one for each version of a model.

    Args:
        build: makes packages.
        role: that AWS runs them with; the function host needs none.
        patience: seconds until one must answer.

    Raises:
        ConfigurationError: boto3 has no region, or a wrong endpoint.
    """

    def __init__(self, build: Build, *, role: str | None, patience: float) -> None:
        self._build = build
        self._role = role
        self._patience = patience
        self._client = lambda_client(patience)
        self._aws = is_aws(self._client)

    def put(self, candidate: Candidate) -> Placed:
        """Create the version's function, or update it; see `Place.put`."""
        if self._aws and self._role is None:
            raise ConfigurationError("AWS runs a function under a role: set STRAIGHTLINE_DEPLOY_ROLE")
        spec = candidate.bundle.spec
        name = function_of(spec.name, spec.version, candidate.digest)
        package = _zipped(self._build(candidate, self._aws))
        if len(package) > LARGEST:
            raise NotPlaced(
                f"the package of {candidate.title} has {len(package):,} bytes, and Lambda takes {LARGEST:,} "
                "with the call: make the model or its requirements smaller, or take the form function-image"
            )
        fresh = self._created(name, package, candidate)
        changed = not fresh and not self._is(name, package, candidate)
        if changed:
            self._rehearse(name + _REHEARSAL, package, candidate)
        try:
            self._finish(name, package if changed else None, candidate)
            self._try(name, candidate.title)
            return Placed(function=self._keep_warm(name, candidate, fresh=fresh))
        except (NotReady, NotPlaced):
            if fresh:
                self._delete(name)
            raise

    def take(self, version: DeployedVersion) -> None:
        """Delete a version's function; see `Place.take`."""
        if version.function is not None:
            self._delete(plain(version.function))

    def _created(self, name: str, package: bytes, candidate: Candidate) -> bool:
        """Create it; return whether it is new."""
        extra = {"Role": self._role or "arn:aws:iam::000000000000:role/none", "Runtime": RUNTIME}
        with _translated(name):
            try:
                self._client.create_function(
                    FunctionName=name,
                    Code={"ZipFile": package},
                    PackageType="Zip",
                    **_settings(candidate),
                    **extra,
                )
            except ClientError as error:
                if code_of(error) != _THERE:
                    raise
                return False
        return True

    def _is(self, name: str, package: bytes, candidate: Candidate) -> bool:
        """Whether a function has this package and these settings already."""
        wanted = {**_settings(candidate), "CodeSha256": code_sha256(package)}
        with _translated(name):
            found = self._client.get_function(FunctionName=name)["Configuration"]
        return all(
            found.get(key) == wanted[key] for key in ("CodeSha256", "Handler", "Timeout", "MemorySize")
        )

    def _rehearse(self, name: str, package: bytes, candidate: Candidate) -> None:
        """Try a package under another name: the function that runs keeps answering, whatever comes of it."""
        self._delete(name)  # of a deployment that was broken off
        try:
            self._created(name, package, candidate)
            self._finish(name, None, candidate)
            self._try(name, candidate.title)
        finally:
            try:
                self._delete(name)
            except NotPlaced as error:
                _log.warning("it was there for a trial alone, delete it by hand: %s", error)

    def _finish(self, name: str, package: bytes | None, candidate: Candidate) -> None:
        """Update it, where there is a package for that, and wait until it is active."""
        with _translated(name):
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
            return keep_warm(self._client, name, warm, ready=candidate.standing)
        except (ClientError, BotoCoreError, OSError) as error:
            why = message_of(error)
            raise NotPlaced(
                f"the function {name} cannot have {warm.minimum} instances ready"
                f"{f' and {warm.maximum} at most' if warm.maximum else ''}: {why}; change [warm] in its "
                f"model.toml; on AWS the user needs {RIGHTS}, and the account the concurrency"
            ) from error

    def _try(self, name: str, title: str) -> None:
        """Invoke it with what is no request: it says so where it has loaded the model."""
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
                f"{failure.errorMessage or payload[:500].decode(errors='replace')}; correct the model, or "
                "give it more `memory` in its model.toml"
            )

    def _delete(self, name: str) -> None:
        try:
            self._client.delete_function(FunctionName=name)
        except ClientError as error:
            if code_of(error) != _GONE:
                raise NotPlaced(f"the function {name} cannot be deleted: {message_of(error)}") from error
        except (BotoCoreError, OSError) as error:
            raise NotPlaced(f"the function {name} cannot be deleted: {error}") from error


@contextmanager
def _translated(name: str) -> Iterator[None]:
    """Raise the client's errors as `NotPlaced`."""
    try:
        yield
    except ClientError as error:
        raise NotPlaced(
            f"the function {name} was refused ({code_of(error)}): {message_of(error)}; the function host "
            "must be started with STRAIGHTLINE_FUNCTIONS_DEPLOY=true, and on AWS the user needs "
            "lambda:CreateFunction, UpdateFunctionCode, UpdateFunctionConfiguration, GetFunction, "
            "DeleteFunction, InvokeFunction and iam:PassRole"
        ) from error
    except (BotoCoreError, WaiterError, OSError) as error:
        raise NotPlaced(
            f"the function {name} could not be created: {error}; is AWS_ENDPOINT_URL_LAMBDA right?"
        ) from error


def function_of(model: str, version: str, digest: str) -> str:
    """Return the name of a version's function, 64 characters at most; the digest tells apart what is cut."""
    words = [text.replace(".", "-") for text in (model, version)]
    return f"straightline-{words[0][:24]}-{words[1][:12]}-{digest.removeprefix('sha256:')[:12]}"


def _settings(candidate: Candidate) -> dict[str, Any]:
    spec = candidate.bundle.spec
    return {
        "Handler": HANDLER,
        "Timeout": min(_LONGEST, math.ceil(spec.timeout)),
        "MemorySize": max(_SMALLEST_MB, spec.resources.memory or MEMORY_MB),
        "Description": f"{candidate.title} {candidate.digest}"[:256],
    }


def _zipped(package: Path) -> bytes:
    if package.is_file():
        return package.read_bytes()
    memory = io.BytesIO()
    write_archive(package, memory)
    return memory.getvalue()
