"""Live load: requests of every kind through the SDK, and a record of what the broker confirmed."""

import random
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Final, Self

import msgspec

from straightline.client import Client
from straightline.errors import StraightLineError
from straightline.ids import new_id
from straightline.names import BACKENDS, Backend, RequestClass
from straightline.producer.results import ResultBuffer
from tests.faults.harness import scripted_model

PRODUCERS: Final = 8
"""Concurrent producers; each waits for its confirm before it sends the next request."""
REFERENCED_BYTES: Final = 300 * 1024
"""Size of a request that is sent by reference."""
INLINE_LARGE_BYTES: Final = 80 * 1024
"""Size of a request above the suite's threshold `D` that is sent inline."""


@dataclass(frozen=True)
class Mix:
    """Mix of requests.

    Attributes:
        rate: requests per second in total.
        batch: share of requests of class `batch`.
        pinned: share of requests that allow one backend only.
        large: share of large requests; half of them are sent by reference.
        backends: the ones that pinned requests allow.
        commands: commands for the model; each request gets a random one.
        deadline: seconds from submission.
        confirm: time limit of a publisher confirm, in seconds.
    """

    rate: float = 30.0
    batch: float = 0.2
    pinned: float = 0.6
    large: float = 0.06
    backends: tuple[Backend, ...] = BACKENDS
    commands: tuple[str, ...] = ("echo",)
    deadline: float = 90.0
    confirm: float = 30.0


@dataclass
class LoadRecord:
    """What the producers have observed.

    Attributes:
        sent: published ids.
        confirmed: ids confirmed by the broker.
        refused: failed submissions by error type.
        last_errors: the last message of each error type.
        commands: the model's command by id.
        slowest: duration of the slowest submission, successful or not, in seconds.
        received: by id, how often the producers received each final state.
    """

    sent: set[str] = field(default_factory=set)
    confirmed: set[str] = field(default_factory=set)
    refused: Counter[str] = field(default_factory=Counter)
    last_errors: dict[str, str] = field(default_factory=dict)
    commands: dict[str, str] = field(default_factory=dict)
    slowest: float = 0.0
    received: dict[str, Counter[str]] = field(default_factory=dict)


class _State(msgspec.Struct):
    state: str


class _OutcomeCounter(ResultBuffer):
    """Count each result, including repeated ones of an id, and keep none."""

    def __init__(self, received: dict[str, Counter[str]]) -> None:
        super().__init__(1, 1)
        self._received = received

    def put(self, key: str, body: bytes) -> None:
        """Count a result; called only by the connection's thread."""
        self._received.setdefault(key, Counter())[msgspec.json.decode(body, type=_State).state] += 1


class Load:
    """Producers that submit while in a `with` block and receive results until `close`."""

    def __init__(self, url: str, store: str, mix: Mix, *, canary: str, seed: int = 1) -> None:
        self.mix = mix
        self.record = LoadRecord()
        self._canary = canary
        self._rng = random.Random(seed)
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._client = Client(url, store=store, confirm_timeout=mix.confirm)
        self._client._producer.results = _OutcomeCounter(self.record.received)
        self._threads = [threading.Thread(target=self._drive, name=f"producer-{n}") for n in range(PRODUCERS)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> LoadRecord:
        """Stop submitting, wait for outstanding confirms, and return the record."""
        self._stopping.set()
        for thread in self._threads:
            thread.join(self.mix.confirm + 10)
        return self.record

    def close(self) -> LoadRecord:
        """Stop submitting and receiving, and return the record."""
        self.stop()
        self._client.close(2.0)
        return self.record

    def run_for(self, seconds: float) -> None:
        """Let the load run for some seconds."""
        time.sleep(seconds)

    def wait_confirmed(self, more: int, timeout: float = 30.0) -> None:
        """Wait until `more` further requests are confirmed."""
        wanted = len(self.record.confirmed) + more
        deadline = time.monotonic() + timeout
        while len(self.record.confirmed) < wanted:
            assert time.monotonic() < deadline, (
                f"no {more} confirms in {timeout} s: {self.record.last_errors}"
            )
            time.sleep(0.02)

    def _drive(self) -> None:
        pause = PRODUCERS / self.mix.rate
        self._stopping.wait(pause * self._roll())
        while not self._stopping.is_set():
            began = time.monotonic()
            self._submit()
            self._stopping.wait(max(0.0, began + pause - time.monotonic()))

    def _roll(self) -> float:
        with self._lock:
            return self._rng.random()

    def _submit(self) -> None:
        identity = new_id()
        class_: RequestClass = "batch" if self._roll() < self.mix.batch else "interactive"
        with self._lock:
            allow: list[Backend] | None = None
            if self._rng.random() < self.mix.pinned:
                allow = [self._rng.choice(self.mix.backends)]
            command = self._rng.choice(self.mix.commands)
        body = scripted_model.request(identity, command, self._padding())
        began = time.monotonic()
        with self._lock:
            self.record.sent.add(identity)
            self.record.commands[identity] = command
        try:
            self._client.submit(
                scripted_model.NAME, body, id=identity, class_=class_, allow=allow, deadline=self.mix.deadline
            )
        except StraightLineError as error:
            with self._lock:
                kind = type(error).__name__
                self.record.refused[kind] += 1
                self.record.last_errors[kind] = str(error)
        else:
            with self._lock:
                self.record.confirmed.add(identity)
        self.record.slowest = max(self.record.slowest, time.monotonic() - began)

    def _padding(self) -> str:
        roll = self._roll()
        size = (
            REFERENCED_BYTES
            if roll < self.mix.large / 2
            else INLINE_LARGE_BYTES
            if roll < self.mix.large
            else 0
        )
        return self._canary + "." * size
