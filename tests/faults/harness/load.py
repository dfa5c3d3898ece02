"""Live load: requests of every kind through the SDK, and an account of what the broker has confirmed."""

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
from tests.faults.harness import mind

LANES: Final = 8
"""Producers side by side: each waits for its confirm before it sends the next."""
LARGE: Final = 300 * 1024
"""Bytes of a request that travels by reference."""
MIDDLING: Final = 80 * 1024
"""Bytes of a request above the suite's threshold `D` that travels inline."""


@dataclass(frozen=True)
class Mix:
    """What is asked.

    Attributes:
        rate: requests per second, in all.
        batch: share of the class `batch`.
        pinned: share that names the one backend that may answer.
        large: share of large requests, half of them by reference.
        backends: those that are named.
        commands: commands for the model, of which each request gets one.
        deadline: seconds from submission.
        confirm: seconds that a producer waits for a confirm.
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
class Account:
    """What the producers know.

    Attributes:
        sent: ids put on their way.
        confirmed: those that the broker has confirmed.
        refused: how many were not, by the kind of error.
        words: of each kind, what the last one said.
        commands: the model's command, by id.
        slowest: seconds that the slowest submission took, whatever came of it.
        told: how often the producers received each final state, by id.
    """

    sent: set[str] = field(default_factory=set)
    confirmed: set[str] = field(default_factory=set)
    refused: Counter[str] = field(default_factory=Counter)
    words: dict[str, str] = field(default_factory=dict)
    commands: dict[str, str] = field(default_factory=dict)
    slowest: float = 0.0
    told: dict[str, Counter[str]] = field(default_factory=dict)


class _End(msgspec.Struct):
    state: str


class _Heard(ResultBuffer):
    """Counts each answer, including repeated ones of an id, and keeps none."""

    def __init__(self, told: dict[str, Counter[str]]) -> None:
        super().__init__(1, 1)
        self._told = told

    def put(self, key: str, body: bytes) -> None:
        """Note it; the connection's thread alone calls this."""
        self._told.setdefault(key, Counter())[msgspec.json.decode(body, type=_End).state] += 1


class Load:
    """Producers that run from `start` until `stop`, and listen until `close`; `start` also by a `with`."""

    def __init__(self, url: str, store: str, mix: Mix, *, canary: str, seed: int = 1) -> None:
        self.mix = mix
        self.account = Account()
        self._canary = canary
        self._chance = random.Random(seed)
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._client = Client(url, store=store, confirm_timeout=mix.confirm)
        self._client._producer.results = _Heard(self.account.told)
        self._lanes = [threading.Thread(target=self._drive, name=f"lane-{n}") for n in range(LANES)]

    def __enter__(self) -> Self:
        for lane in self._lanes:
            lane.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> Account:
        """Stop sending, wait for outstanding confirms, and return the account."""
        self._stopping.set()
        for lane in self._lanes:
            lane.join(self.mix.confirm + 10)
        return self.account

    def close(self) -> Account:
        """Stop sending and listening, and return the account."""
        self.stop()
        self._client.close(2.0)
        return self.account

    def run_for(self, seconds: float) -> None:
        """Let the load run."""
        time.sleep(seconds)

    def wait_confirmed(self, more: int, timeout: float = 30.0) -> None:
        """Wait until this number of further requests is confirmed."""
        wanted = len(self.account.confirmed) + more
        deadline = time.monotonic() + timeout
        while len(self.account.confirmed) < wanted:
            assert time.monotonic() < deadline, f"no {more} confirms in {timeout} s: {self.account.words}"
            time.sleep(0.02)

    def _drive(self) -> None:
        pause = LANES / self.mix.rate
        self._stopping.wait(pause * self._roll())
        while not self._stopping.is_set():
            began = time.monotonic()
            self._submit()
            self._stopping.wait(max(0.0, began + pause - time.monotonic()))

    def _roll(self) -> float:
        with self._lock:
            return self._chance.random()

    def _submit(self) -> None:
        identity = new_id()
        class_: RequestClass = "batch" if self._roll() < self.mix.batch else "interactive"
        with self._lock:
            allow: list[Backend] | None = None
            if self._chance.random() < self.mix.pinned:
                allow = [self._chance.choice(self.mix.backends)]
            command = self._chance.choice(self.mix.commands)
        body = mind.request(identity, command, self._padding())
        began = time.monotonic()
        with self._lock:
            self.account.sent.add(identity)
            self.account.commands[identity] = command
        try:
            self._client.submit(
                mind.NAME, body, id=identity, class_=class_, allow=allow, deadline=self.mix.deadline
            )
        except StraightLineError as error:
            with self._lock:
                word = type(error).__name__
                self.account.refused[word] += 1
                self.account.words[word] = str(error)
        else:
            with self._lock:
                self.account.confirmed.add(identity)
        self.account.slowest = max(self.account.slowest, time.monotonic() - began)

    def _padding(self) -> str:
        roll = self._roll()
        size = LARGE if roll < self.mix.large / 2 else MIDDLING if roll < self.mix.large else 0
        return self._canary + "." * size
