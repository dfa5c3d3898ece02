"""Whose containers may be removed."""

import os

import msgspec
import pytest

from workers.containers.docker.owner import Owner, is_orphan

ME = Owner.this_process("gpu-container@here", "run-1")


def other(**changes: str) -> Owner:
    return msgspec.structs.replace(ME, **changes)


def test_labels_are_parsed_back_to_their_owner() -> None:
    assert Owner.of_labels({"unrelated": "label", **ME.labels()}) == ME


@pytest.mark.parametrize("name", sorted(ME.labels()))
def test_a_container_without_all_labels_has_no_owner(name: str) -> None:
    labels = ME.labels()
    del labels[name]
    assert Owner.of_labels(labels) is None


def test_an_unnamed_worker_is_named_after_its_host() -> None:
    assert Owner.this_process("", "").node.startswith("gpu-container@")


def test_an_own_container_is_not_an_orphan() -> None:
    assert not is_orphan(ME, ME)


def test_a_live_process_on_this_host_keeps_its_containers() -> None:
    parent = os.getppid()
    alive = other(pid=str(parent), started=_started(parent))
    assert not is_orphan(alive, ME)


def test_a_reused_process_id_is_a_dead_owner() -> None:
    reused = other(pid=str(os.getppid()), started="1")
    assert is_orphan(reused, ME)


def test_an_exited_process_is_a_dead_owner() -> None:
    assert is_orphan(other(pid=str(2**22 + 1), started="1", node="somebody-else", run="other"), ME)


@pytest.mark.parametrize(
    ("changes", "orphan"),
    [
        ({}, True),
        ({"run": "run-2"}, False),
        ({"node": "gpu-container@there"}, False),
    ],
)
def test_on_other_hosts_only_an_earlier_process_of_this_worker_is_known_to_be_dead(
    changes: dict[str, str], orphan: bool
) -> None:
    assert is_orphan(other(scope="another boot", pid="1", **changes), ME) is orphan


def _started(pid: int) -> str:
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:  # noqa: PTH123 - the kernel's file, read once
        return file.read().rpartition(")")[2].split()[19]
