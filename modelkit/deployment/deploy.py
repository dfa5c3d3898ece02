"""One deployment: try the bundle, put it in place, record it, tell everybody; or leave all as it was."""

import logging
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

_log = logging.getLogger(__name__)
LoadCheck = Callable[[Candidate], None]


class DeployOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What is to become of a bundle.

    Attributes:
        backends: where it is put; empty takes those of its model.toml.
        share: percent of the requests without a pin that it gets as a canary; None makes it the default.
        default: False leaves the model's name as it is.
        who: deploys.
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
        options: what is to become of it.
        targets: for each backend.
        database: that of the registry.
        models: the directory of models: what lies there of a model's first deployment is adopted.
        load_check: tries the bundle before it is put anywhere.

    Returns:
        All that is deployed then; it is to be announced.

    Raises:
        OtherDigest: the version is there with another content.
        RegistryRefused: it cannot be a canary, or somebody else deploys this model now.
        NotReady, NotPlaced: it was not; what was put in place is taken back.
        Unsettled: whether it is deployed is not known; what was put in place is left there.
        StraightLineError: what building it, or the ledger, raises.
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
        connection.rollback()  # what follows takes its time
        directory = models / spec.name / spec.version
        there = _existing_backends(directory, candidate) if known is None else known.spec.backends
        load_check(candidate)
        with _rollback_on_error(targets, there) as put:
            placed = [put(backend, candidate) for backend in backends]
            all_backends = {*backends, *(known.spec.backends if known else ())}
            return record(
                connection,
                _deployed_version(candidate, placed, all_backends, known),
                who=options.who,
                share=options.share,
                default=options.default,
                adopted=_unregistered_versions(models / spec.name, besides=spec.version),
            )


def check_backends(bundle: Bundle, wanted: tuple[Backend, ...]) -> tuple[Backend, ...]:
    """Return where a bundle is put: where it is wanted, or everywhere that it is made for.

    Raises:
        ConfigurationError: it is not made for one of those.
    """
    for backend in wanted:
        if backend not in bundle.spec.backends:
            raise ConfigurationError(
                f"{bundle.spec.name} {bundle.spec.version} is not made for {backend}: add it to `backends` "
                f"in its model.toml, which has {', '.join(bundle.spec.backends)}"
            )
    return wanted or bundle.spec.backends


def _receives_traffic(alias: Alias, version: str, options: DeployOptions) -> bool:
    """Whether requests that pin no version will go to this one."""
    return options.default or options.share is not None or version in (alias.version or version, alias.canary)


@contextmanager
def _rollback_on_error(
    targets: Mapping[Backend, DeploymentTarget], there: Iterable[Backend]
) -> Iterator[Callable[[Backend, Candidate], DeployedForm]]:
    """Give what puts a candidate into a place; where the block fails, what is new goes again."""
    done: list[tuple[DeploymentTarget, DeployedVersion]] = []

    def put(backend: Backend, candidate: Candidate) -> DeployedForm:
        placed = targets[backend].deploy(candidate)
        if backend not in there:
            done.append((targets[backend], _deployed_version(candidate, [placed], {backend}, None)))
        return placed

    try:
        yield put
    except CommitUncertain:
        raise  # it may be deployed: who knows takes it away with `remove`
    except BaseException:
        for place, version in reversed(done):
            try:
                place.remove(version)
            except StraightLineError as error:
                _log.warning("what was put in place could not be taken back: %s", error)
        raise


def _deployed_version(
    candidate: Candidate,
    placed: Iterable[DeployedForm],
    backends: set[Backend],
    known: DeployedVersion | None,
) -> DeployedVersion:
    image = function = None
    for each in placed:
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


def _unregistered_versions(model: Path, *, besides: str) -> list[DeployedVersion]:
    """Return the versions of a model that lie in its directory, the newest last."""
    found = []
    for file in sorted(model.glob("*/model.toml"), key=lambda file: version_key(file.parent.name)):
        if file.parent.name == besides:
            continue
        try:
            bundle = read_bundle(file.parent)
        except ConfigurationError as error:
            _log.warning("a version that lies there is not adopted: %s", error)
            continue
        digest = f"sha256:{content_digest(file.parent)}"
        found.append(DeployedVersion(spec=_model_spec(bundle, bundle.spec.backends), digest=digest))
    return found


def _existing_backends(directory: Path, candidate: Candidate) -> tuple[Backend, ...]:
    """Return what the directory serves that holds this very bundle, though nobody deployed it."""
    if not directory.is_dir():
        return ()
    if f"sha256:{content_digest(directory)}" != candidate.digest:
        raise OtherDigest(
            f"{candidate.title} cannot be deployed: {directory} has another bundle of that version, which is "
            "not in the registry. Change `version` in model.toml, or remove that directory"
        )
    return ("local", "gpu-container")
