"""The private hooks of py-amqp, pika, kombu and Celery that the system patches.

An upgrade that moves one of them fails here, and not with the first malformed message in production. After an
upgrade: run tests/integration/workers/test_harmful_messages.py and
tests/integration/security/test_headers.py, then set the versions below.
"""

import inspect
import struct
from importlib.metadata import version

import pika
import pytest
from amqp import method_framing
from amqp.basic_message import Message
from celery.worker.consumer import Consumer
from celery.worker.control import Panel
from kombu import compression
from pika.connection import Connection

from straightline.amqp.connection.tolerant_connection import TolerantConnection
from workers.celery_ext import amqp_patches

TESTED = {"amqp": "5.4.2", "celery": "5.7.0", "kombu": "5.7.0", "pika": "1.4.4"}
BAD_TABLE = b"\x01k\xffv"  # a key, then a type of value that does not exist
"""A table of headers that no library can decode."""
HEADERS_FLAG = 0x2000
BAD_HEADER = struct.pack(">HHQH", 60, 0, 5, HEADERS_FLAG) + struct.pack(">L", len(BAD_TABLE)) + BAD_TABLE


@pytest.mark.parametrize(("library", "tested"), TESTED.items())
def test_the_patched_libraries_have_the_tested_versions(library: str, tested: str) -> None:
    assert version(library) == tested, (
        f"{library} is now {version(library)}, and private parts of it are patched: see the docstring of "
        "this module for what to check"
    )


def test_pika_decodes_frames_where_the_tolerant_connection_intercepts_them() -> None:
    for name in ("_read_frame", "_on_data_available", "_terminate_stream"):
        assert callable(getattr(pika.SelectConnection, name, None)), f"pika has no {name} any more"
        assert name == "_terminate_stream" or name in vars(TolerantConnection)
    reads = inspect.getsource(Connection._on_data_available)
    assert "self._read_frame()" in reads, "pika's _on_data_available does not call _read_frame any more"
    assert "self._frame_buffer" in reads, "pika does not collect its input in _frame_buffer any more"


def test_pika_passes_a_message_with_undecodable_headers_without_them() -> None:
    connection = TolerantConnection.__new__(TolerantConnection)
    connection._frame_buffer = struct.pack(">BHL", 2, 1, len(BAD_HEADER)) + BAD_HEADER + b"\xce"
    used, frame = connection._read_frame()
    assert used == len(connection._frame_buffer)
    assert (frame.body_size, frame.properties.headers) == (5, None)


def test_py_amqp_makes_messages_by_the_name_that_is_patched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(method_framing, "Message", Message)
    amqp_patches.install()
    assert method_framing.Message is amqp_patches.TolerantMessage
    makes = inspect.getsource(method_framing.frame_handler)
    assert "Message(" in makes, (
        "py-amqp's frame_handler does not make messages as method_framing.Message any more"
    )
    assert ".inbound_header(" in makes, (
        "py-amqp's frame_handler does not call Message.inbound_header any more"
    )


def test_py_amqp_passes_a_message_with_undecodable_headers_without_them() -> None:
    with pytest.raises(Exception, match=r"."):
        Message().inbound_header(BAD_HEADER, 0)
    message = amqp_patches.TolerantMessage()
    message.inbound_header(BAD_HEADER, 0)
    assert (message.body_size, message.headers) == (5, None)


def test_kombu_decompresses_nothing_once_its_decoders_are_cleared(monkeypatch: pytest.MonkeyPatch) -> None:
    compressed, kind = compression.compress(b"x", "gzip")
    assert compression.decompress(compressed, kind) == b"x"
    monkeypatch.setattr(compression, "_decoders", {})
    with pytest.raises(KeyError):
        compression.decompress(compressed, kind)


def test_celery_has_what_the_consumer_overrides() -> None:
    for name in (
        *("create_task_handler", "ensure_connected", "on_send_event_buffered", "_flush_events", "call_soon"),
        *("on_decode_error", "on_unknown_message", "on_unknown_task", "on_invalid_task"),
        "on_connection_error_after_connected",
    ):
        assert callable(getattr(Consumer, name, None)), f"Celery has no Consumer.{name} any more"
    assert "ping" in Panel.data, "Celery registers remote control outside Panel.data"
