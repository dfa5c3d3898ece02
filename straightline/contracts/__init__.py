"""The messages of StraightLine as typed structures, encoded as JSON.

All times are seconds since the Unix epoch, UTC, as JSON numbers; durations are seconds, sizes are bytes.
"""

from straightline.contracts.cancel import Cancel, CancelAnswer
from straightline.contracts.deployed import Deployed, DeployedModel, DeployedVersion
from straightline.contracts.http_models import (
    BackendEntry,
    BackendList,
    BatchList,
    BatchStatus,
    FailureRate,
    FailureReport,
    ModelEntry,
    ModelList,
    PlacementHistory,
    PlacementStep,
    Problem,
    RequestStatus,
    WorkerEntry,
)
from straightline.contracts.lease import Lease, LeaseBatch
from straightline.contracts.model import ModelFile, ModelSpec, TensorSpec
from straightline.contracts.outcome import Attempt, Outcome, OutcomeBatch, Recall
from straightline.contracts.request import DataRef, Request, decode_request
from straightline.contracts.signals import BreakerState, Completion, Feedback, Heartbeat
from straightline.contracts.status_events import StatusEvent, StatusEvents
from straightline.contracts.tensors.v2 import InferInput, InferOutput, InferRequest, InferResponse
from straightline.contracts.ticket import FailedAttempt, FailedAttempts, Reason, ReplyAddress, Ticket

__all__ = [
    "Attempt",
    "BackendEntry",
    "BackendList",
    "BatchList",
    "BatchStatus",
    "BreakerState",
    "Cancel",
    "CancelAnswer",
    "Completion",
    "DataRef",
    "Deployed",
    "DeployedModel",
    "DeployedVersion",
    "FailedAttempt",
    "FailedAttempts",
    "FailureRate",
    "FailureReport",
    "Feedback",
    "Heartbeat",
    "InferInput",
    "InferOutput",
    "InferRequest",
    "InferResponse",
    "Lease",
    "LeaseBatch",
    "ModelEntry",
    "ModelFile",
    "ModelList",
    "ModelSpec",
    "Outcome",
    "OutcomeBatch",
    "PlacementHistory",
    "PlacementStep",
    "Problem",
    "Reason",
    "Recall",
    "ReplyAddress",
    "Request",
    "RequestStatus",
    "StatusEvent",
    "StatusEvents",
    "TensorSpec",
    "Ticket",
    "WorkerEntry",
    "decode_request",
]
