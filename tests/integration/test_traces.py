"""Spans and metrics over real OTLP: names, content, losses, and collectors that fail. No task runs here."""

import asyncio
import logging
import socket
import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from opentelemetry import metrics as global_metrics
from opentelemetry import trace as global_traces

from agentcontainer.settings import Settings
from agentcontainer.telemetry import metrics, names, otel
from agentcontainer.telemetry.tracing import (
    NO_TRACING,
    Content,
    Invoked,
    ModelCall,
    Result,
    Stopwatch,
    Tokens,
    ToolCall,
    Tracing,
    WebhookCall,
)
from agentcontainer.traceparent import TraceParent
from tests.otlp_receiver import Receiver, otlp_receiver

SPAN = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
INVOKED = Invoked(
    "tsk_1", "acc_1", "agt_1", "Analyst", "3", 2, None, "autonomous", "anthropic", "claude-sonnet-4-6",
    ("anthropic", "claude-sonnet-4-6"),
)  # fmt: skip
TOKENS = Tokens(100, 20, 60, 10, 5, 1_500_000)
HEADER = "x-key=header-canary"


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Any:
    with otlp_receiver() as receiver:
        yield receiver


def environment_of(monkeypatch: pytest.MonkeyPatch, url: str, **more: str) -> Mapping[str, str]:
    """The SDK reads its own variables itself."""
    environment = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": url, "OTEL_EXPORTER_OTLP_HEADERS": HEADER,
        "OTEL_METRIC_EXPORT_INTERVAL": "60000", "OTEL_BSP_SCHEDULE_DELAY": "50", **more,
    }  # fmt: skip
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return environment


def call(**more: Any) -> ModelCall:
    interval = Stopwatch.before(time.time_ns(), 0.25)
    fields: dict[str, Any] = {
        "interval": interval, "provider": "anthropic", "model": "claude-sonnet-4-6",
        "labels": ("anthropic", "claude-sonnet-4-6"), "server_address": "api.anthropic.com", "server_port": 443,
        "is_stream": True, "max_tokens": 4096, "tokens": TOKENS, "first_chunk_seconds": 0.125,
        "response_id": "msg_1", "response_model": "claude-sonnet-4-6-x", "finish_reason": "end_turn",
        "error_type": None,
    }  # fmt: skip
    return ModelCall(**fields | more)


def report(tracing: Tracing, calls: int = 1) -> None:
    link = TraceParent.parse(SPAN)
    assert link is not None
    whole = Stopwatch()
    invocation = tracing.begin(INVOKED, whole.start_ns, [link])
    content = Content("[]", '[{"role":"user"}]', '[{"role":"assistant"}]')
    for _ in range(calls):
        invocation.model_call(call(content=content if tracing.captures_content else Content()))
        invocation.count(TOKENS)
    invocation.tool_call(ToolCall(Stopwatch(), "call_1", "bash", "bash", "tool_error"))
    invocation.part(names.CHECKPOINT, Stopwatch(), {names.SIZE_BYTES: 7}, None)
    whole.stop()
    invocation.end(INVOKED, Result("finished", "complete"), whole)


async def sent(settings: Settings, environment: Mapping[str, str]) -> None:
    async with otel.tracing(settings, environment) as tracing:
        report(tracing)


async def test_an_attempt_is_a_trace_with_a_link_and_the_flush_sends_all_of_it(
    collector: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = exported("exported")
    await sent(Settings(), environment_of(monkeypatch, collector.url))
    spans = {span.name: span for span in collector.spans}
    root = spans["invoke_agent Analyst"]
    assert set(spans) == {
        "invoke_agent Analyst", "chat claude-sonnet-4-6", "execute_tool bash", "agentcontainer.checkpoint",
    }  # fmt: skip
    assert root.parent == ""
    assert root.links == ("0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",)
    assert {span.parent for span in collector.spans if span is not root} == {root.span_id}
    assert {span.trace_id for span in collector.spans} == {root.trace_id}
    common = {
        "gen_ai.agent.name": "Analyst", "gen_ai.agent.version": "3", "gen_ai.conversation.id": "tsk_1",
        "agentcontainer.task.id": "tsk_1", "agentcontainer.agent.id": "agt_1",
        "agentcontainer.account.id": "acc_1", "agentcontainer.attempt": 2,
        "agentcontainer.mode": "autonomous",
    }  # fmt: skip
    assert all(common.items() <= span.attributes.items() for span in collector.spans)
    assert root.attributes == common | {
        "gen_ai.operation.name": "invoke_agent", "gen_ai.provider.name": "anthropic",
        "gen_ai.request.model": "claude-sonnet-4-6",
        "agentcontainer.status": "finished", "agentcontainer.completion": "complete",
        "gen_ai.usage.input_tokens": 100, "gen_ai.usage.output_tokens": 20,
        "gen_ai.usage.cache_read.input_tokens": 60, "gen_ai.usage.cache_write.input_tokens": 10,
        "gen_ai.usage.reasoning.output_tokens": 5, "agentcontainer.model_cost_usd": 1.5,
    }  # fmt: skip
    chat = spans["chat claude-sonnet-4-6"]
    assert chat.kind == 3  # CLIENT
    assert chat.end - chat.start == pytest.approx(0.25, abs=1e-3)
    assert chat.attributes["gen_ai.response.finish_reasons"] == ["end_turn"]
    assert chat.attributes["gen_ai.response.time_to_first_chunk"] == 0.125
    assert (chat.attributes["server.address"], chat.attributes["server.port"]) == ("api.anthropic.com", 443)
    assert spans["execute_tool bash"].is_error
    assert spans["execute_tool bash"].attributes["error.type"] == "tool_error"
    assert spans["agentcontainer.checkpoint"].attributes["agentcontainer.size_bytes"] == 7
    assert root.resource["service.name"] == "agentcontainer"
    assert all(headers["x-key"] == "header-canary" for headers in collector.headers)
    assert not any(b"header-canary" in body for body in collector.bodies)
    assert exported("exported") == before + 4


async def test_a_request_to_a_webhook_is_a_trace_of_its_own(
    collector: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with otel.tracing(Settings(), environment_of(monkeypatch, collector.url)) as tracing:
        for status, outcome in ((200, "delivered"), (503, "retried"), (None, "failed")):
            tracing.webhook(
                WebhookCall(Stopwatch(), "acc_1", "tsk_1", "whk_1", "whd_1", "task.finished", status, outcome)
            )
    assert len({span.trace_id for span in collector.spans}) == 3
    assert {span.name for span in collector.spans} == {"agentcontainer.webhook"}
    errors = [span.attributes.get("error.type") for span in collector.spans]
    assert errors == [None, "503", "no_answer"]
    assert collector.spans[1].attributes["agentcontainer.webhook.outcome"] == "retried"
    assert collector.spans[1].task_id == "tsk_1"


def exported(outcome: str) -> float:
    registry = metrics.registry_of()
    return registry.get_sample_value("agentcontainer_trace_spans_total", {"outcome": outcome}) or 0.0


async def test_metrics_have_the_names_of_the_convention_and_no_name_that_clients_choose(
    collector: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    await sent(Settings(), environment_of(monkeypatch, collector.url))
    common = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "anthropic",
              "gen_ai.request.model": "claude-sonnet-4-6"}  # fmt: skip
    [seconds] = collector.metrics["gen_ai.client.inference.duration"]
    assert seconds == {**common, "": pytest.approx(0.25, abs=0.01)}
    [read] = collector.metrics["gen_ai.client.inference.usage.cache_read.input_tokens"]
    assert read == {**common, "gen_ai.token.modality": "text", "": 60}
    [tool] = collector.metrics["gen_ai.execute_tool.duration"]
    assert (tool["gen_ai.tool.name"], tool["error.type"]) == ("bash", "tool_error")
    assert collector.metrics["gen_ai.invoke_agent.tool_calls"][0][""] == 1
    assert "gen_ai.client.token.usage" not in collector.metrics
    text = str(collector.metrics)
    assert not any(hidden in text for hidden in ("Analyst", "tsk_1", "acc_1", "agt_1"))


@pytest.mark.parametrize(
    ("convention", "sends", "lacks"),
    [
        ("legacy", {"gen_ai.system", "gen_ai.usage.cache_creation.input_tokens"}, {"gen_ai.provider.name"}),
        ("both", {"gen_ai.system", "gen_ai.provider.name", "gen_ai.agent.id"}, set[str]()),
        ("v0.1", {"gen_ai.provider.name"}, {"gen_ai.system", "gen_ai.agent.id"}),
    ],
)
async def test_a_setting_chooses_the_names(
    collector: Receiver, monkeypatch: pytest.MonkeyPatch, convention: Any, sends: set[str], lacks: set[str]
) -> None:
    await sent(Settings(otel_genai=convention), environment_of(monkeypatch, collector.url))
    [root] = [span for span in collector.spans if span.name.startswith("invoke_agent")]
    assert sends <= root.attributes.keys()
    assert not lacks & root.attributes.keys()
    assert ("gen_ai.client.token.usage" in collector.metrics) == (convention != "v0.1")
    assert ("gen_ai.client.inference.duration" in collector.metrics) == (convention != "legacy")


@pytest.mark.parametrize(
    ("value", "is_captured"), [("true", True), ("false", False), ("1", False), ("", False)]
)
async def test_content_only_if_its_variable_says_true(
    collector: Receiver, monkeypatch: pytest.MonkeyPatch, value: str, is_captured: bool
) -> None:
    await sent(Settings(), environment_of(monkeypatch, collector.url, **{otel.CAPTURE_CONTENT: value}))
    [chat] = [span for span in collector.spans if span.name.startswith("chat")]
    assert ("gen_ai.input.messages" in chat.attributes) is is_captured


async def test_headers_from_the_setting_win(collector: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(otel_headers="x-key=of-the-setting,x-more=1")  # type: ignore[arg-type]
    await sent(settings, environment_of(monkeypatch, collector.url))
    assert {(headers["x-key"], headers["x-more"]) for headers in collector.headers} == {
        ("of-the-setting", "1")
    }
    assert "of-the-setting" not in repr(settings)


async def test_half_a_surrogate_pair_loses_no_batch(
    collector: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with otel.tracing(Settings(), environment_of(monkeypatch, collector.url)) as tracing:
        invocation = tracing.begin(replace(INVOKED, agent_name="Ana\ud800lyst"), time.time_ns(), [])
        invocation.model_call(call(response_id="\udfff", finish_reason="\udc00"))
        invocation.end(INVOKED, Result("finished"), Stopwatch())
    assert {span.name for span in collector.spans} == {"invoke_agent Ana\ufffdlyst", "chat claude-sonnet-4-6"}


async def test_nothing_is_sent_or_global_without_an_endpoint_or_if_it_is_switched_off(
    collector: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = collector.url
    for environment in (
        {}, {"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, {"OTEL_EXPORTER_OTLP_ENDPOINT": url, "OTEL_SDK_DISABLED": "true"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": url, "OTEL_TRACES_EXPORTER": "none", "OTEL_METRICS_EXPORTER": "none"},
    ):  # fmt: skip
        async with otel.tracing(Settings(), environment) as tracing:
            assert tracing is NO_TRACING
            report(tracing)
    async with otel.tracing(
        Settings(), environment_of(monkeypatch, url, OTEL_METRICS_EXPORTER="none")
    ) as tracing:
        report(tracing)
        # FastAPI and others look for the global providers, and would send spans of their own.
        assert "Proxy" in type(global_traces.get_tracer_provider()).__name__
        assert "Proxy" in type(global_metrics.get_meter_provider()).__name__
    assert collector.metrics == {}
    assert len(collector.spans) == 4


async def test_a_collector_that_cannot_be_reached_costs_nothing_and_is_counted(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/secret-of-the-path"
        environment = environment_of(monkeypatch, url, OTEL_BSP_SCHEDULE_DELAY="5000")
        before = {outcome: exported(outcome) for outcome in ("failed", "dropped")}
        with caplog.at_level(logging.DEBUG):
            began = time.perf_counter()
            async with otel.tracing(Settings(), environment) as tracing:
                for _ in range(100):
                    report(tracing, calls=30)
                reported = time.perf_counter() - began
                left = time.perf_counter()
            assert time.perf_counter() - left < otel.FLUSH_SECONDS + 1
    lost = sum(exported(outcome) - before[outcome] for outcome in before)
    assert lost == 100 * 33
    assert exported("dropped") - before["dropped"] > 0
    assert reported < 5  # 3,300 spans, on any machine
    lines = [record.getMessage() for record in caplog.records]
    assert any("spans were" in line for line in lines)
    assert len([line for line in lines if "spans" in line]) <= 4
    assert not any(hidden in str(lines) for hidden in ("secret-of-the-path", "header-canary"))


async def test_a_collector_that_refuses_is_logged_with_its_status_once(
    collector: Receiver, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    collector.status = 401
    before = exported("failed")
    await sent(Settings(), environment_of(monkeypatch, collector.url))
    assert exported("failed") == before + 4
    [line] = [record.getMessage() for record in caplog.records if "spans" in record.getMessage()]
    assert "the collector answered 401" in line


async def test_a_collector_that_hangs_does_not_hold_up_the_exit(
    collector: Receiver, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    collector.hangs = threading.Event()
    before = exported("dropped")
    async with otel.tracing(Settings(), environment_of(monkeypatch, collector.url)) as tracing:
        report(tracing)
        began = time.monotonic()
    assert time.monotonic() - began < otel.FLUSH_SECONDS + 1
    collector.hangs.set()
    assert exported("dropped") == before + 4
    assert any("4 spans were not sent before the exit" in record.getMessage() for record in caplog.records)


async def test_wrong_variables_never_stop_the_process(
    collector: Receiver, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    environment = environment_of(
        monkeypatch, collector.url, OTEL_BSP_MAX_EXPORT_BATCH_SIZE="-3", OTEL_BSP_SCHEDULE_DELAY="-1",
        OTEL_EXPORTER_OTLP_PROTOCOL="grpc", OTEL_EXPORTER_OTLP_HEADERS="header-canary without a sign",
    )  # fmt: skip
    async with otel.tracing(Settings(), environment) as tracing:
        report(tracing)
    lines = [record.getMessage() for record in caplog.records]
    assert any("the OTEL_ variables are wrong" in line for line in lines)
    assert any("OTEL_EXPORTER_OTLP_PROTOCOL is ignored" in line for line in lines)
    assert "header-canary" not in str(lines)


async def test_without_the_extra_the_process_warns_once_and_goes_on(tmp_path: Any) -> None:
    program = (
        "import asyncio, logging, os, sys\n"
        "sys.modules['opentelemetry.sdk'] = None\n"  # what `import` finds without the extra: nothing
        "logging.basicConfig()\n"
        "from agentcontainer.settings import Settings\n"
        "from agentcontainer.telemetry import otel\n"
        "from agentcontainer.telemetry.tracing import NO_TRACING\n"
        "async def main():\n"
        "    async with otel.tracing(Settings(), os.environ) as tracing:\n"
        "        assert tracing is NO_TRACING\n"
        "asyncio.run(main())\n"
    )
    import sys

    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, stderr=asyncio.subprocess.PIPE,
        env={"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "HOME": str(tmp_path)},
    )  # fmt: skip
    _, stderr = await process.communicate()
    assert process.returncode == 0, stderr.decode()
    assert stderr.decode().count("the extra `otel` is not installed") == 1
    assert stderr.decode().count("\n") == 1
