"""A host that lacks something says what, and such a lack is recognised behind other errors."""

import errno
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from agentcontainer import host
from agentcontainer.errors import SandboxError


@pytest.fixture
def few_descriptors() -> Iterator[None]:
    """This process may open only a few more files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = sum(1 for _ in Path("/proc/self/fd").iterdir())
    resource.setrlimit(resource.RLIMIT_NOFILE, (used + host.MIN_FREE_DESCRIPTORS - 10, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_host_with_room_lacks_nothing(tmp_path: Path) -> None:
    assert host.shortage(tmp_path) is None
    assert host.shortage(tmp_path / "missing") is None


def test_a_full_disk_is_named_without_its_path() -> None:
    assert host.shortage(Path("/proc")) == "Its disk is full: 0 MiB are free."


@pytest.mark.usefixtures("few_descriptors")
def test_a_lack_of_file_descriptors_is_named(tmp_path: Path) -> None:
    fault = host.shortage(tmp_path)
    assert fault is not None and fault.startswith("Its process has ") and fault.endswith(" files open.")


def test_a_lack_is_recognised_behind_the_error_that_it_caused() -> None:
    error = SandboxError("The sandbox's first process was refused.")
    error.__cause__ = OSError(errno.EMFILE, "Too many open files")
    assert host.is_exhausted(error)
    assert not host.is_exhausted(SandboxError("User namespaces are disabled."))
    assert not host.is_exhausted(OSError(errno.ENOSPC, "an agent can fill its own disk"))
