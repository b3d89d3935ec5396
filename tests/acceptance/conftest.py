"""The platforms of the acceptance tests. Tests of one platform run in one worker, so that it is started once."""

import asyncio
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from agentcontainer.gateway.scripted import ScriptedModel, serve
from tests.otlp_receiver import Receiver, otlp_receiver
from tests.ports import free_port
from tests.s3_server import CREDENTIALS, S3Server, s3_server

from .bed import COMMAND, PROVIDER_KEY, PROVIDERS, TERMINAL, Client, Platform, finish, script, waiting
from .relay import Relay

__all__ = [
    "COMMAND",
    "PROVIDERS",
    "PROVIDER_KEY",
    "TERMINAL",
    "Client",
    "Platform",
    "finish",
    "script",
    "waiting",
]
S3_BUCKET = "agentcontainer"
OTLP_KEY = "key-of-the-collector-canary"
SHARED = ("s3_platform", "quick_platform", "patient_platform", "open_platform")


@pytest.hookimpl(tryfirst=True)  # pytest-xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Group the tests by their shared platform, so that one worker starts it; two start `shared_platform`."""
    for item in items:
        fixtures = getattr(item, "fixturenames", ())
        if item.get_closest_marker("xdist_group"):
            continue
        if shared := [name for name in SHARED if name in fixtures]:
            item.add_marker(pytest.mark.xdist_group(shared[0]))
        elif "shared_platform" in fixtures:
            half = "first" if item.path.name < "test_g" else "second"
            item.add_marker(pytest.mark.xdist_group(f"{half} shared platform"))


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Stop a shared platform after the last test of its group, since an idle one uses CPU time too."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        return  # the tests that share a platform do not follow each other
    for name in (*SHARED, "shared_platform", "client_platform"):
        platform = getattr(item, "funcargs", {}).get(name)
        is_needed = name in getattr(nextitem, "fixturenames", ())
        if isinstance(platform, Platform) and platform.is_running() and not is_needed:
            platform.stop()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print how long each cell of the crash matrix took."""
    lines = [
        str(text)
        for report in terminalreporter.stats.get("passed", [])
        for name, text in report.user_properties
        if name == "crash_cell"
    ]
    if lines:
        terminalreporter.section("killed at, which part, the task's end, time to it")
        for line in sorted(lines):
            terminalreporter.write_line(line)


@pytest.fixture(scope="session")
def scripted_url() -> Iterator[str]:
    """The scripted model, over real HTTP."""
    command = [sys.executable, "-m", "agentcontainer.gateway.scripted", "--port", "0"]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    assert process.stdout is not None
    line = process.stdout.readline().decode()
    match = re.search(r"http://127\.0\.0\.1:\d+", line)
    assert match, line
    yield match[0]
    process.terminate()
    process.wait(10)
    process.stdout.close()


def running(platform: Platform) -> Platform:
    """The platform, started again if it was stopped after an earlier group of tests."""
    if not platform.is_running():
        platform.start()
    return platform


@pytest.fixture(scope="session")
def one_shared_platform(scripted_url: str) -> Iterator[Platform]:
    with Platform(
        scripted_url, capacity="4", metrics_token="t" * 24, runner_metrics_address=f"127.0.0.1:{free_port()}"
    ) as platform:
        yield platform


@pytest.fixture
def shared_platform(one_shared_platform: Platform) -> Platform:
    """One platform for all tests that do not kill or restart it. It serves metrics."""
    return running(one_shared_platform)


@pytest.fixture
def platform(scripted_url: str) -> Iterator[Platform]:
    """A platform for this test alone, which it may kill and restart."""
    with Platform(scripted_url, capacity="2") as platform:
        yield platform


@pytest.fixture(scope="session")
def content_collector() -> Iterator[Receiver]:
    """What `quick_platform` sends its traces to."""
    with otlp_receiver() as receiver:
        yield receiver


@pytest.fixture(scope="session")
def one_quick_platform(scripted_url: str, content_collector: Receiver) -> Iterator[Platform]:
    platform = Platform(
        scripted_url, capacity="2", checkpoint_seconds="1", runner_lost_after_seconds="5",
        provider_patience_seconds="0.2", max_partial_files="3", max_partial_bytes="2500",
    )  # fmt: skip
    platform.environment |= tracing_to(content_collector)
    platform.environment["OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"] = "true"
    with platform:
        yield platform


@pytest.fixture
def quick_platform(one_quick_platform: Platform) -> Platform:
    """It saves running tasks every second, and is quick to give up runners, providers and large partial outputs. Its
    traces have content. Tests may kill its runner."""
    return running(one_quick_platform)


@pytest.fixture(scope="session")
def one_patient_platform(scripted_url: str) -> Iterator[Platform]:
    with Platform(scripted_url, capacity="2", runner_lost_after_seconds="90") as platform:
        yield platform


@pytest.fixture
def patient_platform(one_patient_platform: Platform) -> Platform:
    """It takes no task from a runner while PostgreSQL starts again, however slow the machine. Tests may kill its
    processes and stop it."""
    return running(one_patient_platform)


@pytest.fixture(scope="session")
def seen_model() -> Iterator[ScriptedModel]:
    """The scripted model in a thread of this process, so that tests can read what Pi sends it."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        served = asyncio.run_coroutine_threadsafe(serve(), loop).result(10)
        yield served
        asyncio.run_coroutine_threadsafe(served.close(), loop).result(10)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@pytest.fixture(scope="session")
def collector() -> Iterator[Receiver]:
    """What `open_platform` sends its traces to."""
    with otlp_receiver() as receiver:
        yield receiver


def tracing_to(receiver: Receiver) -> dict[str, str]:
    """The environment of a platform that sends traces there soon."""
    return {
        "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url, "OTEL_EXPORTER_OTLP_HEADERS": f"x-key={OTLP_KEY}",
        "OTEL_BSP_SCHEDULE_DELAY": "200", "OTEL_METRIC_EXPORT_INTERVAL": "1000",
    }  # fmt: skip


@pytest.fixture(scope="session")
def one_open_platform(seen_model: ScriptedModel, collector: Receiver) -> Iterator[Platform]:
    platform = Platform(
        seen_model.url, capacity="2", allow_private_repositories="true", max_repository_bytes=str(4 * 1024**2),
        private_hosts="127.0.0.1",
    )  # fmt: skip
    platform.environment |= tracing_to(collector)
    with platform:
        yield platform


@pytest.fixture
def open_platform(one_open_platform: Platform) -> Platform:
    """Its model is `seen_model`; it clones repositories of private addresses, and uses models on this host. It
    sends traces, without content."""
    return running(one_open_platform)


@pytest.fixture(scope="session")
def s3() -> Iterator[S3Server]:
    with s3_server() as server:
        yield server


@pytest.fixture(scope="session")
def s3_relay(s3: S3Server) -> Iterator[Relay]:
    """Between a platform and S3."""
    relay = Relay(int(s3.endpoint.rpartition(":")[2]))
    yield relay
    relay.end()


@pytest.fixture(scope="session")
def one_s3_platform(scripted_url: str, s3: S3Server, s3_relay: Relay) -> Iterator[Platform]:
    url = s3.storage_url(S3_BUCKET).replace(s3.endpoint, f"http://127.0.0.1:{s3_relay.listens}")
    platform = Platform(scripted_url, capacity="2", storage_url=url, file_quota_bytes="1000000")
    platform.environment |= CREDENTIALS
    with platform:
        yield platform


@pytest.fixture
def s3_platform(one_s3_platform: Platform) -> Platform:
    """Its object store is S3, which it reaches through a relay."""
    return running(one_s3_platform)


@pytest.fixture
def client(shared_platform: Platform) -> Client:
    """An account with $100 and a key for each provider."""
    return shared_platform.account()
