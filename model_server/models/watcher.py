"""Watcher of the model directory: loads new versions and drops removed ones, without a restart."""

import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from model_server.models.bundle import Bundle, read_bundle
from model_server.models.engine import Engine
from model_server.models.registry import ModelKey, Registry
from straightline.errors import ConfigurationError
from straightline.support.event_log import EventLogger

FileStamp = tuple[int, int, int]
"""Inode, modification time and size of a `model.toml`. A replaced bundle has another inode."""
MIN_SCAN_INTERVAL_S: Final = 0.2
"""Bounds the scans that requests for unknown models cause."""
SCAN_WAIT_TIMEOUT_S: Final = 2.0
"""Longest time that a request waits for a scan, since a model may take long to load."""
_log = EventLogger(__name__)


class ModelWatcher:
    """Keeps a registry in step with the model directory. Thread-safe.

    Args:
        models: the model directory.
        registry: the registry to update.
        load: loads the engine of a bundle.
        loaded: initial content of the registry.
    """

    def __init__(
        self,
        models: Path,
        registry: Registry,
        load: Callable[[Bundle], Engine],
        loaded: Mapping[ModelKey, Engine],
    ) -> None:
        self._models = models
        self._registry = registry
        self._load = load
        self._lock = threading.Lock()
        self._engines = dict(loaded)
        self._broken: dict[ModelKey, str] = {}
        self._stamps = {key: stamp for key, stamp in self._read_directory().items() if key in self._engines}
        self._scanned_at = float("-inf")
        self._request_lock = threading.Lock()
        self._request_done = threading.Event()
        self._request_done.set()
        self._requested_at = float("-inf")

    def start(self, interval: float) -> None:
        """Scan every `interval` seconds in a thread."""
        threading.Thread(target=self._run, args=(interval,), name="models", daemon=True).start()

    def scan(self) -> None:
        """Load new and changed versions, and drop removed ones; those that cannot be loaded are logged."""
        with self._lock:
            if time.monotonic() - self._scanned_at < MIN_SCAN_INTERVAL_S:
                return
            stamps = self._read_directory()
            if stamps != self._stamps:
                self._apply(stamps)
            self._scanned_at = time.monotonic()

    def request_scan(self) -> None:
        """Start a scan and wait for it, but not for long, since callers hold one of few threads."""
        with self._request_lock:
            if self._request_done.is_set() and time.monotonic() - self._scanned_at >= MIN_SCAN_INTERVAL_S:
                self._request_done.clear()
                self._requested_at = time.monotonic()
                threading.Thread(target=self._scan_requested, name="models asked for", daemon=True).start()
        self._request_done.wait(max(0.0, self._requested_at + SCAN_WAIT_TIMEOUT_S - time.monotonic()))

    def _scan_requested(self) -> None:
        self._scan_safely()  # if it fails, waiting requests find the model unknown
        self._request_done.set()

    def _apply(self, stamps: dict[ModelKey, FileStamp]) -> None:
        for key in [key for key in (*self._engines, *self._broken) if key not in stamps]:
            name, version = key
            _log.info("model_removed", model=name, version=version)
            self._engines.pop(key, None)
            self._broken.pop(key, None)
        fresh = [key for key, stamp in stamps.items() if self._stamps.get(key) != stamp]
        try:
            while fresh:
                self._registry.replace(self._engines.values(), dict(self._broken), fresh)
                self._load_version(fresh.pop(0))
            self._stamps = stamps
        finally:
            self._registry.replace(self._engines.values(), dict(self._broken))

    def _load_version(self, key: ModelKey) -> None:
        name, version = key
        try:
            bundle = read_bundle(self._models / name / version)
            if (bundle.spec.name, bundle.spec.version) != key:
                raise ConfigurationError(
                    f"its model.toml says {bundle.spec.name} {bundle.spec.version}. Move it to "
                    "<name>/<version>/"
                )
            if bundle.flavour == "external":  # served by its own server
                return
            self._engines[key] = self._load(bundle)
        except ConfigurationError as error:
            _log.warning("model_not_served", model=name, version=version, error=error)
            self._engines.pop(key, None)
            self._broken[key] = str(error)
        else:
            self._broken.pop(key, None)
            _log.info("model_served", model=name, version=version)

    def _read_directory(self) -> dict[ModelKey, FileStamp]:
        found: dict[ModelKey, FileStamp] = {}
        for file in self._models.glob("*/*/model.toml"):
            try:
                status = file.stat()
            except OSError:
                continue  # removed meanwhile
            found[file.parts[-3], file.parts[-2]] = (status.st_ino, status.st_mtime_ns, status.st_size)
        return found

    def _run(self, interval: float) -> None:
        while True:
            time.sleep(interval)
            self._scan_safely()

    def _scan_safely(self) -> None:
        try:
            self.scan()
        # The thread must survive a failed scan.
        except Exception:  # noqa: BLE001
            _log.exception("model_scan_failed")
