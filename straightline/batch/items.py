"""From a line of a job to the request that it asks for, and what is told of it when it has ended. Pure.

A line is a V2 infer request, or an object with `data` (or `body`, which means the same), and where wanted
`custom_id`, `model`, `version`, `deadline`, `allow`. What stands in a report of failed lines is such a line,
so it can be submitted again: `error` and `text` are not read.
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
"""Characters of a `custom_id`."""
REPORTED_TEXT_CHARS: Final = 500
"""Characters of a line that is no request, in the report."""


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
    """What holds for lines that do not say it themselves.

    Attributes:
        model: the model; None where each line has to name it.
        version: of that model.
        deadline: seconds from when a line is sent; None takes the class's, a day.
        allow: the only backends that may answer.
    """

    model: Name | None = None
    version: Name | None = None
    deadline: float | None = None
    allow: tuple[Backend, ...] | None = None


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """What a line asks for: `data` is the V2 infer request as it stands there."""

    data: bytes
    model: str
    custom_id: str | None = None
    version: str | None = None
    deadline: float | None = None
    allow: tuple[Backend, ...] | None = None

    def submission(self, request_id: str, job_id: str) -> Submission:
        """Return the request, of class `batch`."""
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
    """A line of the output: a request that succeeded.

    Attributes:
        custom_id: as in the input.
        line: its number there.
        id: of the request.
        model, version, backend: who answered.
        result: the V2 infer response; or
        result_ref: where that lies.
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
    """Why a line has no answer.

    Attributes:
        line: its number in the input.
        state: how its request ended; `refused` where there never was one.
        error_class: a stable word.
        message: the sentence for people.
        id: of the request.
    """

    line: int
    state: State | str
    error_class: str
    message: str
    id: str | None = None


NOT_SENT: Final = LineFailure(0, "cancelled", "cancelled", "the job was cancelled before this line was done")
"""Of lines that a cancelled job leaves; their number is to be put in."""


class FailedLine(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A line of the report: what was asked, to be asked again, and the reason.

    Attributes:
        custom_id, model, version, deadline, allow, data: as they were asked.
        error: why there is no answer.
        text: the beginning of a line that could not be read.
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
    """Read a line.

    Raises:
        ContractError: it is no request; the message says what to change.
    """
    try:
        members: dict[str, Any] = decode(text, dict[str, msgspec.Raw])
        bare = "inputs" in members
        words = _bare(members) if bare else decode(text, _LineFields)
    except ContractError as error:
        said = explain(error, _LineFields)
        form = "" if said != str(error) else "; it is a V2 infer request, or an object with `data`"
        raise ContractError(f"the line is no request: {said}{form}", error_class=error.error_class) from error
    if words.custom_id is not None and not 0 < len(words.custom_id) <= MAX_CUSTOM_ID_CHARS:
        raise ContractError(f"custom_id has 1 to {MAX_CUSTOM_ID_CHARS} characters", error_class="wrong_type")
    data = text if bare else bytes(words.data or words.body)
    if words.text and not data:
        raise ContractError(
            "the line is of a report, and tells of one that was no request: put that one here, mended",
            error_class="wrong_type",
        )
    if not data or (words.data and words.body):
        raise ContractError(
            "the line has no V2 infer request: give it as `data` (or `body`), once", error_class="wrong_type"
        )
    model = words.model or defaults.model
    if model is None:
        raise ContractError(
            "the line names no model, and the job has none: give `model` in the line, or to the job",
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
    """Return the line of the output for a request that succeeded."""
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
    """Return the line of the report for a line of the input that has no answer."""
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
    """Return why a request that has ended has no answer."""
    return LineFailure(
        line=number,
        state=outcome.state,
        error_class=outcome.error_class or outcome.state,
        message=outcome.error or f"the request ended {outcome.state}",
        id=outcome.request_id,
    )


def custom_id_of(text: bytes) -> str | None:
    """Return what a line that is no request calls itself, where that can be read."""
    try:
        members: dict[str, Any] = decode(text, dict[str, msgspec.Raw])
        return _text(members, "custom_id")
    except ContractError:
        return None


def _reported(text: bytes) -> str | None:
    """Return what a line of a report quotes of one that was no request; None where it is none."""
    try:
        words = decode(text, _LineFields)
        return decode(words.text, str) if words.text and not words.data else None
    except ContractError:
        return None


def _bare(members: dict[str, Any]) -> _LineFields:
    """Return what a V2 infer request says beside itself; its own `id` names the line."""
    return _LineFields(
        custom_id=_text(members, "custom_id") or _text(members, "id"),
        model=_text(members, "model"),
        version=_text(members, "version"),
    )


def _text(members: dict[str, Any], name: str) -> str | None:
    return decode(members[name], str | None) if name in members else None


def _flat(raw: msgspec.Raw) -> msgspec.Raw:
    """Return JSON without line breaks between its members: they would break the output's lines."""
    text = bytes(raw)
    return msgspec.Raw(msgspec.json.format(text, indent=-1)) if b"\n" in text or b"\r" in text else raw


def _line(content: msgspec.Struct) -> bytes:
    return msgspec.json.encode(content) + b"\n"
