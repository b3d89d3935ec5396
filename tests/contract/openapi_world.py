"""A running API with an account and one of everything that has an id, for requests made from the OpenAPI document."""

import asyncio
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import httpx2
import requests

from agentcontainer import db
from agentcontainer import settings as platform_settings
from agentcontainer.domain.accounts.vault import Vault
from agentcontainer.domain.files.blobs import Blobs
from agentcontainer.domain.uploads import service as uploads
from agentcontainer.ids import new_id
from tests.api_bed import AGENT, Account, Bed, new_account, register_imitated_runner
from tests.api_process import api_process
from tests.conftest import url_of_database

SECRET_KEY = "k" * 40
WEBHOOK_URL = "https://webhooks.invalid/"  # a name without an address
SETTINGS = {"secret_key": SECRET_KEY, "openai_base_url": "http://127.0.0.1:9/v1"}  # where nothing listens

UNLIMITED = """
from agentcontainer.api.http import services
services.CLI_LOGINS_PER_MINUTE = services.FAILED_LOGINS_PER_MINUTE = 0
"""  # the requests of all tests come from one address


@dataclass
class World:
    """A running API, an account, and one of everything that has an id."""

    base_url: str
    key: str
    ids: dict[str, Any]
    posted_upload_url: str
    runner: asyncio.Runner
    account: Account
    session: requests.Session = field(default_factory=requests.Session)
    tried: set[str] = field(default_factory=set)
    succeeded: set[str] = field(default_factory=set)

    def post(self, path: str, body: Any = None) -> Any:
        headers = {"Authorization": f"Bearer {self.key}"}
        answer = self.session.post(f"{self.base_url}/api/v1{path}", json=body or {}, headers=headers)
        assert answer.ok, answer.text
        return answer.json()

    def log_in(self) -> None:
        """Begin a browser session, without its cookie."""
        page = {"Sec-Fetch-Site": "same-origin"}
        answer = requests.post(
            f"{self.base_url}/session", json={"apiKey": self.key}, headers=page, timeout=60
        )
        assert answer.ok, answer.text

    def prepared(self) -> dict[str, Any]:
        return self.post("/uploads/prepare", {"filename": "a.txt", "contentType": "text/plain"})

    def sent(self) -> str:
        """Create an upload whose bytes have arrived; returns its id."""
        prepared = self.prepared()
        answer = self.session.put(prepared["uploadUrl"], data=b"hello", headers=prepared["headers"])
        assert answer.ok, answer.text
        return prepared["uploadId"]

    def fresh(self, operation_id: str) -> dict[str, Any]:
        """Create anew what the operation uses up."""
        match operation_id:
            case "deleteFile":
                return {"fileId": self.post("/uploads/complete", {"uploadId": self.sent()})["id"]}
            case "revokeApiKey" | "changeApiKey":
                return {"keyId": self.post("/api-keys", {"name": "spare"})["id"]}
            case (
                "changeInstalledAccount"
                | "creditAccount"
                | "exportAccount"
                | "deleteAccount"
                | "cancelAccountTasks"
            ):
                return {"accountId": self.other_account()}
            case "changeRunner":
                statement = "INSERT INTO runners (id, host, region, capacity) VALUES ($1, 'host', 'any', 1)"
                runner_id = new_id("run")
                self.runner.run(self.account.bed.pool.execute(statement, runner_id))
                return {"runnerId": runner_id}
            case "completeUpload":
                return {"uploadId": self.sent()}
            case "dispatchTask" | "dispatchBatch" | "createConversation":
                self.post(
                    f"/agents/{self.ids['agentId']}/unarchive"
                )  # another route's test may have archived it
                return {}
            case "sendMessage" | "handOffConversation" | "interruptConversation":
                return {"taskId": self.post(f"/agents/{AGENT}/conversations", {"message": "x"})["task"]["id"]}
            case (
                "listMessages" | "listActivities" | "listConversationEvents" | "getConversationEvent"
                | "endConversation"
            ):  # fmt: skip
                return {"taskId": self.ids["conversation"]}
            case "getCliLogin" | "decideCliLogin" | "pollCliLogin":
                begun = self.post("/cli-logins", {"hostname": "x"})
                return {"loginId": begun["id"], "deviceCode": begun["deviceCode"]}
            case "endSession":
                self.log_in()
                headers = {"Authorization": f"Bearer {self.key}"}
                listed = self.session.get(f"{self.base_url}/api/v1/sessions", headers=headers).json()
                return {"sessionId": listed["data"][0]["id"]}
            case "cancelTask" | "steerTask":
                return {"taskId": self.post(f"/agents/{AGENT}/tasks", {"instructions": "x"})["id"]}
            case "getBatch" | "cancelBatch":
                batch = self.post(f"/agents/{AGENT}/tasks/batch", {"tasks": [{"instructions": "x"}]})
                return {"batchId": batch["batch"]["id"]}
            case "deleteTask":
                task_id = self.post(f"/agents/{AGENT}/tasks", {"instructions": "x"})["id"]
                self.runner.run(self.account.finish(task_id))
                return {"taskId": task_id}
            case "wakeTask" | "createWakeLink" | "showWakeLink" | "useWakeLink":
                task_id = self.post(f"/agents/{AGENT}/tasks", {"instructions": "x"})["id"]
                [token] = self.runner.run(self.account.hibernate(task_id, link_count=1))
                return {"taskId": task_id, "token": token}
            case "showPreview":
                headers = {"Authorization": f"Bearer {self.key}"}
                url = f"{self.base_url}/api/v1/files/{self.ids['fileId']}/preview"
                _, token, name = self.session.get(url, headers=headers).json()["url"].rsplit("/", 2)
                return {"token": token, "name": name}
            case "deleteProviderKey" | "testProviderKey":
                headers = {"Authorization": f"Bearer {self.key}"}
                url = f"{self.base_url}/api/v1/provider-keys/openai"
                assert self.session.put(url, json={"apiKey": "x" * 20}, headers=headers).ok
                return {"provider": "openai"}
            case "createWebhook":
                self.delete_spare_webhooks()
                return {}
            case "deleteWebhook" | "changeWebhook" | "rotateWebhookSecret":
                self.delete_spare_webhooks()
                return {"webhookId": self.post("/webhooks", {"url": WEBHOOK_URL})["id"]}
            case "resendWebhookDelivery" | "resendWebhookDeliveries":
                statement = (
                    "UPDATE webhook_deliveries SET status = 'failed', next_attempt_at = NULL WHERE id = $1"
                )
                self.runner.run(self.account.bed.pool.execute(statement, self.ids["deliveryId"]))
                return {}
            case _:
                return {}

    def other_account(self) -> str:
        """Create a suspended account; returns its id."""
        account_id: str = self.post("/installation/accounts", {"name": "x"})["account"]["id"]
        statement = "UPDATE accounts SET suspended_at = now(), exported_at = clock_timestamp() WHERE id = $1"
        self.runner.run(self.account.bed.pool.execute(statement, account_id))
        return account_id

    def delete_spare_webhooks(self) -> None:
        """Delete all webhooks but one, because an account can have few."""
        headers = {"Authorization": f"Bearer {self.key}"}
        listed = self.session.get(f"{self.base_url}/api/v1/webhooks?limit=100", headers=headers).json()[
            "data"
        ]
        for webhook in listed:
            if webhook["id"] != self.ids["webhookId"]:
                url = f"{self.base_url}/api/v1/webhooks/{webhook['id']}"
                assert self.session.delete(url, headers=headers).ok


@contextmanager
def running_world(postgres_url: str, migrated_template: str) -> Iterator[World]:
    """The world during the block, on a database of its own."""
    name = f"openapi_{secrets.token_hex(6)}"
    folder = Path(tempfile.mkdtemp(prefix="ac-oas-", dir="/tmp"))
    asyncio.run(
        execute(postgres_url, f"CREATE DATABASE {name} TEMPLATE {migrated_template} STRATEGY FILE_COPY")
    )
    url = url_of_database(postgres_url, name)
    try:
        with api_process(url, folder, UNLIMITED, **SETTINGS) as (base_url, _), asyncio.Runner() as runner:
            opening = db.pool(url)
            pool = runner.run(opening.__aenter__())
            new_world = runner.run(furnished(runner, pool, url, folder, base_url))
            yield new_world
            new_world.session.close()
            runner.run(opening.__aexit__(None, None, None))
    finally:
        asyncio.run(execute(postgres_url, f"DROP DATABASE {name} WITH (FORCE)"))
        shutil.rmtree(folder)


async def execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url, timeout=10)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


async def furnished(runner: asyncio.Runner, pool: db.Pool, url: str, folder: Path, base_url: str) -> World:
    configured = platform_settings.load(
        data_dir=folder, database_url=url, storage_url=f"file://{folder}/blobs", secret_key=SECRET_KEY,
        public_url=base_url, upload_method="post",
    )  # fmt: skip
    vault, blobs = Vault(SECRET_KEY), Blobs(f"file://{folder}/blobs")
    async with httpx2.AsyncClient(base_url=base_url, trust_env=False, verify=False) as http:
        await register_imitated_runner(pool)
        bed = Bed(configured, pool, vault, blobs, folder / "blobs", http)
        account: Account = await new_account(bed, credit_micro_usd=10**12, is_operator=True)
        agent = (await account.post("/api/v1/agents", {"name": "Own", "basePrompt": "Be kind."})).json()
        task = await account.dispatch()
        file_id = await account.upload(filename="input.csv")
        [output_id] = await account.finish(task["id"], {"report.txt": b"ten bytes."})
        conversation = await account.awaiting_input(tools=[{"command": "ls"}])
        ended = await account.post(f"/api/v1/conversations/{conversation}/end")  # so that its stream ends too
        assert ended.status_code == 200, ended.text
        webhook = (await account.post("/api/v1/webhooks", {"url": WEBHOOK_URL})).json()
        delivery_id = await account.insert_delivery(webhook["id"])
        posted = await uploads.prepare(pool, configured, vault, blobs, account.id, "a", "text/plain", None)
        other = (
            await account.post("/api/v1/uploads/prepare", {"filename": "a", "contentType": "text/plain"})
        ).json()
    ids = {
        "agentId": agent["id"], "versionId": agent["currentVersion"]["id"], "taskId": task["id"], "fileId": output_id,
        "keyId": "key_00000000000000000000", "accountId": account.id, "batchId": "bat_0", "runnerId": "run_0",
        "uploadId": other["uploadId"], "provider": "openai", "input": file_id,
        "uploadUrl": other["uploadUrl"], "conversation": conversation,
        "sequence": "1", "sessionId": "ses_0", "loginId": "clg_0", "deviceCode": "x",
        "webhookId": webhook["id"], "deliveryId": delivery_id,
    }  # fmt: skip
    return World(base_url, account.key, ids, posted.url, runner, account)
