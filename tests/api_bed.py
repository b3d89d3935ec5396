"""The API over ASGI on a real database: one application per test process, two fresh accounts per test.

A conftest.py that wants the fixtures imports `api_bed`, `alice` and `bob`.
"""

import secrets
import shutil
import tempfile
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import httpx2
import pytest_asyncio

from agentcontainer import db, settings
from agentcontainer.api.app import create_app
from agentcontainer.db import Pool
from agentcontainer.domain.accounts import service as accounts
from agentcontainer.domain.accounts.vault import Vault
from agentcontainer.domain.agents import standard
from agentcontainer.domain.conversations import turns
from agentcontainer.domain.files.blobs import Blobs
from agentcontainer.domain.hibernation import service as hibernation
from agentcontainer.domain.hibernation import wake_links
from agentcontainer.domain.tasks import events, runners, service, store
from agentcontainer.domain.tasks.event_data import ToolCompleted, ToolStarted, draft
from agentcontainer.domain.tasks.model import Claim, Hibernation, Output
from agentcontainer.domain.tasks.state import EndReason
from agentcontainer.ids import new_id
from agentcontainer.settings import Settings
from tests import claims
from tests.api_process import SECRET_KEY

AGENT = "agt_standard_data"
UNREAD = {"queue": None, "inputFileIds": None}  # of a task that is not read by its id
TABLES = (
    "tasks",
    "agents",
    "agent_versions",
    "files",
    "uploads",
    "events",
    "ledger_entries",
    "provider_keys",
    "task_input_files",
    "messages",
    "message_files",
    "wake_links",
    "webhook_endpoints",
    "callback_secrets",
)


@dataclass(frozen=True)
class Bed:
    """The application under test, with its database, vault and blob store."""

    settings: Settings
    pool: Pool
    vault: Vault
    blobs: Blobs
    blob_folder: Path
    http: httpx2.AsyncClient

    async def rows(self) -> dict[str, int]:
        """How many rows each table that a request may write to has."""
        counts = " UNION ALL ".join(
            f"SELECT '{name}' AS name, count(*) AS rows FROM {name}" for name in TABLES
        )
        return {row["name"]: row["rows"] for row in await self.pool.fetch(counts)}


class Account:
    """A client with an API key of its own."""

    def __init__(self, bed: Bed, account_id: str, key: str) -> None:
        self.bed = bed
        self.id = account_id
        self.key = key

    async def send(self, method: str, path: str, **options: Any) -> httpx2.Response:
        headers = {"Authorization": f"Bearer {self.key}"} | options.pop("headers", {})
        return await self.bed.http.request(method, path, headers=headers, **options)

    async def get(self, path: str, **options: Any) -> httpx2.Response:
        return await self.send("GET", path, **options)

    async def post(self, path: str, json: Any = None, **options: Any) -> httpx2.Response:
        return await self.send("POST", path, **({} if json is None else {"json": json}), **options)

    async def dispatch(self, **body: Any) -> dict[str, Any]:
        answer = await self.post(f"/api/v1/agents/{AGENT}/tasks", {"instructions": "Count the rows."} | body)
        assert answer.status_code == 201, answer.text
        return answer.json()

    async def converse(self, message: str = "Which region sells best?", **body: Any) -> dict[str, Any]:
        """Create a conversation; returns `{"task", "message"}`."""
        path = f"/api/v1/agents/{AGENT}/conversations"
        answer = await self.post(path, {"message": message} | body)
        assert answer.status_code == 201, answer.text
        return answer.json()

    async def upload(
        self, content: bytes = b"a,b\n1,2\n", filename: str = "data.csv", content_type: str = "text/csv"
    ) -> str:
        """Upload a file; returns its id."""
        prepared = (
            await self.post("/api/v1/uploads/prepare", {"filename": filename, "contentType": content_type})
        ).json()
        response = await self.bed.http.put(
            prepared["uploadUrl"], content=content, headers=prepared["headers"]
        )
        assert response.status_code == 200, response.text
        completed = await self.post("/api/v1/uploads/complete", {"uploadId": prepared["uploadId"]})
        assert completed.status_code == 201, completed.text
        return completed.json()["fileId"]

    async def finish(self, task_id: str, outputs: dict[str, bytes] | None = None, **fields: Any) -> list[str]:
        """Finish a pending task as a runner would; returns the ids of its output files."""
        bed, outputs_stored = self.bed, list[Output]()
        named = outputs or {}
        file_ids = sorted(new_id("file") for _ in named)  # ids of the same millisecond have no order
        for file_id, (filename, content) in zip(file_ids, named.items(), strict=True):

            async def chunks(content: bytes = content) -> AsyncIterator[bytes]:
                yield content

            blob = await bed.blobs.put(f"outputs/{file_id}", chunks(), len(content))
            outputs_stored.append(
                Output(
                    file_id,
                    filename,
                    fields.get("content_type", "text/plain"),
                    len(content),
                    blob.sha256,
                    blob.key,
                )
            )
        claim = await self.claim(task_id)
        async with db.transaction(bed.pool) as connection:
            await service.end(
                connection, bed.settings, task_id, fields.get("reason", EndReason.COMPLETE),
                attempt=claim.attempt, message="Done.", outputs=outputs_stored,
            )  # fmt: skip
        return [output.id for output in outputs_stored]

    async def claim(self, task_id: str) -> Claim:
        """Make a pending task running, as a runner would."""
        async with db.transaction(self.bed.pool) as connection:
            claim = await claims.claim(connection, task_id, "run_test")
        assert claim is not None
        return claim

    async def take_turn(
        self, task_id: str, reply: str = "North.", tools: Sequence[dict[str, Any]] = ()
    ) -> None:
        """Run a pending conversation's next turn as a runner would, with these inputs of its `bash` calls."""
        bed, claim = self.bed, await self.claim(task_id)
        turn = await turns.begin(bed.pool, claim)
        assert turn is not None
        for number, tool in enumerate(tools):
            started = ToolStarted(new_id("act"), f"call_{number}", "bash", tool, None)
            completed = ToolCompleted(f"call_{number}", "bash", is_error=False, output="", duration_ms=3)
            drafts = [draft(started, turn.label), draft(completed, turn.label)]
            async with db.transaction(bed.pool) as connection:
                await events.append(connection, task_id, drafts, claim)
        checkpoint_id = await self.checkpoint(task_id)
        following = await turns.end(
            bed.pool, bed.settings, claim, turn, checkpoint_id=checkpoint_id, reply=reply, file_ids=[]
        )
        assert following == "idle"
        assert await store.evict(bed.pool, claim)

    async def hibernate(
        self,
        task_id: str,
        message: str = "Waiting for the review.",
        until: datetime | None = None,
        *,
        link_count: int = 0,
        size_bytes: int = 1000,
    ) -> list[str]:
        """Run and hibernate a pending task as a runner would; returns the tokens of its wake links."""
        bed, claim = self.bed, await self.claim(task_id)
        task = await store.get(bed.pool, task_id)
        if task is not None and task.mode == "conversation":
            assert await turns.begin(bed.pool, claim) is not None
        assert await service.start_container(bed.pool, claim)
        tokens = [await wake_links.create(bed.pool, bed.vault, claim) for _ in range(link_count)]
        checkpoint_id = await self.checkpoint(task_id, size_bytes)
        request = Hibernation(message, until or datetime.now(UTC) + timedelta(days=1), checkpoint_id)
        async with db.transaction(bed.pool) as connection:
            assert await hibernation.begin(connection, bed.settings, claim, request)
        return [token for token in tokens if token is not None]

    async def hibernating(self, **options: Any) -> str:
        """Create a hibernating task; returns its id."""
        task_id = (await self.dispatch())["id"]
        await self.hibernate(task_id, **options)
        return task_id

    async def checkpoint(self, task_id: str, size_bytes: int = 1000) -> str:
        """Insert the row of a stored checkpoint; returns its id."""
        checkpoint_id = new_id("ckp")
        await self.bed.pool.execute(
            "INSERT INTO checkpoints (id, task_id, blob_key, size_bytes, sha256, unpacked_bytes) "
            "VALUES ($1, $2, $1, $3, '', 0)",
            checkpoint_id, task_id, size_bytes,
        )  # fmt: skip
        return checkpoint_id

    async def insert_delivery(self, webhook_id: str) -> str:
        """Insert a delivery that failed; returns its id."""
        delivery_id = new_id("whd")
        await self.bed.pool.execute(
            "INSERT INTO webhook_deliveries (id, endpoint_id, account_id, event_id, event_type, event_at, position, "
            "data, status, next_attempt_at) "
            "VALUES ($1, $2, $3, $4, 'task.created', now(), 1, '{}', 'failed', NULL)",
            delivery_id, webhook_id, self.id, new_id("evt"),
        )  # fmt: skip
        return delivery_id

    async def awaiting_input(self, reply: str = "North.", tools: Sequence[dict[str, Any]] = ()) -> str:
        """Create a conversation whose first turn is over; returns its id."""
        task_id = (await self.converse())["task"]["id"]
        await self.take_turn(task_id, reply, tools)
        return task_id


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def api_bed(postgres_url: str, migrated_template: str) -> AsyncIterator[Bed]:
    name = f"api_{secrets.token_hex(6)}"
    folder = Path(tempfile.mkdtemp(prefix="ac-api-", dir="/tmp"))
    admin = await asyncpg.connect(postgres_url, timeout=10)
    await admin.execute(f"CREATE DATABASE {name} TEMPLATE {migrated_template} STRATEGY FILE_COPY")
    url = postgres_url.replace("@/agentcontainer?", f"@/{name}?")
    try:
        async with db.pool(url) as pool:
            configured = settings.load(
                data_dir=folder, database_url=url, storage_url=f"file://{folder}/blobs",
                public_url="http://testserver", secret_key=SECRET_KEY, image_registries="",
                private_hosts="127.0.0.1,models.test",
                max_upload_bytes=1024 * 1024,
            )  # fmt: skip
            vault, blobs = Vault(configured.secret_key.get_secret_value()), Blobs(configured.storage_url)
            await standard.install(pool)
            await register_imitated_runner(pool)
            app = create_app(configured, pool, vault, blobs)
            transport = httpx2.ASGITransport(app=app)
            async with httpx2.AsyncClient(
                transport=transport, base_url="http://testserver", verify=False
            ) as http:
                yield Bed(configured, pool, vault, blobs, folder / "blobs", http)
    finally:
        await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
        await admin.close()
        shutil.rmtree(folder)


async def register_imitated_runner(pool: Pool) -> None:
    """Register the runner that tests imitate, or API processes on this database would requeue its tasks."""
    await runners.register(pool, "run_test", "eu", "nowhere", 1)
    await pool.execute("UPDATE runners SET heartbeat_at = now() + interval '1 day'")


async def new_account(bed: Bed, **options: Any) -> Account:
    account_id, key = await accounts.create_account(
        bed.pool, **{"name": "Test", "credit_micro_usd": 10_000_000} | options
    )
    return Account(bed, account_id, key)


@pytest_asyncio.fixture(loop_scope="session")
async def alice(api_bed: Bed) -> Account:
    return await new_account(api_bed)


@pytest_asyncio.fixture(loop_scope="session")
async def bob(api_bed: Bed) -> Account:
    """A second account."""
    return await new_account(api_bed)


def error_of(answer: httpx2.Response) -> dict[str, Any]:
    """The error of a response, checked against the published shape."""
    body = answer.json()
    assert set(body) == {"error"}, body
    error = body["error"]
    assert {"code", "message", "requestId"} <= set(error) <= {"code", "message", "requestId", "details"}, (
        error
    )
    assert error["requestId"] == answer.headers["x-request-id"]
    assert error["message"]
    return error
