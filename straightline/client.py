"""The producer's client: submit requests, and take their results as they are pushed."""

import logging
import secrets
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future
from types import TracebackType
from typing import Any, Final, Self

import msgspec

from straightline import names
from straightline.amqp.inbox import Inbox
from straightline.amqp.outgoing import Outgoing
from straightline.amqp.publisher import Publisher
from straightline.contracts.cancel import Cancel, CancelAnswer, Verdict
from straightline.contracts.outcome import Outcome
from straightline.errors import (
    BrokerUnavailable,
    ConfigurationError,
    ContractError,
    ResultTimeout,
    StraightLineError,
)
from straightline.ids import canonical, new_id
from straightline.many import Account
from straightline.names import Backend, RequestClass
from straightline.results import Results
from straightline.store import Store
from straightline.submission import Data, Submission, compose, submission_of

logger = logging.getLogger(__name__)

KEPT_RESULTS: Final = 100_000
KEPT_BYTES: Final = 256 * 1024 * 1024

_OUTCOME = msgspec.json.Decoder(Outcome)
_CANCEL_ANSWER = msgspec.json.Decoder(CancelAnswer)


class Client:
    """Submits requests to StraightLine and takes their results, over AMQP alone.

    One client may be used by many threads; make it in the process that uses it, after any fork. As a context
    manager it is closed at the end. It reconnects by itself.

    Results are pushed to a queue that belongs to the client's connection. What was pushed while that
    connection was lost does not come again by itself: submit the same request with the same id, and the
    system answers with the first outcome without computing it anew.

    Args:
        url: of the broker, `amqp://user:password@host:port/vhost`.
        store: URL of the store that takes data above 256 KiB (or a `Store`); the workers must read the same
            one. Without one, data travels inline up to 16 MiB.
        confirm_timeout: seconds until a request that the broker did not confirm counts as not submitted.
        window: requests that may be unconfirmed at once.
        replies: False asks for no results, for a producer that never calls `result`.
        kept_results: results that are kept for `result`, 256 MiB of them at most; over that the oldest go,
            those that were read already first.

    Raises:
        ConfigurationError: `url` or `store` cannot be used.
    """

    def __init__(
        self,
        url: str,
        *,
        store: str | Store | None = None,
        confirm_timeout: float = 30.0,
        window: int = 4096,
        replies: bool = True,
        kept_results: int = KEPT_RESULTS,
    ) -> None:
        self._store = Store(store) if isinstance(store, str) else store
        self._confirm_timeout = confirm_timeout
        self._results = Results(kept_results, KEPT_BYTES)
        self._reply_to = f"{names.REPLY_QUEUE_PREFIX}{secrets.token_hex(12)}" if replies else None
        self._publisher = Publisher(
            url, name="straightline-client", confirm_timeout=confirm_timeout, window=window
        )
        self._inbox = self._open_inbox(url) if replies else None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def submit(
        self,
        model: str,
        data: Data,
        *,
        version: str | None = None,
        class_: RequestClass = "interactive",
        deadline: float | None = None,
        allow: Sequence[Backend] | None = None,
        id: str | None = None,  # noqa: A002 - the contract's word
        batch_id: str | None = None,
    ) -> str:
        """Submit one request and return its id once the broker has it safe.

        Args:
            model: the model's name.
            data: a V2 infer request, as a mapping, as JSON, or as `straightline.contracts.InferRequest`.
            version: a version of the model; None leaves it to the system.
            class_: `interactive`, or `batch` for work that may wait for free resources.
            deadline: seconds from now after which the answer is of no more use; None takes the class's (a
                minute for `interactive`, a day for `batch`).
            allow: the only backends that may answer; None allows all.
            id: UUID, the idempotency key; None makes a new one.
            batch_id: the batch job it belongs to.

        Raises:
            ContractError: an argument or the data is wrong; nothing was sent.
            Rejected: it is too large (nothing was sent), or the broker refused it.
            Unroutable: the broker has no queue for requests.
            BrokerUnavailable: the broker did not confirm it in time; submit it again with the same id, which
                is the error's `request_id`.
            StoreUnavailable: the store did not take the data; nothing was sent.
        """
        identity, confirmed = self._send(
            Submission(
                model=model,
                data=data,
                version=version,
                class_=class_,
                deadline=deadline,
                allow=allow,
                id=id,
                batch_id=batch_id,
            )
        )
        try:
            confirmed.result()
        except BrokerUnavailable as error:
            error.request_id = identity
            raise
        return identity

    def submit_many(self, requests: Iterable[Submission | Mapping[str, Any]]) -> list[str]:
        """Submit many requests, not waiting for each to be confirmed, and return their ids in order.

        Args:
            requests: `Submission`s, or mappings of the arguments of `submit`; taken one at a time, so that it
                may be a generator of any length.

        Raises:
            PartlySubmitted: some were refused or not confirmed; it says which and why, and holds the ids of
                the others, which are submitted. When the broker is gone the rest of the input is not taken.
        """
        account = Account()
        for item in requests:
            try:
                account.sent(*self._send(submission_of(item)))
            except StraightLineError as error:
                account.refused(error)
            if account.stop_if_gone():
                break
        return account.close()

    def result(self, id: str, timeout: float = 60.0) -> Outcome:  # noqa: A002 - the contract's word
        """Return the outcome of a request that this client submitted, as soon as it is pushed.

        `Outcome.state` says how it ended: a request that failed, expired or was rejected is an outcome too,
        not an exception. A result that lies in the store is fetched into `Outcome.result`.

        Args:
            id: of the request.
            timeout: seconds to wait; 0 only looks.

        Raises:
            ResultTimeout: none came in time.
            ContractError: what came cannot be read, or `id` is not a UUID.
            ConfigurationError: the client asked for no results, or has no store and the result lies in one.
            StoreUnavailable: the store could not be read.
        """
        identity = _checked(id)
        if self._inbox is None:
            raise ConfigurationError("this client asks for no results: make it without replies=False")
        body = self._results.wait(identity, timeout)
        if body is None:
            raise ResultTimeout(self._no_result(identity, timeout))
        return self._resolve(_decode(body))

    def cancel(self, id: str, timeout: float = 5.0) -> Verdict | None:  # noqa: A002 - the contract's word
        """Take a request back, whoever submitted it; returns once the broker has the wish safe.

        A request that has not run ends `cancelled`, wherever it is and whoever is down at present. Of one
        that runs, what comes first is its outcome. Nothing happens to one that has ended.

        Args:
            id: of the request.
            timeout: seconds to wait for the scheduler's word besides; 0 does not wait.

        Returns:
            `cancelled`: it has ended so. `noted`: it is on its way and will end so, if it has no answer
            before. `ended`: it had its outcome, which stands. `unknown`: nothing is known of it; should it
            come, it ends cancelled. None: no word in time (the wish is safe all the same), or a client
            without replies.

        Raises:
            ContractError: `id` is not a UUID.
            Unroutable: the broker has no queue for such wishes.
            BrokerUnavailable: the broker did not confirm it in time; it may be asked again.
        """
        identity = _checked(id)
        answer = new_id()
        if self._inbox is not None and timeout > 0:
            self._inbox.wait_ready(self._confirm_timeout)
        self._publisher.publish(
            Outgoing(
                exchange=names.REQUESTS,
                routing_key="cancel",
                body=msgspec.json.encode(Cancel(id=identity)),
                type=names.TYPE_CANCEL,
                message_id=answer,
                correlation_id=answer if self._reply_to else None,
                reply_to=self._reply_to,
            )
        ).result()
        if self._inbox is None:
            return None
        body = self._results.wait(answer, timeout)
        return None if body is None else _CANCEL_ANSWER.decode(body).verdict

    def close(self, timeout: float = 10.0) -> None:
        """Wait for outstanding confirms, `timeout` seconds at most, and close the connections."""
        self._publisher.close(timeout)
        if self._inbox is not None:
            self._inbox.close()

    def _open_inbox(self, url: str) -> Inbox:
        return Inbox(
            url,
            name="straightline-client-results",
            queue=self._reply_to or "",
            exchange=names.REPLIES,
            on_message=self._arrived,
        )

    def _arrived(self, correlation_id: str | None, body: bytes) -> None:
        identity = canonical(correlation_id or "")
        if identity is None:
            logger.warning("a result without the id of a request was dropped")
            return
        self._results.put(identity, body)

    def _send(self, submission: Submission) -> tuple[str, Future[None]]:
        request, body = compose(submission, store=self._store, now=time.time())
        if self._inbox is not None:
            # A result that comes before its queue stands would be lost.
            self._inbox.wait_ready(self._confirm_timeout)
        confirmed = self._publisher.publish(
            Outgoing(
                exchange=names.REQUESTS,
                routing_key=request.class_,
                body=body,
                type=names.TYPE_REQUEST,
                message_id=request.id,
                correlation_id=request.id if self._reply_to else None,
                reply_to=self._reply_to,
            )
        )
        return request.id, confirmed

    def _resolve(self, outcome: Outcome) -> Outcome:
        if outcome.result_ref is None:
            return outcome
        if self._store is None:
            raise ConfigurationError(
                f"the result lies at {outcome.result_ref.uri}: make the client with that store, "
                "Client(url, store=...)"
            )
        outcome.result = msgspec.Raw(self._store.get(outcome.result_ref))
        return outcome

    def _no_result(self, identity: str, timeout: float) -> str:
        text = f"no result of {identity} came within {timeout:g} s; it may still come"
        if self._inbox is not None and self._inbox.trouble:
            text += f". There is no connection to take results from now ({self._inbox.trouble})"
        if self._results.dropped:
            text += f". {self._results.dropped} results were dropped since too many were not read"
        return text + ". To have a lost one sent again, submit the request again with the same id"


def _checked(request_id: str) -> str:
    identity = canonical(request_id)
    if identity is None:
        raise ContractError(f"id {request_id!r} is not a UUID", error_class="wrong_type")
    return identity


def _decode(body: bytes) -> Outcome:
    try:
        return _OUTCOME.decode(body)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise ContractError(
            f"the result cannot be read: {error}; are client and system of one version?"
        ) from error
