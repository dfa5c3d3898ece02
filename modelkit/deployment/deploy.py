"""Deployment of one bundle to its targets and into the registry, rolled back if a step fails."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import msgspec

from model_server.models.bundle import Bundle, content_digest, read_bundle
from modelkit.deployment.settings import Database
from modelkit.deployment.target import Candidate, DeployedForm, DeploymentTarget
from outcomes.db.database import connected
from outcomes.db.errors import CommitUncertain, OtherDigest
from outcomes.registry.aliases import Alias
from outcomes.registry.checks import check_alias, check_digest, deployment_lock
from outcomes.registry.deployments import record
from outcomes.registry.registry import alias_of, find_version
from straightline.contracts import ModelSpec
from straightline.contracts.deployed import Deployed, DeployedVersion
from straightline.errors import ConfigurationError, StraightLineError
from straightline.models.catalogue import version_key
from straightline.names import BACKENDS, Backend
from straightline.support.event_log import EventLogger

_log = EventLogger(__name__)
LoadCheck = Callable[[Candidate], None]


class DeployOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How to deploy a bundle.

    Attributes:
        backends: where to deploy it; empty takes those of its model.toml.
        share: percent of the requests without a version that it gets as a canary; None for no canary.
        default: whether it becomes the default, without `share`.
        who: user who deploys, for the registry.
    """

    backends: tuple[Backend, ...] = ()
    share: float | None = None
    default: bool = True
    who: str


def deploy(
    candidate: Candidate,
    options: DeployOptions,
    *,
    targets: Mapping[Backend, DeploymentTarget],
    database: Database,
    models: Path,
    load_check: LoadCheck,
) -> Deployed:
    """Deploy a bundle.

    Args:
        candidate: the bundle.
        options: how to deploy it.
        targets: the target of each backend.
        database: database of the registry.
        models: model directory; the first deployment of a model adopts the versions found there.
        load_check: tests the bundle before any target takes it.

    Returns:
        All deployed versions, to be announced.

    Raises:
        OtherDigest: the version is already deployed with other content.
        RegistryRefused: it cannot be a canary, or another deployment of this model is running.
        NotReady, NotPlaced: a target failed; the deployment is rolled back.
        CommitUncertain: it is unknown whether the registry has the version; nothing is rolled back.
        StraightLineError: building a form or the ledger failed.
    """
    spec = candidate.bundle.spec
    backends = check_backends(candidate.bundle, options.backends)
    with (
        connected(database.url, name="straightline-deploy", setting=database.setting) as connection,
        deployment_lock(connection, spec.name),
    ):
        known = find_version(connection, spec.name, spec.version)
        check_digest(known, candidate.digest)
        check_alias(connection, spec.name, spec.version, options.share)
        candidate = msgspec.structs.replace(
            candidate,
            receives_traffic=_receives_traffic(alias_of(connection, spec.name), spec.version, options),
        )
        connection.rollback()  # ends the transaction, since the rest may take minutes
        directory = models / spec.name / spec.version
        existing = _existing_backends(directory, candidate) if known is None else known.spec.backends
        load_check(candidate)
        with _rollback_on_error(targets, existing) as deploy_to:
            forms = [deploy_to(backend, candidate) for backend in backends]
            all_backends = {*backends, *(known.spec.backends if known else ())}
            return record(
                connection,
                _deployed_version(candidate, forms, all_backends, known),
                who=options.who,
                share=options.share,
                default=options.default,
                adopted=_unregistered_versions(models / spec.name, excluding=spec.version),
            )


def check_backends(bundle: Bundle, wanted: tuple[Backend, ...]) -> tuple[Backend, ...]:
    """Return the wanted backends, or by default all of the bundle's model.toml.

    Raises:
        ConfigurationError: the model.toml does not list a wanted backend.
    """
    for backend in wanted:
        if backend not in bundle.spec.backends:
            raise ConfigurationError(
                f"{bundle.spec.name} {bundle.spec.version} is not made for {backend}: its model.toml lists "
                f"{', '.join(bundle.spec.backends)}. Add {backend} to `backends`"
            )
    return wanted or bundle.spec.backends


def _receives_traffic(alias: Alias, version: str, options: DeployOptions) -> bool:
    """Return whether requests without a version may go to this one."""
    return options.default or options.share is not None or version in (alias.version or version, alias.canary)


@contextmanager
def _rollback_on_error(
    targets: Mapping[Backend, DeploymentTarget], existing: Iterable[Backend]
) -> Iterator[Callable[[Backend, Candidate], DeployedForm]]:
    """Yield a function that deploys to a backend; if the block fails, remove what it has deployed.

    Args:
        targets: the target of each backend.
        existing: backends that have had the version before; they are not rolled back.
    """
    done: list[tuple[DeploymentTarget, DeployedVersion]] = []

    def deploy_to(backend: Backend, candidate: Candidate) -> DeployedForm:
        form = targets[backend].deploy(candidate)
        if backend not in existing:
            done.append((targets[backend], _deployed_version(candidate, [form], {backend}, None)))
        return form

    try:
        yield deploy_to
    except CommitUncertain:
        raise  # it may be deployed; `remove` deletes it
    except BaseException:
        for target, version in reversed(done):
            try:
                target.remove(version)
            except StraightLineError as error:
                _log.warning("rollback_incomplete", error=error)
        raise


def _deployed_version(
    candidate: Candidate,
    forms: Iterable[DeployedForm],
    backends: set[Backend],
    known: DeployedVersion | None,
) -> DeployedVersion:
    image = function = None
    for each in forms:
        image, function = each.image or image, each.function or function
    return DeployedVersion(
        spec=_model_spec(candidate.bundle, tuple(each for each in BACKENDS if each in backends)),
        digest=candidate.digest,
        image=image or (known.image if known else None),
        function=function or (known.function if known else None),
    )


def _model_spec(bundle: Bundle, backends: tuple[Backend, ...]) -> ModelSpec:
    members = {name: getattr(bundle.spec, name) for name in ModelSpec.__struct_fields__}
    return ModelSpec(**{**members, "backends": backends})


def _unregistered_versions(model: Path, *, excluding: str) -> list[DeployedVersion]:
    """Return the versions in the directory of a model, the newest last."""
    found = []
    for file in sorted(model.glob("*/model.toml"), key=lambda file: version_key(file.parent.name)):
        if file.parent.name == excluding:
            continue
        try:
            bundle = read_bundle(file.parent)
        except ConfigurationError as error:
            _log.warning("version_not_adopted", error=error)
            continue
        digest = f"sha256:{content_digest(file.parent)}"
        found.append(DeployedVersion(spec=_model_spec(bundle, bundle.spec.backends), digest=digest))
    return found


def _existing_backends(directory: Path, candidate: Candidate) -> tuple[Backend, ...]:
    """Return the backends that serve this bundle from the model directory without a deployment."""
    if not directory.is_dir():
        return ()
    if f"sha256:{content_digest(directory)}" != candidate.digest:
        raise OtherDigest(
            f"{candidate.title} cannot be deployed: {directory} has another bundle of that version, which is "
            "not in the registry. Change `version` in model.toml, or remove that directory"
        )
    return ("local", "gpu-container")
