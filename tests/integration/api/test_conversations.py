"""Conversations over HTTP, without a runner: create, send, read, hand off, end."""

from typing import Any

import pytest

from agentcontainer.domain.tasks.state import EndReason

from .conftest import AGENT, UNREAD, Account, Bed, error_of, new_account

pytestmark = pytest.mark.asyncio(loop_scope="session")

V1 = "/api/v1"
CREATE = f"{V1}/agents/{AGENT}/conversations"
MESSAGE_KEYS = {
    "id", "turnNumber", "attemptNumber", "role", "status", "content", "files", "tokenUsage", "costUsd", "sequence",
    "createdAt",
}  # fmt: skip
ACTIVITY_KEYS = {
    "id", "turnNumber", "attemptNumber", "startedSequence", "completedSequence", "kind", "callId", "toolKey", "input",
    "inputOmittedReason", "status", "errorCode", "startedAt", "completedAt", "durationMs",
}  # fmt: skip


def of(task_id: str, part: str) -> str:
    return f"{V1}/conversations/{task_id}/{part}"


async def transcript(account: Account, task_id: str, **query: Any) -> list[dict[str, Any]]:
    answer = await account.get(of(task_id, "messages"), params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


async def activities(account: Account, task_id: str, **query: Any) -> list[dict[str, Any]]:
    answer = await account.get(of(task_id, "activities"), params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


async def status_of(account: Account, task_id: str) -> str:
    return (await account.get(f"{V1}/tasks/{task_id}")).json()["status"]


class TestCreate:
    async def test_creating_answers_201_with_the_task_and_the_message(self, alice: Account) -> None:
        answer = await alice.post(CREATE, {"message": "Which region sells best?"})
        assert answer.status_code == 201
        assert set(answer.json()) == {"task", "message"}
        task, message = answer.json()["task"], answer.json()["message"]
        assert (task["mode"], task["status"], task["agentId"]) == ("conversation", "pending", AGENT)
        assert (task["turnStatus"], task["sessionTtlSeconds"]) == ("queued", 3600)
        assert (await alice.get(f"{V1}/tasks/{task['id']}")).json() | UNREAD == task
        assert set(message) == MESSAGE_KEYS
        assert (message["role"], message["status"]) == ("user", "queued")
        assert (message["turnNumber"], message["attemptNumber"]) == (1, 1)
        assert (message["content"], message["files"]) == ("Which region sells best?", [])
        nothing = {"input_tokens": 0, "output_tokens": 0, "cached_input_tokens": 0}
        assert (message["tokenUsage"], message["costUsd"]) == (nothing, 0)

    @pytest.mark.parametrize("message", [None, "", " \n", 7])
    async def test_the_message_is_required_and_not_empty(self, alice: Account, message: Any) -> None:
        answer = await alice.post(CREATE, {"message": message, "instructions": "x"})
        assert (answer.status_code, error_of(answer)["details"][0]["path"]) == (400, "message")

    async def test_creating_accepts_every_field_of_a_dispatch(self, alice: Account) -> None:
        version = (await alice.get(f"{V1}/agents/{AGENT}")).json()["currentVersion"]["id"]
        created = await alice.converse(
            instructions="Be brief.", versionId=version, title="T", metadata={"a": 1},
            skills=[await alice.upload(b"PK", "skill.zip")],
            inputRepositories=[{"url": "https://example.org/team/code.git"}],
            overrides={"model": "claude-opus-4-5"},
        )  # fmt: skip
        task = created["task"]
        assert (task["title"], task["metadata"], task["instructions"]) == ("T", {"a": 1}, "Be brief.")
        assert (task["agentVersionId"], len(task["skills"])) == (version, 1)
        assert task["execution"]["model"] == "claude-opus-4-5"

    async def test_the_title_comes_from_the_message_without_instructions_and_title(
        self, alice: Account
    ) -> None:
        created = await alice.converse("# Which region sells best?\nSee data.csv.")
        assert created["task"]["title"] == "Which region sells best?"

    @pytest.mark.parametrize("spelling", ["inputFiles", "inputFileIds"])
    async def test_input_files_in_either_spelling_come_with_the_message(
        self, alice: Account, spelling: str
    ) -> None:
        id_ = await alice.upload(filename="q1.csv")
        files = [id_] if spelling == "inputFileIds" else [{"fileId": id_, "snapshot": "include"}]
        [file] = (await alice.converse(**{spelling: files}))["message"]["files"]
        assert set(file) == {"id", "filename", "contentType", "sizeBytes", "createdAt"}
        assert (file["id"], file["filename"], file["sizeBytes"]) == (id_, "q1.csv", 8)

    async def test_a_conversation_is_listed_among_the_tasks(self, alice: Account) -> None:
        created = await alice.converse()
        await alice.dispatch()
        listed = (await alice.get(f"{V1}/tasks", params={"mode": "conversation"})).json()["data"]
        assert [task["id"] for task in listed] == [created["task"]["id"]]

    async def test_creating_holds_money_and_fails_with_402_without(self, bed: Bed, alice: Account) -> None:
        await alice.converse()
        assert (await alice.get(f"{V1}/account")).json()["creditBalance"] == 9.5
        poor = await new_account(bed, credit_micro_usd=499_999)
        rows = await bed.rows()
        answer = await poor.post(CREATE, {"message": "x"})
        assert (answer.status_code, error_of(answer)["code"]) == (402, "insufficient_balance")
        assert await bed.rows() == rows


class TestSend:
    async def test_a_message_during_a_turn_is_queued_as_the_next_turn(self, alice: Account) -> None:
        task_id = (await alice.converse())["task"]["id"]
        for number in (2, 3):
            answer = await alice.post(of(task_id, "messages"), {"content": f"Number {number}."})
            assert answer.status_code == 201, answer.text
            message = answer.json()["message"]
            assert set(message) == MESSAGE_KEYS
            assert (message["turnNumber"], message["status"]) == (number, "queued")
            assert answer.json()["task"]["id"] == task_id

    async def test_a_message_is_accepted_while_awaiting_input(self, alice: Account) -> None:
        task_id = await alice.awaiting_input()
        answer = await alice.post(of(task_id, "messages"), {"content": "And the south?"})
        assert answer.status_code == 201, answer.text
        assert answer.json()["message"]["turnNumber"] == 2
        assert answer.json()["task"]["status"] == await status_of(alice, task_id) != "awaiting_input"

    async def test_sending_to_an_ended_conversation_is_409(self, alice: Account) -> None:
        task_id = (await alice.converse())["task"]["id"]
        await alice.post(f"{V1}/tasks/{task_id}/cancel")
        answer = await alice.post(of(task_id, "messages"), {"content": "x"})
        assert (answer.status_code, error_of(answer)["code"]) == (409, "conflict")
        assert len(await transcript(alice, task_id)) == 1

    async def test_a_message_can_have_its_own_files(self, alice: Account) -> None:
        task_id, file_id = (await alice.converse())["task"]["id"], await alice.upload()
        body = {"content": "See this.", "inputFiles": [{"fileId": file_id}]}
        message = (await alice.post(of(task_id, "messages"), body)).json()["message"]
        assert [file["id"] for file in message["files"]] == [file_id]
        assert (await transcript(alice, task_id))[1] == message

    async def test_the_overrides_of_a_message_never_echo_a_key(self, alice: Account) -> None:
        task_id = (await alice.converse())["task"]["id"]
        overrides = {"model": "claude-opus-4-5", "providerApiKey": "sk-secret-1"}
        answer = await alice.post(of(task_id, "messages"), {"content": "x", "overrides": overrides})
        assert answer.status_code == 201 and "sk-secret-1" not in answer.text
        log = await alice.get(f"{V1}/tasks/{task_id}/events")
        assert log.status_code == 200 and "sk-secret-1" not in log.text

    async def test_overrides_that_do_not_fit_are_refused(self, alice: Account) -> None:
        task_id = (await alice.converse())["task"]["id"]
        body = {"content": "x", "overrides": {"provider": "openai"}}
        answer = await alice.post(of(task_id, "messages"), body)
        assert (answer.status_code, error_of(answer)["details"][0]["path"]) == (400, "overrides.model")
        assert len(await transcript(alice, task_id)) == 1


class TestMessagesAndActivities:
    async def test_a_turn_ends_with_one_reply(self, alice: Account) -> None:
        task_id = await alice.awaiting_input(reply="North.")
        message, replied = await transcript(alice, task_id)
        assert (message["role"], message["status"], message["turnNumber"]) == ("user", "delivered", 1)
        assert (replied["role"], replied["status"], replied["turnNumber"]) == ("assistant", "created", 1)
        assert (replied["content"], replied["attemptNumber"]) == ("North.", 1)
        task = (await alice.get(f"{V1}/tasks/{task_id}")).json()
        assert (task["status"], task["turnStatus"], task["turnNumber"]) == ("awaiting_input", "completed", 1)

    async def test_oldest_first_unless_asked_otherwise(self, alice: Account) -> None:
        task_id = (await alice.converse("One."))["task"]["id"]
        await alice.post(of(task_id, "messages"), {"content": "Two."})
        assert [message["content"] for message in await transcript(alice, task_id)] == ["One.", "Two."]
        assert [
            message["content"] for message in await transcript(alice, task_id, order="desc", limit=1)
        ] == ["Two."]

    async def test_an_activity_has_all_its_fields(self, alice: Account) -> None:
        task_id = await alice.awaiting_input(tools=[{"command": "ls"}])
        [activity] = await activities(alice, task_id)
        assert set(activity) == ACTIVITY_KEYS
        assert (activity["kind"], activity["toolKey"], activity["status"]) == ("tool", "bash", "completed")
        assert (activity["input"], activity["inputOmittedReason"]) == ({"command": "ls"}, None)
        assert (activity["turnNumber"], activity["attemptNumber"], activity["errorCode"]) == (1, 1, None)
        assert activity["startedAt"] <= activity["completedAt"]
        assert activity["durationMs"] == 3

    async def test_activities_can_be_filtered_by_turn(self, alice: Account) -> None:
        task_id = await alice.awaiting_input(tools=[{"command": "a"}])
        for command in ("b", "c"):
            await alice.post(of(task_id, "messages"), {"content": "Go on."})
            await alice.take_turn(task_id, tools=[{"command": command}])

        async def commands(**query: Any) -> str:
            return "".join([entry["input"]["command"] for entry in await activities(alice, task_id, **query)])

        assert await commands() == "abc"
        assert await commands(fromTurn=2) == "bc"
        assert await commands(toTurn=2) == "ab"
        assert await commands(fromTurn=2, toTurn=2) == "b"
        assert await commands(fromTurn=4) == ""
        assert await commands(order="desc") == "cba"

    async def test_messages_and_activities_share_one_sequence(self, alice: Account) -> None:
        task_id = await alice.awaiting_input(tools=[{"command": "ls"}])
        log = (await alice.get(f"{V1}/tasks/{task_id}/events", params={"limit": 100})).json()["data"]
        by_sequence = {event["sequence"]: event for event in log}
        messages = await transcript(alice, task_id)
        for message in messages:
            event = by_sequence[message["sequence"]]
            assert (event["type"], event["data"]["id"]) == ("message.created", message["id"])
            assert set(event["data"]) == MESSAGE_KEYS - {"sequence"}  # the event has its own sequence field
        [activity] = await activities(alice, task_id)
        assert by_sequence[activity["startedSequence"]]["type"] == "tool.started"
        assert by_sequence[activity["completedSequence"]]["type"] == "tool.completed"
        first, second = messages
        assert first["sequence"] < activity["startedSequence"] < activity["completedSequence"]
        assert activity["completedSequence"] < second["sequence"]


class TestHandoff:
    async def test_a_handed_off_conversation_becomes_autonomous(self, alice: Account) -> None:
        for body in (None, {}, {"message": "Finish the report."}):
            task_id = await alice.awaiting_input()
            answer = await alice.post(of(task_id, "handoff"), body)
            assert answer.status_code == 201, answer.text
            assert set(answer.json()) == {"task", "message"}
            message = answer.json()["message"]
            assert (message["role"], message["turnNumber"]) == ("user", 2)
            assert message["content"] == (body or {}).get("message", message["content"]) != ""
            assert answer.json()["task"]["mode"] == "conversation"

    async def test_a_handed_off_conversation_takes_no_message_and_no_second_handoff(
        self, alice: Account
    ) -> None:
        task_id = await alice.awaiting_input()
        assert (await alice.post(of(task_id, "handoff"))).status_code == 201
        for path, body in (("messages", {"content": "x"}), ("handoff", {})):
            answer = await alice.post(of(task_id, path), body)
            assert (answer.status_code, error_of(answer)["code"]) == (409, "conflict"), path

    async def test_handing_off_an_ended_conversation_is_409(self, alice: Account) -> None:
        task_id = (await alice.converse())["task"]["id"]
        await alice.post(f"{V1}/tasks/{task_id}/cancel")
        assert (await alice.post(of(task_id, "handoff"))).status_code == 409


class TestEnd:
    async def test_the_user_can_end_a_conversation(self, alice: Account) -> None:
        task_id = await alice.awaiting_input()
        answer = await alice.post(of(task_id, "end"))
        assert (answer.status_code, answer.json()["status"]) == (200, "finished"), answer.text
        assert answer.json()["completedAt"]
        assert answer.json()["turnStatus"] == "completed"
        assert await status_of(alice, task_id) == "finished"

    async def test_a_turn_that_it_cuts_off_is_not_completed(self, alice: Account) -> None:
        task_id = (await alice.converse())["task"]["id"]
        task = (await alice.post(of(task_id, "end"))).json()
        assert (task["status"], task["turnNumber"], task["turnStatus"]) == ("finished", 1, "failed")

    async def test_ending_a_conversation_charges_its_cost_from_the_hold(self, alice: Account) -> None:
        task = (await alice.post(of(await alice.awaiting_input(), "end"))).json()
        balance = (await alice.get(f"{V1}/account")).json()["creditBalance"]
        assert balance == pytest.approx(10 - task["costUsd"])

    async def test_ending_twice_has_one_effect(self, alice: Account) -> None:
        path = of(await alice.awaiting_input(), "end")
        assert (await alice.post(path)).json() == (await alice.post(path)).json()

    async def test_ending_a_conversation_that_ended_otherwise_is_409(self, alice: Account) -> None:
        cancelled, failed = [(await alice.converse())["task"]["id"] for _ in range(2)]
        await alice.post(f"{V1}/tasks/{cancelled}/cancel")
        await alice.finish(failed, reason=EndReason.AGENT_CRASHED)
        for task_id in (cancelled, failed):
            assert (await alice.post(of(task_id, "end"))).status_code == 409

    async def test_an_ended_conversation_can_only_be_read(self, alice: Account) -> None:
        task_id = await alice.awaiting_input()
        await alice.post(of(task_id, "end"))
        assert (await alice.post(of(task_id, "messages"), {"content": "x"})).status_code == 409
        assert len(await transcript(alice, task_id)) == 2


@pytest.mark.parametrize(
    ("method", "part", "body"),
    [
        ("POST", "messages", {"content": "x"}),
        ("GET", "messages", None),
        ("GET", "activities", None),
        ("POST", "handoff", {}),
        ("POST", "end", {}),
    ],
)
async def test_a_task_that_is_not_a_conversation_answers_409_here(
    alice: Account, method: str, part: str, body: Any
) -> None:
    task = await alice.dispatch()
    for _ in ("pending", "finished"):
        answer = await alice.send(method, of(task["id"], part), **({} if body is None else {"json": body}))
        assert (answer.status_code, error_of(answer)["code"]) == (409, "conflict")
        if await status_of(alice, task["id"]) == "pending":
            await alice.finish(task["id"])
