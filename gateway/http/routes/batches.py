"""The endpoints of batch jobs: `/v1/batches`."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, NamedTuple

import msgspec
from flask import Blueprint, Response, request, stream_with_context
from werkzeug.exceptions import RequestEntityTooLarge

from gateway.batches.job_results import failure_lines, result_lines
from gateway.batches.status import status_of
from gateway.http.context import AppContext
from gateway.http.rendering.answer import json_answer
from gateway.http.rendering.paging import Page, page_of
from gateway.http.rendering.problems import ApiError
from gateway.http.routes.webhooks import requested_webhook
from gateway.shared.request_builder import check_idempotency_key
from outcomes.db.pool import LedgerPool
from outcomes.queries.batches import Job, cancel_job, create_job, job_of, jobs_of, refused_of, states_of
from straightline.batch.items import Defaults
from straightline.batch.lines import Source
from straightline.contracts import BatchList, BatchStatus, DataRef
from straightline.contracts.parsing.decoding import decode
from straightline.contracts.parsing.error_hints import explain
from straightline.errors import ContractError
from straightline.ids import canonical, new_id
from straightline.producer.submission import MAX_DEADLINE_S
from straightline.storage.store import Store

JSON_LINES: Final = "application/jsonl"
JSON_LINES_TYPES: Final = frozenset(
    {JSON_LINES, "application/x-ndjson", "application/x-jsonlines", "application/jsonlines"}
)
"""Media types of an upload."""
PARAMETERS: Final = ("model", "version", "deadline", "allow")
"""Defaults for lines that do not set these members."""
TOO_LARGE: Final = (
    "the file is larger than STRAIGHTLINE_GATEWAY_MAX_BATCH: split it, or put it into the store and send "
    '{"uri": ...}'
)
NO_LINES: Final = "there are no lines: send JSON Lines, one request each"
KEY_CONFLICT: Final = "which has other lines, parameters or webhook: use another key"
UPLOAD_CHUNK_BYTES: Final = 256 * 1024

ReadLines = Callable[[Job, Source, LedgerPool], Iterator[bytes]]


class _Reference(Defaults, frozen=True, kw_only=True, forbid_unknown_fields=True):
    uri: str


def blueprint(context: AppContext) -> Blueprint:
    """Return the endpoints below `/v1/batches`; a key has access to its own jobs only."""
    made = Blueprint("batches", __name__, url_prefix="/v1/batches")

    @made.post("")
    def create() -> Response:
        return _create(context)

    @made.get("")
    def listing() -> Response:
        key = context.auth.require("batch")
        return json_answer(_listed(context, page_of(request.args), key.id))

    @made.get("/<batch_id>")
    def status(batch_id: str) -> Response:
        key = context.auth.require("batch")
        return json_answer(_current(context, batch_id, key.id))

    @made.delete("/<batch_id>")
    def cancel(batch_id: str) -> Response:
        key = context.auth.require("batch")
        identity = _job(context, batch_id, key.id).id
        with context.ledger.connection() as connection:
            cancel_job(connection, identity, key_id=key.id)
        found = _current(context, identity, key.id)
        return json_answer(found, 200 if found.finished_at is not None else 202)

    @made.get("/<batch_id>/results")
    def results(batch_id: str) -> Response:
        return _lines_response(context, batch_id, result_lines)

    @made.get("/<batch_id>/failed")
    def failed(batch_id: str) -> Response:
        return _lines_response(context, batch_id, failure_lines)

    return made


class _Submission(NamedTuple):
    uri: str
    size: int
    defaults: Defaults
    stored: DataRef | None
    """The upload; None for a file that was already in the store."""


def _create(context: AppContext) -> Response:
    key = context.auth.require("batch")
    store, job_id = _store(context), new_id()
    again = check_idempotency_key(request.headers.get("Idempotency-Key"))
    webhook_id = requested_webhook(context, key.id)
    submission = _receive(context, store, job_id)
    if submission.size == 0:
        raise ContractError(NO_LINES)
    with context.ledger.connection() as connection:
        job = create_job(
            connection,
            job_id,
            key_id=key.id,
            uri=submission.uri,
            size=submission.size,
            defaults=msgspec.to_builtins(submission.defaults),
            idempotency_key=again,
            webhook_id=webhook_id,
        )
    if job.id == job_id:
        return _accepted(status_of(job, {}, 0))
    if submission.stored is not None:
        store.remove(submission.stored)
    if not _same(job, submission) or job.webhook_id != webhook_id:
        raise ApiError(409, "conflict", f"this Idempotency-Key belongs to job {job.id}, {KEY_CONFLICT}")
    return _accepted(_current(context, job.id, key.id))


def _receive(context: AppContext, store: Store, job_id: str) -> _Submission:
    defaults = _defaults_from_query()
    if request.mimetype in JSON_LINES_TYPES:
        request.max_content_length = context.settings.gateway_max_batch
        try:
            stored = store.receive(_upload_chunks(), job_id)
        except RequestEntityTooLarge as error:
            raise ApiError(413, "too_large", TOO_LARGE) from error
        return _Submission(stored.uri, stored.size, defaults, stored)
    wanted = _reference(request.get_data(cache=False))
    said = {name: getattr(wanted, name) for name in PARAMETERS}
    defaults = msgspec.structs.replace(
        defaults, **{name: value for name, value in said.items() if value is not None}
    )
    return _Submission(wanted.uri, _size(store, wanted.uri), defaults, None)


def _same(job: Job, submission: _Submission) -> bool:
    """Return whether a job equals this submission; the name of an upload ends with its digest."""
    uri, stored = submission.uri, submission.stored
    if stored is not None and job.uri.endswith(f"{job.id}-{stored.sha256[:16]}"):
        uri = job.uri
    known = msgspec.convert(job.defaults, Defaults)
    return (uri, submission.size, submission.defaults) == (job.uri, job.size, known)


def _accepted(status: BatchStatus) -> Response:
    return json_answer(status, 202, Location=f"/v1/batches/{status.id}")


def _lines_response(context: AppContext, batch_id: str, tell: ReadLines) -> Response:
    key = context.auth.require("batch")
    job = _job(context, batch_id, key.id)
    source = _store(context).open(job.uri)

    def lines() -> Iterator[bytes]:
        with source:
            yield from tell(job, source, context.ledger)

    return Response(stream_with_context(lines()), mimetype=JSON_LINES)


def _upload_chunks() -> Iterator[bytes]:
    """Yield the body in chunks; raise if it is incomplete or empty, so that nothing is stored."""
    size = 0
    while piece := request.stream.read(UPLOAD_CHUNK_BYTES):
        size += len(piece)
        yield piece
    if request.content_length not in (None, size):
        raise ContractError(f"the upload ended after {size} of {request.content_length} bytes: send it again")
    if size == 0:
        raise ContractError(NO_LINES)


def _defaults_from_query() -> Defaults:
    unknown = sorted(request.args.keys() - set(PARAMETERS))
    if unknown:
        raise ContractError(f"unknown parameter {', '.join(unknown)[:200]}: use {', '.join(PARAMETERS)}")
    given: dict[str, Any] = {name: request.args[name] for name in PARAMETERS if name in request.args}
    if "allow" in given:
        given["allow"] = given["allow"].split(",")
    return _defaults(given, strict=False)


def _reference(body: bytes) -> _Reference:
    try:
        found = decode(body, _Reference)
    except ContractError as error:
        raise ContractError(
            f'the body is neither JSON Lines ({JSON_LINES}) nor {{"uri": ...}} of such a file in the store: '
            f"{explain(error, _Reference)}"
        ) from error
    _checked(found)
    return found


def _defaults(given: dict[str, Any], *, strict: bool) -> Defaults:
    try:
        found = msgspec.convert(given, Defaults, strict=strict)
    except msgspec.ValidationError as error:
        raise ContractError(
            f"invalid parameter: {explain(error, Defaults)}", error_class="wrong_type"
        ) from error
    return _checked(found)


def _checked(found: Defaults) -> Defaults:
    if found.deadline is not None and not 0 < found.deadline < MAX_DEADLINE_S:
        raise ContractError(
            "deadline must be a number of seconds from now, above 0 and below ten years",
            error_class="wrong_type",
        )
    if found.allow is not None and not found.allow:
        raise ContractError("allow must name at least one backend", error_class="wrong_type")
    return found


def _job(context: AppContext, text: str, key_id: str) -> Job:
    identity = canonical(text)
    job = None
    if identity is not None:
        with context.ledger.connection() as connection:
            job = job_of(connection, identity, key_id=key_id)
    if job is None:
        raise ApiError(404, "unknown_batch", f"this key has no batch job {text[:64]}")
    return job


def _current(context: AppContext, batch_id: str, key_id: str) -> BatchStatus:
    job = _job(context, batch_id, key_id)
    with context.ledger.connection() as connection:
        return _statuses(connection, [job])[0]


def _listed(context: AppContext, page: Page, key_id: str) -> BatchList:
    with context.ledger.connection() as connection:
        found = jobs_of(connection, key_id, limit=page.limit + 1, before=page.before)
        batches = _statuses(connection, found[: page.limit])
    return BatchList(batches=batches, next=batches[-1].id if len(found) > page.limit else None)


def _statuses(connection: Any, jobs: Sequence[Job]) -> list[BatchStatus]:
    ids = [job.id for job in jobs]
    states, refused = states_of(connection, ids), refused_of(connection, ids)
    return [status_of(job, states[job.id], refused[job.id]) for job in jobs]


def _size(store: Store, uri: str) -> int:
    try:
        with store.open(uri) as source:
            return source.seek(0, 2)
    except ContractError as error:
        raise ApiError(404, error.error_class, str(error)) from error


def _store(context: AppContext) -> Store:
    if context.store is None:
        raise ApiError(500, "no_store", "batch jobs need a store: set STRAIGHTLINE_STORE of the gateway")
    return context.store
