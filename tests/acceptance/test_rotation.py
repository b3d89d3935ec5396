"""The secret key is rotated while clients work: every stored secret and every open link still works."""

import re
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest

from .client import STANDARD
from .conftest import COMMAND, PROVIDER_KEY, Client, Platform, finish, script
from .test_conversations import answered
from .test_hibernation import NAP, hibernating, outputs_of_tools

SLEEPER = script({"bash": "hibernate --wake-link"}, NAP, finish())
ROUNDS = 3
OWN_KEY = {"providerApiKey": PROVIDER_KEY}


def wake_url(client: Client, task_id: str) -> str:
    [url] = re.findall(r"http://\S+/wake/\S+", outputs_of_tools(client, task_id)[0])
    return url


def wake_by(client: Client, task_id: str, url: str) -> None:
    assert client.once.wake_links.use(url, "Go on.").status == "woken"
    assert client.wait(task_id)["status"] == "finished"


def prepared_upload(client: Client) -> dict[str, Any]:
    body = {"filename": "a.txt", "contentType": "text/plain", "sizeBytes": 1}
    return client.post("/uploads/prepare", **body)


def complete(client: Client, upload: dict[str, Any]) -> None:
    sent = httpx2.put(
        upload["uploadUrl"], content=b"a", headers=upload["headers"], trust_env=False, verify=False
    )
    assert sent.status_code == 200, sent.text
    client.post("/uploads/complete", uploadId=upload["uploadId"])


def dispatched_once(client: Client, key: str) -> str:
    path = f"/agents/{STANDARD}/tasks"
    return client.post(path, key=key, instructions=script(finish()), overrides=OWN_KEY)["id"]


class Load:
    """Clients that work until `stop`, which raises what one of them met."""

    def __init__(self, *works: Callable[[], None]) -> None:
        self._stopped = threading.Event()
        self._errors: list[BaseException] = []
        self.rounds = 0
        self._threads = [threading.Thread(target=self._repeat, args=(work,)) for work in works]
        for thread in self._threads:
            thread.start()

    def _repeat(self, work: Callable[[], None]) -> None:
        try:
            while not self._stopped.is_set():
                work()
                self.rounds += 1
        except BaseException as error:
            self._errors.append(error)

    def stop(self) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join()
        if self._errors:
            raise self._errors[0]


def rotate(platform: Platform) -> str:
    done = subprocess.run(
        [*COMMAND, "admin", "rotate-secret-key"],
        env=platform.environment, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def restart_with(platform: Platform, key_file: Path, *keys: str) -> None:
    platform.stop()
    key_file.write_text("\n".join(keys) + "\n")
    platform.start()


@pytest.mark.long
def test_secrets_and_links_outlive_a_rotation_of_the_secret_key_under_load(scripted_url: str) -> None:
    with Platform(scripted_url, capacity="4") as platform:
        client = platform.account()
        sleeping, upload = hibernating(client, SLEEPER, overrides=OWN_KEY), prepared_upload(client)
        link = wake_url(client, sleeping)
        talk = client.begin(script({"say": "One."}), overrides=OWN_KEY)
        answered(client, talk, 1)
        first = dispatched_once(client, "first")

        key_file = platform.data_dir / "secret_key"
        old, new = key_file.read_text().strip(), "n" * 40
        restart_with(platform, key_file, new, old)

        def dispatch() -> None:
            task = client.run(script({"bash": "echo a > a.txt"}, finish("a.txt")), overrides=OWN_KEY)
            assert task["status"] == "finished", task

        def upload_files() -> None:
            complete(client, prepared_upload(client))

        def sleep_and_wake() -> None:
            task_id = hibernating(client, SLEEPER)
            wake_by(client, task_id, wake_url(client, task_id))

        load = Load(dispatch, upload_files, sleep_and_wake)
        counts = [int(rotate(platform).split()[0]) for _ in range(ROUNDS)]
        load.stop()
        assert counts[0] >= 5, "three keys of the account, one of the sleeping task, one of the conversation"
        assert counts[1:] == [0] * (ROUNDS - 1), "no process encrypts with the old key any more"
        assert load.rounds >= 3

        complete(client, upload)
        wake_by(client, sleeping, link)
        assert dispatched_once(client, "first") == first
        waiting_link = hibernating(client, SLEEPER)
        link = wake_url(client, waiting_link)

        restart_with(platform, key_file, new)
        wake_by(client, waiting_link, link)
        client.send(talk, script({"say": "Two."}))
        assert answered(client, talk, 2)["turnStatus"] == "completed"
        for provider in ("anthropic", "openai"):
            model = {"anthropic": "claude-sonnet-4-6", "openai": "gpt-5.2"}[provider]
            task = client.run(script(finish()), overrides={"provider": provider, "model": model})
            assert task["status"] == "finished", task
