"""Deployment to the model directory that a model server watches."""

import shutil
import time
from http import HTTPStatus
from pathlib import Path
from typing import Final
from urllib.parse import quote

import msgspec
import urllib3
from urllib3.exceptions import HTTPError

from model_server.models.bundle import content_digest
from modelkit.deployment.errors import NotPlaced, NotReady
from modelkit.deployment.target import Candidate, DeployedForm
from straightline.contracts.deployed import DeployedVersion
from straightline.contracts.parsing.decoding import decode
from straightline.errors import ContractError
from straightline.support.atomic_directory import replace_directory

UNKNOWN_MODEL_TIMEOUT_S: Final = 10.0
"""After this time, a server that does not know the version is assumed to watch another directory."""
POLL_INTERVAL_S: Final = 0.1


class _Error(msgspec.Struct):
    error: str = ""


class DirectoryTarget:
    """Copies bundles into the model directory.

    Args:
        models: the directory.
        server: base URL of the model server that watches it; None does not wait for a server.
        ready_timeout: seconds until the server must serve the version.
    """

    def __init__(self, models: Path, server: str | None, ready_timeout: float) -> None:
        self._models = models
        self._server = server
        self._ready_timeout = ready_timeout

    def deploy(self, candidate: Candidate) -> DeployedForm:
        """Copy the bundle; see `DeploymentTarget.deploy`."""
        spec = candidate.bundle.spec
        target = self._models / spec.name / spec.version
        fresh = not target.is_dir()
        if fresh or f"sha256:{content_digest(target)}" != candidate.digest:
            self._copy(candidate, target)
        if self._server is not None and spec.url is None:
            try:
                _wait_ready(self._server, spec.name, spec.version, self._ready_timeout)
            except NotReady:
                if fresh:
                    shutil.rmtree(target, ignore_errors=True)
                raise
        return DeployedForm()

    def _copy(self, candidate: Candidate, target: Path) -> None:
        try:
            self._models.mkdir(parents=True, exist_ok=True)
            with replace_directory(target, scratch=self._models) as fresh:
                shutil.copytree(candidate.staged, fresh, dirs_exist_ok=True)
        except OSError as error:
            raise NotPlaced(
                f"{candidate.title} cannot be written to {self._models}: {error}. Set "
                "STRAIGHTLINE_MODELS_DIR to a writable directory"
            ) from error

    def remove(self, version: DeployedVersion) -> None:
        """Delete the version; see `DeploymentTarget.remove`."""
        model = self._models / version.spec.name
        try:
            shutil.rmtree(model / version.spec.version)
        except FileNotFoundError:
            return
        except OSError as error:
            raise NotPlaced(f"{model / version.spec.version} cannot be removed: {error}") from error
        if not any(model.iterdir()):
            model.rmdir()


def _wait_ready(server: str, name: str, version: str, ready_timeout: float) -> None:
    url = f"{server.rstrip('/')}/v2/models/{quote(name, safe='')}/versions/{quote(version, safe='')}/ready"
    title = f"{name} {version}"
    began = time.monotonic()
    with urllib3.PoolManager(retries=False) as http:
        while True:
            status, why = _readiness(http, url, title, began + ready_timeout - time.monotonic())
            if status == HTTPStatus.OK:
                return
            if "is not served:" in why:
                raise NotReady(f"the model server cannot load it: {why}")
            waited = time.monotonic() - began
            loading = status == HTTPStatus.SERVICE_UNAVAILABLE
            if loading and waited > ready_timeout:
                raise NotReady(
                    f"the model server did not load {title} within {ready_timeout:g} s. Make loading faster, "
                    "or raise STRAIGHTLINE_DEPLOY_PATIENCE"
                )
            if not loading and waited > min(ready_timeout, UNKNOWN_MODEL_TIMEOUT_S):
                raise NotReady(
                    f"the model server at STRAIGHTLINE_LOCAL_URL does not serve {title}: {why}. "
                    "Make it watch STRAIGHTLINE_MODELS_DIR (STRAIGHTLINE_SERVE_WATCH)"
                )
            time.sleep(POLL_INTERVAL_S)


def _readiness(http: urllib3.PoolManager, url: str, title: str, timeout: float) -> tuple[int, str]:
    """Return the status of a readiness request, and the server's message."""
    try:
        response = http.request("GET", url, timeout=max(0.1, timeout))
    except HTTPError as error:
        raise NotReady(
            f"the model server at STRAIGHTLINE_LOCAL_URL does not answer: {type(error).__name__}. Start it, "
            f"or raise STRAIGHTLINE_DEPLOY_PATIENCE if {title} takes longer to load"
        ) from error
    return response.status, _error_message(response.data) or f"HTTP {response.status}"


def _error_message(body: bytes) -> str:
    try:
        return decode(body, _Error).error
    except ContractError:
        return ""
