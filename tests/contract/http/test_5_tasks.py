"""CONTRACT §5, a test a sentence: dispatch, the task, its lists, cancel, its files and events."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from agentcontainer.domain.tasks.state import TERMINAL, EndReason, Status
from tests.api_bed import AGENT, Account, error_of

pytestmark = pytest.mark.asyncio(loop_scope="session")

V1 = "/api/v1"
DISPATCH = f"{V1}/agents/{AGENT}/tasks"
TASK_KEYS = {
    "id", "mode", "agentId", "agentName", "agentVersionId", "runtime", "status", "turnStatus", "turnNumber",
    "sessionTtlSeconds", "hibernateUntilAt", "title", "instructions", "runtimeRegion", "overrides", "execution",
    "skills", "metadata", "createdAt", "startedAt", "completedAt", "completion", "result", "error", "errorCode",
    "costUsd", "containerMinutes", "tokenUsage",
}  # fmt: skip


async def refused(account: Account, **body: Any) -> str:
    """The path that a dispatch with this body is refused for."""
    answer = await account.post(DISPATCH, {"instructions": "x"} | body)
    assert (answer.status_code, error_of(answer)["code"]) == (400, "validation_error"), answer.text
    return error_of(answer)["details"][0]["path"]


async def listed(account: Account, **query: Any) -> list[str]:
    answer = await account.get(f"{V1}/tasks", params=query)
    assert answer.status_code == 200, answer.text
    return [task["id"] for task in answer.json()["data"]]


class TestDispatch:
    async def test_a_dispatch_answers_201_with_the_task(self, alice: Account) -> None:
        answer = await alice.post(DISPATCH, {"instructions": "Count."})
        assert answer.status_code == 201
        assert (answer.json()["status"], answer.json()["instructions"]) == ("pending", "Count.")

    @pytest.mark.parametrize("instructions", [None, "", " \n", 7])
    async def test_instructions_are_required_and_not_empty(self, alice: Account, instructions: Any) -> None:
        assert await refused(alice, instructions=instructions) == "instructions"

    async def test_input_files_in_either_spelling(self, alice: Account) -> None:
        file_id = await alice.upload()
        await alice.dispatch(inputFileIds=[file_id])
        await alice.dispatch(
            inputFiles=[{"fileId": file_id, "snapshot": "include"}, {"fileId": await alice.upload()}]
        )

    async def test_a_version_can_be_chosen(self, alice: Account) -> None:
        agent = (await alice.post(f"{V1}/agents", {"name": "Heron"})).json()
        await alice.send("PATCH", f"{V1}/agents/{agent['id']}", json={"basePrompt": "Be brief."})
        body = {"instructions": "x", "versionId": agent["currentVersion"]["id"]}
        task = (await alice.post(f"{V1}/agents/{agent['id']}/tasks", body)).json()
        assert task["agentVersionId"] == agent["currentVersion"]["id"]

    async def test_title_metadata_skills_and_repositories(self, alice: Account) -> None:
        skill = await alice.upload(b"PK", "skill.zip")
        repositories = [{"url": "https://example.org/team/code.git", "ref": "main", "path": "code"}]
        body = {
            "title": "T",
            "metadata": {"a": {"b": [1, None]}},
            "skills": [skill],
            "inputRepositories": repositories,
        }
        task = await alice.dispatch(**body)
        assert (task["title"], task["metadata"], task["skills"]) == ("T", {"a": {"b": [1, None]}}, [skill])

    async def test_metadata_is_an_object_of_16_kib_at_most(self, alice: Account) -> None:
        most = 16 * 1024 - len('{"a":""}')
        assert (await alice.dispatch(metadata={"a": "x" * most}))["metadata"]["a"]
        assert await refused(alice, metadata={"a": "x" * (most + 1)}) == "metadata"
        assert await refused(alice, metadata=[1]) == "metadata"


class TestOverrides:
    async def test_all_of_them(self, alice: Account) -> None:
        overrides = {
            "provider": "openai", "model": "gpt-5.2", "weakModel": "gpt-5-mini", "runtime": "pi",
            "internetAccess": False,
            "maxRuntimeSeconds": 600, "softFinishAfterSeconds": 500, "runtimeRegion": "eu",
            "outputPolicy": {"mode": "named", "files": [{"name": "report", "required": False}]},
            "budget": {"maxCostUsd": 1.5, "maxTokens": 1000},
        }  # fmt: skip
        task = await alice.dispatch(overrides=overrides | {"providerApiKey": "sk-of-this-task"})
        assert task["overrides"] == overrides
        assert task["execution"] == {"provider": "openai", "model": "gpt-5.2", "weakModel": "gpt-5-mini"}
        assert task["runtimeRegion"] == "eu"

    async def test_they_never_echo_a_key(self, alice: Account) -> None:
        answer = await alice.post(
            DISPATCH, {"instructions": "x", "overrides": {"providerApiKey": "sk-secret-1"}}
        )
        assert answer.status_code == 201 and "sk-secret-1" not in answer.text

    async def test_they_change_this_task_only(self, alice: Account) -> None:
        before = (await alice.get(f"{V1}/agents/{AGENT}")).json()
        await alice.dispatch(overrides={"provider": "openai", "model": "gpt-5.2"})
        assert (await alice.get(f"{V1}/agents/{AGENT}")).json() == before
        assert (await alice.dispatch())["execution"]["provider"] == "anthropic"

    @pytest.mark.parametrize(
        ("overrides", "path"),
        [
            ({"provider": "mistral"}, "provider"),
            ({"runtime": "other"}, "runtime"),
            ({"runtimeRegion": "us"}, "runtimeRegion"),
            ({"maxRuntimeSeconds": 60, "softFinishAfterSeconds": 60}, "softFinishAfterSeconds"),
            ({"model": "gpt-5.2"}, "model"),
            ({"provider": "openai"}, "model"),
            ({"budget": {}}, "budget"),
            ({"outputPolicy": {"mode": "some"}}, "outputPolicy.mode"),
        ],
    )
    async def test_what_does_not_fit_is_refused_at_dispatch(
        self, alice: Account, overrides: dict[str, Any], path: str
    ) -> None:
        assert await refused(alice, overrides=overrides) == f"overrides.{path}"

    async def test_an_id_unknown_to_the_catalogue_passes(self, alice: Account) -> None:
        task = await alice.dispatch(overrides={"model": "claude-next-9"})
        assert task["execution"]["model"] == "claude-next-9"

    @pytest.mark.parametrize("model", ["claude-sonnet-4.6", "claude-sonnet-4-6"])
    async def test_both_spellings_of_a_model_work(self, alice: Account, model: str) -> None:
        assert (await alice.dispatch(overrides={"model": model}))["status"] == "pending"

    @pytest.mark.parametrize("mode", ["any", "none", "at_least_one"])
    async def test_the_output_policies(self, alice: Account, mode: str) -> None:
        assert (await alice.dispatch(overrides={"outputPolicy": {"mode": mode}}))["overrides"] == {
            "outputPolicy": {"mode": mode}
        }


class TestTask:
    async def test_the_task_object(self, alice: Account) -> None:
        task = await alice.dispatch()
        assert set(task) == TASK_KEYS
        assert (task["mode"], task["agentId"], task["agentName"]) == ("autonomous", AGENT, "Data")
        assert set(task["runtime"]) == {"containerImage", "agentRuntime"}
        assert set(task["execution"]) == {"provider", "model", "weakModel"}
        assert task["tokenUsage"] == {"input_tokens": 0, "output_tokens": 0}
        assert [task[name] for name in ("startedAt", "completedAt", "completion", "result", "error")] == [
            None
        ] * 5

    async def test_the_result_is_the_finish_message(self, alice: Account) -> None:
        task = await alice.dispatch()
        await alice.finish(task["id"])
        ended = (await alice.get(f"{V1}/tasks/{task['id']}")).json()
        assert (ended["status"], ended["completion"], ended["result"]) == ("finished", "complete", "Done.")

    async def test_an_incomplete_finish_is_a_controlled_end_too(self, alice: Account) -> None:
        task = await alice.dispatch()
        await alice.finish(task["id"], reason=EndReason.INCOMPLETE)
        ended = (await alice.get(f"{V1}/tasks/{task['id']}")).json()
        assert (ended["status"], ended["completion"], ended["errorCode"]) == ("finished", "incomplete", None)

    async def test_a_failure_has_a_sentence_and_a_stable_word(self, alice: Account) -> None:
        task = await alice.dispatch()
        await alice.finish(task["id"], reason=EndReason.MAX_RUNTIME_EXCEEDED)
        ended = (await alice.get(f"{V1}/tasks/{task['id']}")).json()
        assert (ended["status"], ended["completion"], ended["errorCode"]) == (
            "failed",
            None,
            "max_runtime_exceeded",
        )
        assert ended["error"]


class TestList:
    async def test_filtered_by_status_agent_and_mode(self, alice: Account) -> None:
        first, second = (await alice.dispatch())["id"], (await alice.dispatch())["id"]
        await alice.post(f"{V1}/tasks/{first}/cancel")
        assert await listed(alice, status="cancelled") == [first]
        assert await listed(alice, status="pending", agentId=AGENT, mode="autonomous") == [second]
        assert (
            await listed(alice, agentId="agt_standard_coding")
            == await listed(alice, mode="conversation")
            == []
        )

    async def test_filtered_by_creation(self, alice: Account) -> None:
        first = await alice.dispatch()
        await asyncio.sleep(0.002)
        second = await alice.dispatch()
        assert await listed(alice, createdAfter=first["createdAt"]) == [second["id"]]
        assert await listed(alice, createdBefore=second["createdAt"]) == [first["id"]]

    async def test_filtered_by_metadata(self, alice: Account) -> None:
        wanted = await alice.dispatch(metadata={"ticket": "7", "team": "a"})
        await alice.dispatch(metadata={"ticket": "8"})
        assert await listed(alice, **{"metadata.ticket": "7"}) == [wanted["id"]]
        assert await listed(alice, **{"metadata.ticket": "7", "metadata.team": "b"}) == []


class TestCancel:
    async def test_it_answers_the_task(self, alice: Account) -> None:
        task = await alice.dispatch()
        answer = await alice.post(f"{V1}/tasks/{task['id']}/cancel")
        assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")
        assert set(answer.json()) == TASK_KEYS

    async def test_twice_is_fine(self, alice: Account) -> None:
        path = f"{V1}/tasks/{(await alice.dispatch())['id']}/cancel"
        assert (await alice.post(path)).json() == (await alice.post(path)).json()

    async def test_a_finished_task_is_409(self, alice: Account) -> None:
        task = await alice.dispatch()
        await alice.finish(task["id"])
        answer = await alice.post(f"{V1}/tasks/{task['id']}/cancel")
        assert (answer.status_code, error_of(answer)["code"]) == (409, "conflict")


class TestWake:
    async def test_with_a_message_it_answers_the_task(self, alice: Account) -> None:
        task_id = await alice.hibernating()
        answer = await alice.post(f"{V1}/tasks/{task_id}/wake", {"kind": "message", "message": "Go on."})
        assert (answer.status_code, answer.json()["status"]) == (200, "pending")
        assert set(answer.json()) == TASK_KEYS

    async def test_by_an_external_wake(self, alice: Account) -> None:
        answer = await alice.post(f"{V1}/tasks/{await alice.hibernating()}/wake", {"kind": "external_wake"})
        assert (answer.status_code, answer.json()["status"]) == (200, "pending")

    async def test_with_overrides(self, alice: Account) -> None:
        body = {"kind": "external_wake", "overrides": {"model": "claude-opus-4-5"}}
        task = (await alice.post(f"{V1}/tasks/{await alice.hibernating()}/wake", body)).json()
        assert task["execution"]["model"] == "claude-opus-4-5"

    async def test_409_unless_hibernating(self, alice: Account) -> None:
        task = await alice.dispatch()
        answer = await alice.post(f"{V1}/tasks/{task['id']}/wake", {"kind": "external_wake"})
        assert (answer.status_code, error_of(answer)["code"]) == (409, "conflict")

    async def test_exactly_one_of_two_racing_wakes_wins(self, alice: Account) -> None:
        path = f"{V1}/tasks/{await alice.hibernating()}/wake"
        answers = await asyncio.gather(
            alice.post(path, {"kind": "message", "message": "Go on."}),
            alice.post(path, {"kind": "external_wake"}),
        )
        assert sorted(answer.status_code for answer in answers) == [200, 409]

    async def test_a_hibernating_task_says_until_when_and_is_listed(self, alice: Account) -> None:
        task_id = await alice.hibernating(until=datetime(2031, 4, 14, 15, tzinfo=UTC))
        task = (await alice.get(f"{V1}/tasks/{task_id}")).json()
        assert (task["status"], task["hibernateUntilAt"]) == ("hibernating", "2031-04-14T15:00:00.000Z")
        assert await listed(alice, status="hibernating") == [task_id]

    async def test_a_wake_link_wakes_once(self, alice: Account) -> None:
        task = await alice.dispatch()
        [token] = await alice.hibernate(task["id"], link_count=1)
        codes = [(await alice.bed.http.post(f"/wake/{token}")).status_code for _ in range(2)]
        assert codes == [200, 409]
        assert await listed(alice, status="pending") == [task["id"]]


class TestFilesAndEvents:
    async def test_output_files_only(self, alice: Account) -> None:
        task = await alice.dispatch(inputFileIds=[await alice.upload()])
        [output_id] = await alice.finish(task["id"], {"report.txt": b"hello"})
        [output] = (await alice.get(f"{V1}/tasks/{task['id']}/files")).json()["data"]
        assert {"id", "filename", "contentType", "sizeBytes", "createdAt", "outputName"} <= set(output)
        assert (output["id"], output["filename"], output["sizeBytes"]) == (output_id, "report.txt", 5)

    async def test_raw_bytes_with_the_right_type_and_a_safe_disposition(self, alice: Account) -> None:
        task = await alice.dispatch()
        [output_id] = await alice.finish(task["id"], {'a"\n.txt': b"hello"})
        answer = await alice.get(f"{V1}/tasks/{task['id']}/files/{output_id}")
        assert (answer.content, answer.headers["content-type"]) == (b"hello", "text/plain")
        assert (
            answer.headers["content-disposition"]
            == "attachment; filename=\"a__.txt\"; filename*=UTF-8''a%22%0A.txt"
        )

    async def test_every_task_has_an_event_log(self, alice: Account) -> None:
        task = await alice.dispatch()
        await alice.finish(task["id"])
        events = (await alice.get(f"{V1}/tasks/{task['id']}/events")).json()["data"]
        assert set(events[0]) == {"id", "sequence", "type", "taskId", "createdAt", "data"}
        assert [(event["sequence"], event["type"]) for event in events] == [
            (1, "task.created"),
            (2, "task.finished"),
        ]


class TestStatuses:
    async def test_there_are_eight(self) -> None:
        assert {status.value for status in Status} == {
            "pending", "running", "awaiting_input", "hibernating", "finished", "failed", "cancelled", "expired",
        }  # fmt: skip

    @pytest.mark.parametrize("status", sorted(set(Status) - TERMINAL))
    async def test_cancelled_is_reachable_from_every_status_that_is_not_terminal(
        self, alice: Account, status: Status
    ) -> None:
        match status:
            case Status.AWAITING_INPUT:
                task_id = await alice.awaiting_input()
            case Status.HIBERNATING:
                task_id = await alice.hibernating()
            case _:
                task_id = (await alice.dispatch())["id"]
                if status is Status.RUNNING:
                    await alice.claim(task_id)
        assert (await alice.get(f"{V1}/tasks/{task_id}")).json()["status"] == status
        answer = await alice.post(f"{V1}/tasks/{task_id}/cancel")
        assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")
        log = (await alice.get(f"{V1}/tasks/{task_id}/events", params={"order": "desc"})).json()["data"]
        assert log[0]["type"] == "task.cancelled"
        balance = (await alice.get(f"{V1}/account")).json()["creditBalance"]
        assert balance == pytest.approx(10 - answer.json()["costUsd"], abs=1e-6), "the hold is back"

    @pytest.mark.parametrize("reason", [EndReason.COMPLETE, EndReason.AGENT_CRASHED, EndReason.CANCELLED])
    async def test_terminal_statuses_never_change(self, alice: Account, reason: EndReason) -> None:
        task = await alice.dispatch()
        if reason is EndReason.CANCELLED:
            await alice.post(f"{V1}/tasks/{task['id']}/cancel")
        else:
            await alice.finish(task["id"], reason=reason)
        before = (await alice.get(f"{V1}/tasks/{task['id']}")).json()
        with pytest.raises(AssertionError):  # no claim
            await alice.finish(task["id"])
        await alice.post(f"{V1}/tasks/{task['id']}/cancel")
        assert (await alice.get(f"{V1}/tasks/{task['id']}")).json() == before
