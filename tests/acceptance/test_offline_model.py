"""`up --offline-model`: tasks, conversations and hibernation without any provider's key."""

from contextlib import ExitStack
from pathlib import Path

from tests import data_folder

from .conftest import Client, script
from .up import up


def test_everything_can_be_tried_without_a_key(short_dir: Path) -> None:
    (short_dir / "data").mkdir(mode=0o700)
    data_folder.fill(short_dir / "data")
    with (
        ExitStack() as stack,
        up(short_dir / "data", wrap=lambda argv: [*argv, "--offline-model"]) as running,
    ):
        assert "offline script, no AI" in running.block
        assert running.api_key is not None
        client = Client(running.base_url, running.api_key, "")
        stack.callback(client.close)
        csv = client.upload("sales.csv", b"region,units\nnorth,3\nsouth,5\n", "text/csv")
        analysis = client.dispatch("Which region sells best? Write report.md.", inputFileIds=[csv])
        played = client.dispatch(
            "Write notes.txt.",
            overrides={"provider": "openai", "model": "gpt-5.2", "budget": {"maxCostUsd": 1}},
        )
        sleeper = client.dispatch(
            script(
                {"bash": "echo before > kept; hibernate --message 'Until you write.' --for 1h"},
                {"bash": 'finish --complete-task --message "It was $(cat kept)." kept'},
            ),
            overrides={"provider": "offline"},
        )
        talk_id = client.begin("Hello")
        check_analysis(client, analysis)
        assert client.wait(played)["status"] == "finished"
        assert "notes.txt" in client.outputs(played)
        client.wait(sleeper, "hibernating")
        client.wake(sleeper, "Go on.")
        assert client.wait(sleeper)["result"] == "It was before."
        client.wait(talk_id, "awaiting_input")
        [_, reply] = client.messages(talk_id)
        assert reply["content"] == "Offline script, no AI. You said: Hello. Messages so far from you: 1."


def check_analysis(client: Client, task_id: str) -> None:
    task = client.wait(task_id)
    assert (task["status"], task["execution"]["provider"]) == ("finished", "offline")
    assert task["result"] == "Offline script, no AI: analysed 2 rows in 2 columns; see report.md."
    assert task["tokenUsage"]["input_tokens"] > 0
    assert b"| units | number | 2 | 0 | 2 |" in client.outputs(task_id)["report.md"]
