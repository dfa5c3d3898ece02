"""One deployment: try the bundle, put it in place, record it, tell everybody; or leave all as it was."""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import msgspec

from model_server.models.bundle import Bundle, content_digest, read_bundle
from modelkit.deployment.settings import Database
from modelkit.deployment.target import Candidate, Place, Placed
from outcomes.db.database import connected
from outcomes.db.errors import CommitUncertain, OtherDigest
from outcomes.registry.aliases import Alias
from outcomes.registry.deployments import check_alias, check_digest, deployment_lock, record
from outcomes.registry.registry import alias_of, find_version
from straightline.contracts import ModelSpec
from straightline.contracts.deployed import Deployed, DeployedVersion
from straightline.errors import ConfigurationError, StraightLineError
from straightline.models.catalogue import version_key
from straightline.names import BACKENDS, Backend

_log = logging.getLogger(__name__)
Try = Callable[[Candidate], None]


class Wish(msgspec.Struct, frozen=True, kw_only=True):
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
    wish: Wish,
    *,
    places: Mapping[Backend, Place],
    database: Database,
    models: Path,
    trial: Try,
) -> Deployed:
    """Deploy a bundle.

    Args:
        candidate: the bundle.
        wish: what is to become of it.
        places: for each backend.
        database: that of the registry.
        models: the directory of models: what lies there of a model's first deployment is adopted.
        trial: tries the bundle before it is put anywhere.

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
    backends = hold_backends(candidate.bundle, wish.backends)
    with (
        connected(database.url, name="straightline-deploy", setting=database.setting) as connection,
        deployment_lock(connection, spec.name),
    ):
        known = find_version(connection, spec.name, spec.version)
        check_digest(known, candidate.digest)
        check_alias(connection, spec.name, spec.version, wish.share)
        candidate = msgspec.structs.replace(
            candidate, standing=_stands(alias_of(connection, spec.name), spec.version, wish)
        )
        connection.rollback()  # what follows takes its time
        lying = models / spec.name / spec.version
        there = _already(lying, candidate) if known is None else known.spec.backends
        trial(candidate)
        with _taken_back(places, there) as put:
            placed = [put(backend, candidate) for backend in backends]
            all_backends = {*backends, *(known.spec.backends if known else ())}
            return record(
                connection,
                _version(candidate, placed, all_backends, known),
                who=wish.who,
                share=wish.share,
                default=wish.default,
                adopted=_lying(models / spec.name, besides=spec.version),
            )


def hold_backends(bundle: Bundle, wanted: tuple[Backend, ...]) -> tuple[Backend, ...]:
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


def _stands(alias: Alias, version: str, wish: Wish) -> bool:
    """Whether requests that pin no version will go to this one."""
    return wish.default or wish.share is not None or version in (alias.version or version, alias.canary)


@contextmanager
def _taken_back(
    places: Mapping[Backend, Place], there: Iterable[Backend]
) -> Iterator[Callable[[Backend, Candidate], Placed]]:
    """Give what puts a candidate into a place; where the block fails, what is new goes again."""
    done: list[tuple[Place, DeployedVersion]] = []

    def put(backend: Backend, candidate: Candidate) -> Placed:
        placed = places[backend].put(candidate)
        if backend not in there:
            done.append((places[backend], _version(candidate, [placed], {backend}, None)))
        return placed

    try:
        yield put
    except CommitUncertain:
        raise  # it may be deployed: who knows takes it away with `remove`
    except BaseException:
        for place, version in reversed(done):
            try:
                place.take(version)
            except StraightLineError as error:
                _log.warning("what was put in place could not be taken back: %s", error)
        raise


def _version(
    candidate: Candidate, placed: Iterable[Placed], backends: set[Backend], known: DeployedVersion | None
) -> DeployedVersion:
    image = function = None
    for each in placed:
        image, function = each.image or image, each.function or function
    return DeployedVersion(
        spec=_spec(candidate.bundle, tuple(each for each in BACKENDS if each in backends)),
        digest=candidate.digest,
        image=image or (known.image if known else None),
        function=function or (known.function if known else None),
    )


def _spec(bundle: Bundle, backends: tuple[Backend, ...]) -> ModelSpec:
    members = {name: getattr(bundle.spec, name) for name in ModelSpec.__struct_fields__}
    return ModelSpec(**{**members, "backends": backends})


def _lying(model: Path, *, besides: str) -> list[DeployedVersion]:
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
        found.append(DeployedVersion(spec=_spec(bundle, bundle.spec.backends), digest=digest))
    return found


def _already(lying: Path, candidate: Candidate) -> tuple[Backend, ...]:
    """Return what the directory serves that holds this very bundle, though nobody deployed it."""
    if not lying.is_dir():
        return ()
    if f"sha256:{content_digest(lying)}" != candidate.digest:
        raise OtherDigest(
            f"{lying} has another {candidate.title}, which was not deployed by this command: give this one "
            "another `version` in its model.toml, or remove that directory"
        )
    return ("local", "gpu-container")
