"""The lines of a batch job: input lines with their requests, result lines, and report lines.

An input line is a V2 infer request, or an object with `data` (or its alias `body`) and optionally
`custom_id`, `model`, `version`, `deadline`, `allow`. A line of a report of failed lines is an input line too,
so that it can be submitted again: its `error` and `text` are ignored.
"""

from typing import Any, Final

import msgspec

from straightline.contracts.model import Name
from straightline.contracts.outcome import Outcome
from straightline.contracts.parsing.decoding import decode
from straightline.contracts.parsing.error_hints import explain
from straightline.contracts.request import NO_DATA, DataRef
from straightline.errors import ContractError
from straightline.names import Backend, State
from straightline.producer.submission import Submission

MAX_CUSTOM_ID_CHARS: Final = 512
"""Of a `custom_id`."""
REPORTED_TEXT_CHARS: Final = 500
"""Of an invalid line, in the report."""


class _LineFields(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    custom_id: str | None = None
    model: str | None = None
    version: str | None = None
    deadline: float | None = None
    allow: list[Backend] | None = None
    data: msgspec.Raw = NO_DATA
    body: msgspec.Raw = NO_DATA
    error: msgspec.Raw = NO_DATA
    text: msgspec.Raw = NO_DATA


class Defaults(msgspec.Struct, frozen=True, kw_only=True):
    """Defaults of a job's lines.

    Attributes:
        model: the model; None if each line must name one.
        version: version of that model.
        deadline: seconds until a line expires, from when it is sent; None takes 86,400.
        allow: allowlist of backends; None allows all.
    """

    model: Name | None = None
    version: Name | None = None
    deadline: float | None = None
    allow: tuple[Backend, ...] | None = None


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """A parsed line; `data` is its V2 infer request, unchanged."""

    data: bytes
    model: str
    custom_id: str | None = None
    version: str | None = None
    deadline: float | None = None
    allow: tuple[Backend, ...] | None = None

    def submission(self, request_id: str, job_id: str) -> Submission:
        """Return the line's request, of class `batch`."""
        return Submission(
            model=self.model,
            data=self.data,
            version=self.version,
            class_="batch",
            deadline=self.deadline,
            allow=self.allow,
            id=request_id,
            batch_id=job_id,
            trace={},
        )


class AnsweredLine(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A result line: a request that succeeded.

    Attributes:
        custom_id: as in the input.
        line: line number in the input.
        id: the request's id.
        model, version, backend: what produced the result.
        result: the V2 infer response; either this or `result_ref`.
        result_ref: reference of that response.
    """

    line: int
    id: str
    custom_id: str | None = None
    model: str | None = None
    version: str | None = None
    backend: Backend | None = None
    result: msgspec.Raw = NO_DATA
    result_ref: DataRef | None = None


class LineFailure(msgspec.Struct, omit_defaults=True):
    """Why a line has no result.

    Attributes:
        line: line number in the input.
        state: final state of its request; `refused` if it is not a valid request.
        error_class: stable name of the error.
        message: the error, for people.
        id: the request's id.
    """

    line: int
    state: State | str
    error_class: str
    message: str
    id: str | None = None


NOT_SENT: Final = LineFailure(
    0, "cancelled", "cancelled", "the job was cancelled before this line was finished"
)
"""Template of the failure of a line that a cancelled job did not finish."""


class FailedLine(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A report line: the input line, ready to be submitted again, and the reason of its failure.

    Attributes:
        custom_id, model, version, deadline, allow, data: as in the input, with the job's defaults.
        error: why there is no result.
        text: the beginning of a line that could not be parsed.
    """

    error: LineFailure
    custom_id: str | None = None
    model: str | None = None
    version: str | None = None
    deadline: float | None = None
    allow: tuple[Backend, ...] | None = None
    data: msgspec.Raw = NO_DATA
    text: str | None = None


def parse_line(text: bytes, defaults: Defaults) -> Item:
    """Parse a line.

    Raises:
        ContractError: it is not a valid request; the message says what to change.
    """
    try:
        members: dict[str, Any] = decode(text, dict[str, msgspec.Raw])
        bare = "inputs" in members
        words = _bare(members) if bare else decode(text, _LineFields)
    except ContractError as error:
        said = explain(error, _LineFields)
        form = "" if said != str(error) else ". Write a V2 infer request, or an object with `data`"
        raise ContractError(
            f"the line is not a valid request: {said}{form}", error_class=error.error_class
        ) from error
    if words.custom_id is not None and not 0 < len(words.custom_id) <= MAX_CUSTOM_ID_CHARS:
        raise ContractError(
            f"custom_id is invalid: it must have 1 to {MAX_CUSTOM_ID_CHARS} characters",
            error_class="wrong_type",
        )
    data = text if bare else bytes(words.data or words.body)
    if words.text and not data:
        raise ContractError(
            "the line is a report of an invalid line: replace it with the corrected line",
            error_class="wrong_type",
        )
    if not data or (words.data and words.body):
        raise ContractError(
            "the line needs exactly one V2 infer request, as `data` or `body`", error_class="wrong_type"
        )
    model = words.model or defaults.model
    if model is None:
        raise ContractError(
            "the line names no model and the job has no default: add `model` to the line or the job",
            error_class="wrong_type",
        )
    return Item(
        data=data,
        custom_id=words.custom_id,
        model=model,
        version=words.version or (defaults.version if words.model in (None, defaults.model) else None),
        deadline=defaults.deadline if words.deadline is None else words.deadline,
        allow=defaults.allow if words.allow is None else tuple(words.allow),
    )


def answered_line(number: int, custom_id: str | None, outcome: Outcome) -> bytes:
    """Return the result line of a request that succeeded."""
    return _line(
        AnsweredLine(
            line=number,
            id=outcome.request_id,
            custom_id=custom_id,
            model=outcome.model,
            version=outcome.version,
            backend=outcome.backend,
            result=_flat(outcome.result) if outcome.result else NO_DATA,
            result_ref=None if outcome.result else outcome.result_ref,
        )
    )


def failed_line(why: LineFailure, text: bytes, defaults: Defaults) -> bytes:
    """Return the report line of an input line without a result."""
    try:
        item = parse_line(text, defaults)
    except ContractError:
        shown = _reported(text) or text.decode(errors="replace")[:REPORTED_TEXT_CHARS]
        return _line(FailedLine(error=why, custom_id=custom_id_of(text), text=shown))
    return _line(
        FailedLine(
            error=why,
            custom_id=item.custom_id,
            model=item.model,
            version=item.version,
            deadline=item.deadline,
            allow=item.allow,
            data=msgspec.Raw(item.data),
        )
    )


def failure_of(number: int, outcome: Outcome) -> LineFailure:
    """Return the failure of a request that ended without a result."""
    return LineFailure(
        line=number,
        state=outcome.state,
        error_class=outcome.error_class or outcome.state,
        message=outcome.error or f"the request ended {outcome.state}",
        id=outcome.request_id,
    )


def custom_id_of(text: bytes) -> str | None:
    """Return the `custom_id` of an invalid line, if it can be decoded."""
    try:
        members: dict[str, Any] = decode(text, dict[str, msgspec.Raw])
        return _text(members, "custom_id")
    except ContractError:
        return None


def _reported(text: bytes) -> str | None:
    """Return the invalid line that a report line quotes, or None."""
    try:
        words = decode(text, _LineFields)
        return decode(words.text, str) if words.text and not words.data else None
    except ContractError:
        return None


def _bare(members: dict[str, Any]) -> _LineFields:
    """Return the additional fields of a V2 infer request; its `id` serves as `custom_id`."""
    return _LineFields(
        custom_id=_text(members, "custom_id") or _text(members, "id"),
        model=_text(members, "model"),
        version=_text(members, "version"),
    )


def _text(members: dict[str, Any], name: str) -> str | None:
    return decode(members[name], str | None) if name in members else None


def _flat(raw: msgspec.Raw) -> msgspec.Raw:
    """Return JSON without line breaks, which would split the output line."""
    text = bytes(raw)
    return msgspec.Raw(msgspec.json.format(text, indent=-1)) if b"\n" in text or b"\r" in text else raw


def _line(content: msgspec.Struct) -> bytes:
    return msgspec.json.encode(content) + b"\n"
