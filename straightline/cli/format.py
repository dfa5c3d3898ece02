"""Outcomes as text."""

from straightline.contracts.outcome import Outcome
from straightline.contracts.parsing.decoding import decode
from straightline.contracts.tensors.v2 import InferOutput, InferResponse
from straightline.contracts.ticket import Attempt
from straightline.errors import ContractError
from straightline.report_text import format_reason
from straightline.support.terminal import printable, seconds

_MAX_DATA_CHARS = 72


def format_outcome(outcome: Outcome) -> str:
    """Format an outcome: state, error, attempts with their reasons, and the output tensors."""
    lines = [_headline(outcome)]
    if outcome.error:
        lines.append(f"  {outcome.error_class or 'error'}: {outcome.error}")
    for attempt in outcome.attempts:
        lines += _attempt(attempt)
    if outcome.result:
        lines += format_answer(bytes(outcome.result))
    return printable("\n".join(lines))


def _headline(outcome: Outcome) -> str:
    model = " ".join(word for word in (outcome.model, outcome.version) if word)
    text = f"{outcome.request_id} {outcome.state}"
    if model:
        text += f", model {model}"
    if outcome.submitted_at is not None:
        text += f", {seconds(outcome.finished_at - outcome.submitted_at)} after submission"
    return text


def _attempt(attempt: Attempt) -> list[str]:
    how = "answered" if attempt.succeeded else f"{attempt.error_class}: {attempt.error}"
    cold = "" if attempt.cold_start is None else f", including {seconds(attempt.cold_start)} cold start"
    times = f"waited {seconds(attempt.wait)}, took {seconds(attempt.service)}{cold}"
    lines = [f"  attempt {attempt.number} on {attempt.backend}: {how} ({times})"]
    if attempt.reason is not None:
        lines.append(f"    {format_reason(attempt.reason)}")
    return lines


def format_answer(result: bytes) -> list[str]:
    """Format a V2 infer response, one line per tensor."""
    try:
        response = decode(result, InferResponse)
    except ContractError:
        return [printable(f"  result: {_cut(result.decode(errors='replace'))}")]
    return [printable(_output(output)) for output in response.outputs]


def _output(output: InferOutput) -> str:
    data = _cut(bytes(output.data).decode(errors="replace"))
    return f"  {output.name} {output.datatype}{output.shape}: {data}"


def _cut(text: str) -> str:
    return text if len(text) <= _MAX_DATA_CHARS else f"{text[:_MAX_DATA_CHARS]}... ({len(text)} characters)"
