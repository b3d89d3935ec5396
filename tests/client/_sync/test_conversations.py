"""Conversations through the client, against a running platform."""

# Written by scripts/render_sync.py from _async. Do not edit.

import pytest

from agentcontainer_client import AgentContainer, Conflict, TurnFailed, WaitTimedOut, events
from tests.acceptance.bed import script

CODING = "agt_standard_coding"


def test_a_conversation_goes_turn_by_turn(client: AgentContainer) -> None:
    first = script(
        {"bash": "cat task_files/notes.txt; echo data > shared.txt; share shared.txt"},
        {"say": "It says four."},
    )
    with client.conversations.create(
        first, agent=CODING, files=[("notes.txt", b"four")], instructions="Be short."
    ) as chat:
        seen: list[events.Event] = []
        reply = chat.reply(timeout=60, on_event=seen.append)
        assert (reply.role, reply.content) == ("assistant", "It says four.")
        assert [file.filename for file in reply.files] == ["shared.txt"]
        assert client.files.read(reply.files[0]) == b"data\n"
        assert seen[-1].type == "turn.completed"
        chat = chat.send(script({"say": "Roses are red."}))
        assert (chat.reply(timeout=60)).content == "Roses are red."
        messages = chat.messages().to_list()
        assert [message.role for message in messages] == ["user", "assistant", "user", "assistant"]
        activities = chat.activities(from_turn=1, to_turn=1).to_list()
        assert [activity.tool_key for activity in activities] == ["bash"]
        again = client.conversations.get(chat.id)
        assert again.message is not None
        assert (again.reply(timeout=10)).content == "Roses are red."
        assert [event.sequence for event in chat.events(limit=3).to_list()] == [1, 2, 3]
        assert (chat.event(1)).type == "task.created"
    assert (chat.task.refresh()).status == "finished"
    with pytest.raises(Conflict):
        chat.send("Too late.")


def test_a_handoff_goes_on_alone(client: AgentContainer) -> None:
    chat = client.conversations.create(script({"say": "Ready."}), agent=CODING)
    chat.reply(timeout=60)
    handed = chat.handoff(script({"bash": "finish --complete-task --message 'Alone.'"}))
    assert (handed.task.wait(timeout=60)).result == "Alone."


def test_a_reply_is_not_waited_for_longer_than_asked(client: AgentContainer) -> None:
    with client.conversations.create(script({"bash": "sleep 60"}), agent=CODING) as chat:
        with pytest.raises(WaitTimedOut):
            chat.reply(timeout=0.5)


def test_live_text_is_folded_into_drafts(client: AgentContainer) -> None:
    chat = client.conversations.create(script({"say": "One two three."}), agent=CODING)
    drafts = []
    with chat.stream(timeout=60) as stream:
        for draft in stream.text():
            drafts.append(draft)
            if draft.is_complete:
                break
    chat.end()
    assert drafts[-1].text == "One two three."
    assert all(drafts[-1].text.startswith(draft.text) for draft in drafts)


def test_an_interrupt_stops_the_turn_and_not_the_conversation(
    client: AgentContainer,
) -> None:
    with client.conversations.create(script({"bash": "echo started; sleep 60"}), agent=CODING) as chat:
        with chat.stream(timeout=60) as stream:
            for event in stream:
                if event.type == "tool.started":
                    break
        stopped = chat.interrupt()
        assert stopped.id == chat.id
        with pytest.raises(TurnFailed) as raised:
            chat.reply(timeout=30)
        assert raised.value.error_code == "interrupted"
        chat = chat.send(script({"say": "Still here."}))
        assert (chat.reply(timeout=60)).content == "Still here."
