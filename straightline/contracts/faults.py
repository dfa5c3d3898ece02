"""The fault taxonomy: every error class of an attempt or outcome, and what it says.

One table; each set that a component needs is derived from it. The words are stored in the ledger and sent to
callers, so they never change. A component of another version may send a word that is not in the table:
`traits_of` then returns `UNKNOWN`.
"""

from typing import Final, Literal, NamedTuple, cast, get_args

FaultClass = Literal[
    "unreachable",
    "throttled",
    "timed_out",
    "crashed",
    "out_of_memory",
    "bad_protocol",
    "too_large",
    "not_deployed",
    "not_informed",
    "cold_start_timed_out",
    "cold_start_failed",
    "no_capacity",
    "store_unavailable",
    "breaker_open",
    "internal",
]
"""Faults of an attempt: the request may succeed on another backend."""

FinalClass = Literal[
    "malformed",
    "wrong_type",
    "wrong_inputs",
    "unknown_model",
    "unknown_version",
    "forbidden_reference",
    "missing_data",
    "wrong_data",
    "model_error",
    "conflict",
    "duplicate",
    "saturated",
    "no_backend",
    "deadline",
    "cancelled",
    "scheduler_fault",
    "lost",
    "delivery_limit",
    "dead_letter",
    "unrecordable",
    "failed",
]
"""Reasons for which a request ends without a result; no other backend would change them."""

ErrorClass = FaultClass | FinalClass

Blame = Literal["backend", "model"]


class FaultTraits(NamedTuple):
    """What an error class says.

    Attributes:
        asked: whether the backend was called at all.
        reached_model: whether the model may have started on the request.
        blames: which breaker counts it: that of the whole `backend`, of the `model` there, or neither.
        request_suspect: whether the request itself may have caused it, so that it travels alone from then on.
        executed: whether the outcome stands for an execution, so that a second one is a duplicate.
        http_status: status of an HTTP answer for a request that ended so; None where the state decides.
    """

    asked: bool = True
    reached_model: bool = False
    blames: Blame | None = None
    request_suspect: bool = False
    executed: bool = True
    http_status: int | None = None


UNKNOWN: Final = FaultTraits()
"""Traits of a word that this version does not know: it blames nothing."""

_WHOLE_BACKEND: Final = FaultTraits(blames="backend")
_BEFORE_THE_MODEL: Final = FaultTraits(blames="model")
_IN_THE_MODEL: Final = FaultTraits(reached_model=True, blames="model", request_suspect=True)
_REFUSED: Final = FaultTraits(asked=False)
_NEVER_RUN: Final = FaultTraits(asked=False, executed=False)

TAXONOMY: Final[dict[ErrorClass, FaultTraits]] = {
    "unreachable": _WHOLE_BACKEND,
    "throttled": _WHOLE_BACKEND,
    "no_capacity": _WHOLE_BACKEND,
    "not_deployed": _BEFORE_THE_MODEL,
    "not_informed": FaultTraits(asked=False, blames="model"),
    "cold_start_timed_out": _BEFORE_THE_MODEL,
    "cold_start_failed": _BEFORE_THE_MODEL,
    "timed_out": _IN_THE_MODEL,
    "crashed": _IN_THE_MODEL,
    "out_of_memory": _IN_THE_MODEL,
    "bad_protocol": _IN_THE_MODEL,
    "breaker_open": FaultTraits(asked=False),
    "too_large": FaultTraits(http_status=413),
    "store_unavailable": FaultTraits(),
    "internal": FaultTraits(),
    "malformed": _NEVER_RUN,
    "wrong_type": _REFUSED,
    "wrong_inputs": FaultTraits(reached_model=True),
    "unknown_model": FaultTraits(asked=False, http_status=404),
    "unknown_version": FaultTraits(asked=False, http_status=404),
    "forbidden_reference": _REFUSED,
    "missing_data": _REFUSED,
    "wrong_data": _REFUSED,
    "model_error": FaultTraits(reached_model=True, http_status=422),
    "conflict": FaultTraits(asked=False, http_status=409),
    "duplicate": _REFUSED,
    "saturated": FaultTraits(asked=False, http_status=503),
    "no_backend": _REFUSED,
    "deadline": FaultTraits(http_status=504),
    "cancelled": FaultTraits(),
    "scheduler_fault": _REFUSED,
    "lost": _NEVER_RUN,
    "delivery_limit": _NEVER_RUN,
    "dead_letter": _NEVER_RUN,
    "unrecordable": _NEVER_RUN,
    "failed": FaultTraits(),
}


def traits_of(error_class: str | None) -> FaultTraits:
    """Return the traits of an error class; `UNKNOWN` for a word that is not in the table."""
    return TAXONOMY.get(cast("ErrorClass", error_class), UNKNOWN)


def error_class_of(word: str | None) -> ErrorClass:
    """Return the error class that a message names, `failed` where it names none.

    A word of another version passes unchanged: it is recorded as it came.
    """
    return cast("ErrorClass", word or "failed")


BACKEND_FAULTS: Final = frozenset(word for word, traits in TAXONOMY.items() if traits.blames == "backend")
"""Faults of the backend as a whole, and so of every model on it."""
PRE_EXECUTION: Final = frozenset(
    word for word, traits in TAXONOMY.items() if traits.blames and not traits.reached_model
)
"""Faults before the model saw the request: they say nothing of the request."""
REQUEST_SUSPECT: Final = frozenset(word for word, traits in TAXONOMY.items() if traits.request_suspect)
"""Faults during execution: caused by the backend, or by the request, which may do that to any backend."""
MODEL_FAULTS: Final = PRE_EXECUTION | REQUEST_SUSPECT
"""Faults that count against one model on one backend. The others (a store that is down, data that is too
large) count against neither."""
GIVEN_BACK: Final = frozenset(word for word in get_args(FaultClass) if not TAXONOMY[word].asked)
"""Faults with which a pool returns a request without calling its backend: they cost no attempt and count in
no failure rate."""
NOT_EXECUTED: Final = frozenset(word for word, traits in TAXONOMY.items() if not traits.executed)
"""Outcomes without an execution: beside another outcome, such a one is no duplicate execution."""
