"""What the client sends and makes of answers: retries, errors, paging, secrets. The server is a function."""

import json
import logging
import traceback
from collections.abc import Callable
from typing import Any

import httpx2
import pytest
from opentelemetry import trace

from agentcontainer_client import (
    AgentContainer,
    ConfigurationError,
    Conflict,
    ConnectionFailed,
    ServerFault,
    TimedOut,
    UnexpectedResponse,
    ValidationFailed,
    _retry,
    errors,
)

KEY = "ac_live_0123456789abcdefghij"
URL = "http://agents.test"


def client(answer: Callable[[httpx2.Request], httpx2.Response], **options: Any) -> AgentContainer:
    made = AgentContainer(URL, KEY, transport=httpx2.MockTransport(answer), **options)
    return made.with_options(backoff=0.001)


def error(status: int, code: str = "x", **headers: str) -> httpx2.Response:
    content = {"error": {"code": code, "message": "So it is.", "requestId": "req_1"}}
    return httpx2.Response(
        status, json=content, headers={name.replace("_", "-"): text for name, text in headers.items()}
    )


def task(**fields: Any) -> dict[str, Any]:
    return {"id": "tsk_1", "status": "pending", "createdAt": "2026-03-26T14:00:00.000Z"} | fields


class Script:
    """Answers with one after the other, and keeps the requests."""

    def __init__(self, *answers: httpx2.Response | Exception) -> None:
        self.answers = list(answers)
        self.requests: list[httpx2.Request] = []

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        self.requests.append(request)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    for name in ("AGENTCONTAINER_URL", "AGENTCONTAINER_API_KEY", "AGENTCONTAINER_PROFILE"):
        monkeypatch.delenv(name, raising=False)


def test_a_dispatch_names_the_current_span_of_a_program_that_has_one() -> None:
    script = Script(*(httpx2.Response(201, json=task()) for _ in range(2)))
    span = trace.SpanContext(0xA1, 0xB2, is_remote=False, trace_flags=trace.TraceFlags(1))
    with client(script) as platform:
        platform.tasks.create("x", agent="agt_1")
        with trace.use_span(trace.NonRecordingSpan(span)):
            platform.tasks.create("x", agent="agt_1")
    named = [request.headers.get("traceparent") for request in script.requests]
    assert named == [None, f"00-{'a1'.rjust(32, '0')}-{'b2'.rjust(16, '0')}-01"]


def test_a_dispatch_keeps_its_idempotency_key_over_all_retries() -> None:
    script = Script(
        httpx2.ConnectError("refused"),
        httpx2.ReadTimeout("slow"),
        error(503),
        error(409, "conflict", retry_after="0"),
        httpx2.Response(201, json=task()),
    )
    assert client(script).tasks.create("Do it.", agent="agt_1").id == "tsk_1"
    keys = {request.headers["Idempotency-Key"] for request in script.requests}
    assert len(script.requests) == 5
    assert len(keys) == 1
    assert json.loads(script.requests[0].content) == {"instructions": "Do it."}


def test_two_dispatches_have_different_keys_and_the_callers_own_is_used() -> None:
    script = Script(*[httpx2.Response(201, json=task()) for _ in range(3)])
    tasks = client(script).tasks
    tasks.create("a", agent="agt_1")
    tasks.create("a", agent="agt_1")
    tasks.create("a", agent="agt_1", idempotency_key="mine")
    keys = [request.headers["Idempotency-Key"] for request in script.requests]
    assert len(set(keys)) == 3
    assert keys[2] == "mine"


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 409, 410, 413, 415])
def test_an_error_of_the_client_is_not_repeated(status: int) -> None:
    script = Script(error(status, "word"))
    with pytest.raises(errors.ApiError) as raised:
        client(script).tasks.get("tsk_1")
    assert type(raised.value) is errors.BY_STATUS.get(status, errors.ApiError)
    assert (raised.value.status, raised.value.code, raised.value.request_id) == (status, "word", "req_1")
    assert str(raised.value) == "So it is. (request req_1)"


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_a_transient_error_is_repeated_four_times(status: int) -> None:
    script = Script(*[error(status) for _ in range(5)])
    with pytest.raises(errors.ApiError):
        client(script).tasks.get("tsk_1")
    assert len(script.requests) == 5


def test_a_cut_delete_that_was_done_is_done() -> None:
    script = Script(httpx2.ReadError("cut"), error(404, "not_found"))
    client(script).files.delete("file_1")
    with pytest.raises(errors.NotFound):
        client(Script(error(404, "not_found"))).files.delete("file_1")


def test_retry_after_is_obeyed_to_a_minute() -> None:
    assert _retry.pause(0, 7) == 7
    assert _retry.pause(0, 3600) == 60
    assert all(0 <= _retry.pause(9) <= 8 for _ in range(50))


def test_faulty_fields_are_named() -> None:
    content = {
        "error": {
            "code": "validation_error",
            "message": "The request is invalid.",
            "requestId": "req_1",
            "details": [{"path": "overrides.model", "message": "is unknown"}],
        }
    }
    with pytest.raises(ValidationFailed, match=r"overrides\.model: is unknown") as raised:
        client(Script(httpx2.Response(400, json=content))).tasks.create("x", agent="agt_1")
    assert raised.value.details[0].path == "overrides.model"


def test_answers_of_something_else_are_named_as_such() -> None:
    with pytest.raises(UnexpectedResponse, match=r"agents\.test.*proxy"):
        client(Script(httpx2.Response(200, html="<h1>Welcome</h1>"))).account.get()
    with pytest.raises(UnexpectedResponse, match="not a page"):
        client(Script(httpx2.Response(200, json=[]))).tasks.list().to_list()
    moved = httpx2.Response(301, headers={"location": "https://elsewhere.test/api/v1/account"})
    with pytest.raises(UnexpectedResponse, match=r"redirects to elsewhere\.test"):
        client(Script(moved)).account.get()
    with pytest.raises(ServerFault, match=r"agents\.test answered 502 Bad Gateway"):
        client(Script(httpx2.Response(502, html="<h1>nginx</h1>")), max_retries=0).account.get()


def test_pages_are_fetched_while_iterating() -> None:
    def answer(request: httpx2.Request) -> httpx2.Response:
        start = int(request.url.params.get("cursor", "0"))
        size = int(request.url.params["limit"])
        data = [task(id=f"tsk_{number}") for number in range(start, min(start + size, 230))]
        more = start + size < 230
        return httpx2.Response(
            200,
            json={
                "data": data,
                "pageInfo": {"hasMore": more, "nextCursor": str(start + size) if more else None},
            },
        )

    tasks = client(answer).tasks
    assert [found.id for found in tasks.list()] == [f"tsk_{number}" for number in range(230)]
    assert len(tasks.list(limit=120).to_list()) == 120
    assert [len(page.data) for page in tasks.list(limit=120).pages()] == [100, 20]
    first = tasks.list().first()
    assert first is not None and first.id == "tsk_0"


def test_filters_are_sent_as_the_api_takes_them() -> None:
    page = {"data": [], "pageInfo": {"hasMore": False, "nextCursor": None}}
    script = Script(httpx2.Response(200, json=page))
    client(script).tasks.list(status=["failed", "expired"], metadata={"customer": "c 17"}, limit=5).to_list()
    assert str(
        script.requests[0].url.query, "ascii"
    ) == "limit=5&status=failed&status=expired&metadata.customer=c+17" or (
        sorted(script.requests[0].url.params.multi_items())
        == [("limit", "5"), ("metadata.customer", "c 17"), ("status", "expired"), ("status", "failed")]
    )


def test_options_become_overrides() -> None:
    script = Script(httpx2.Response(201, json=task()))
    client(script).tasks.create(
        "x", agent="agt_1", internet=["pypi.org:443"], outputs=["report", {"name": "data", "maxBytes": 5}],
        budget_usd=2, on_budget_reached="pause", max_runtime=90, model="m",
        repositories=["https://example.com/a.git"], files=["file_1"],
        overrides={"priority": 3},
    )  # fmt: skip
    assert json.loads(script.requests[0].content) == {
        "instructions": "x",
        "inputFileIds": ["file_1"],
        "inputRepositories": [{"url": "https://example.com/a.git"}],
        "overrides": {
            "model": "m",
            "internetAccess": True,
            "egress": {"allow": ["pypi.org:443"]},
            "maxRuntimeSeconds": 90,
            "outputPolicy": {"mode": "named", "files": [{"name": "report"}, {"name": "data", "maxBytes": 5}]},
            "budget": {"maxCostUsd": 2, "onReached": "pause"},
            "priority": 3,
        },
    }


def test_a_misspelt_argument_is_refused() -> None:
    with pytest.raises(TypeError, match="budget_us"):
        client(Script()).tasks.create("x", agent="agt_1", budget_us=2)  # type: ignore[call-arg]


def test_an_id_cannot_lead_to_another_path() -> None:
    for wrong in ("../account", "tsk_1/cancel", "tsk_1?x=1", "", ".."):
        with pytest.raises(ConfigurationError):
            client(Script()).tasks.get(wrong)


def test_no_secret_is_in_representations_logs_or_exceptions(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    secret = "sig-0123456789"
    prepared = {
        "uploadId": "upl_1", "uploadUrl": f"http://store.test/upl_1?signature={secret}", "method": "PUT",
        "headers": {}, "expiresAt": "2026-03-26T14:00:00.000Z",
    }  # fmt: skip
    new_key = {
        "id": "key_1",
        "name": "n",
        "key": f"ac_live_{secret}",
        "createdAt": "2026-03-26T14:00:00.000Z",
    }
    texts: list[str] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        if request.url.path.endswith("prepare"):
            return httpx2.Response(201, json=prepared)
        if request.url.path.endswith("api-keys"):
            return httpx2.Response(201, json=new_key)
        if request.url.host == "store.test":
            assert "authorization" not in request.headers
            return httpx2.Response(403, text="<Error/>")
        raise httpx2.ConnectError("refused")

    with client(answer, max_retries=0) as made:
        texts.append(repr(made) + repr(made.tasks) + repr(made._transport) + str(vars(made)))
        created = made.api_keys.create("n")
        assert created.key.endswith(secret)
        texts.append(repr(created))
        for work in (
            lambda: made.files.upload(("a.txt", b"x")),
            lambda: made.wake_links.use(f"http://agents.test/wake/{secret}"),
            lambda: made.provider_keys.set("openai", f"sk-{secret}"),
        ):
            with pytest.raises(errors.AgentContainerError) as raised:
                work()
            texts.append("".join(traceback.format_exception(raised.value)))
    texts.append(caplog.text)
    assert "agents.test" in caplog.text or caplog.records
    for text in texts:
        assert secret not in text
        assert KEY not in text


def test_connection_failures_name_the_host_and_the_reason() -> None:
    with pytest.raises(ConnectionFailed, match=r"agents\.test cannot be reached: refused"):
        client(Script(httpx2.ConnectError("refused")), max_retries=0).account.get()
    with pytest.raises(TimedOut, match=r"agents\.test did not answer in time"):
        client(Script(httpx2.ReadTimeout("slow")), max_retries=0).account.get()


def test_what_this_version_does_not_know_survives() -> None:
    content = task(
        status="dreaming", novelty={"a": 1}, tokenUsage={"input_tokens": 1, "output_tokens": 2, "more": 3}
    )
    found = client(Script(httpx2.Response(200, json=content))).tasks.get("tsk_1")
    assert found.status == "dreaming"
    assert found.extra == {"novelty": {"a": 1}}
    assert found.token_usage.extra == {"more": 3}
    sent = found.to_wire()
    assert content.items() <= sent.items()


def test_the_profile_of_another_url_gives_no_key(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "agentcontainer"
    folder.mkdir()
    (folder / "config.toml").write_text(
        f'current = "work"\n[profiles.work]\nurl = "https://work.test/api/v1/"\napi_key = "{KEY}"\nagent = "agt_9"\n'
    )
    assert AgentContainer().base_url == "https://work.test"
    assert AgentContainer("https://work.test").base_url == "https://work.test"
    with pytest.raises(ConfigurationError, match=r"No API key for https://evil\.test"):
        AgentContainer("https://evil.test")
    monkeypatch.setenv("AGENTCONTAINER_URL", "https://other.test")
    with pytest.raises(ConfigurationError, match="No API key"):
        AgentContainer()
    assert AgentContainer(profile="work").base_url == "https://work.test"
    with pytest.raises(ConfigurationError, match="no profile 'home'"):
        AgentContainer(profile="home")


def test_a_conflict_without_retry_after_is_final() -> None:
    with pytest.raises(Conflict):
        client(Script(error(409, "conflict"))).tasks.get("tsk_1")


async def test_the_synchronous_client_works_where_an_event_loop_runs() -> None:
    """As in a notebook."""
    answers = Script(httpx2.Response(200, json=task()))
    assert client(answers).tasks.get("tsk_1").status == "pending"
