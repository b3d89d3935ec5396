"""Conversations through the client, against a running platform."""

import pytest

from agentcontainer_client import AsyncAgentContainer, Conflict, TurnFailed, WaitTimedOut, events
from tests.acceptance.bed import script

CODING = "agt_standard_coding"


async def test_a_conversation_goes_turn_by_turn(async_client: AsyncAgentContainer) -> None:
    first = script(
        {"bash": "cat task_files/notes.txt; echo data > shared.txt; share shared.txt"},
        {"say": "It says four."},
    )
    async with await async_client.conversations.create(
        first, agent=CODING, files=[("notes.txt", b"four")], instructions="Be short."
    ) as chat:
        seen: list[events.Event] = []
        reply = await chat.reply(timeout=60, on_event=seen.append)
        assert (reply.role, reply.content) == ("assistant", "It says four.")
        assert [file.filename for file in reply.files] == ["shared.txt"]
        assert await async_client.files.read(reply.files[0]) == b"data\n"
        assert seen[-1].type == "turn.completed"
        chat = await chat.send(script({"say": "Roses are red."}))
        assert (await chat.reply(timeout=60)).content == "Roses are red."
        messages = await chat.messages().to_list()
        assert [message.role for message in messages] == ["user", "assistant", "user", "assistant"]
        activities = await chat.activities(from_turn=1, to_turn=1).to_list()
        assert [activity.tool_key for activity in activities] == ["bash"]
        again = await async_client.conversations.get(chat.id)
        assert again.message is not None
        assert (await again.reply(timeout=10)).content == "Roses are red."
        assert [event.sequence for event in await chat.events(limit=3).to_list()] == [1, 2, 3]
        assert (await chat.event(1)).type == "task.created"
    assert (await chat.task.refresh()).status == "finished"
    with pytest.raises(Conflict):
        await chat.send("Too late.")


async def test_a_handoff_goes_on_alone(async_client: AsyncAgentContainer) -> None:
    chat = await async_client.conversations.create(script({"say": "Ready."}), agent=CODING)
    await chat.reply(timeout=60)
    handed = await chat.handoff(script({"bash": "finish --complete-task --message 'Alone.'"}))
    assert (await handed.task.wait(timeout=60)).result == "Alone."


async def test_a_reply_is_not_waited_for_longer_than_asked(async_client: AsyncAgentContainer) -> None:
    async with await async_client.conversations.create(script({"bash": "sleep 60"}), agent=CODING) as chat:
        with pytest.raises(WaitTimedOut):
            await chat.reply(timeout=0.5)


async def test_live_text_is_folded_into_drafts(async_client: AsyncAgentContainer) -> None:
    chat = await async_client.conversations.create(script({"say": "One two three."}), agent=CODING)
    drafts = []
    async with chat.stream(timeout=60) as stream:
        async for draft in stream.text():
            drafts.append(draft)
            if draft.is_complete:
                break
    await chat.end()
    assert drafts[-1].text == "One two three."
    assert all(drafts[-1].text.startswith(draft.text) for draft in drafts)


async def test_an_interrupt_stops_the_turn_and_not_the_conversation(
    async_client: AsyncAgentContainer,
) -> None:
    async with await async_client.conversations.create(
        script({"bash": "echo started; sleep 60"}), agent=CODING
    ) as chat:
        async with chat.stream(timeout=60) as stream:
            async for event in stream:
                if event.type == "tool.started":
                    break
        stopped = await chat.interrupt()
        assert stopped.id == chat.id
        with pytest.raises(TurnFailed) as raised:
            await chat.reply(timeout=30)
        assert raised.value.error_code == "interrupted"
        chat = await chat.send(script({"say": "Still here."}))
        assert (await chat.reply(timeout=60)).content == "Still here."
