"""What every response has in common, and responses while a component is unavailable."""

import logging
import secrets
import shutil
import tempfile
from pathlib import Path

import httpx2
import pytest

from agentcontainer import db, settings
from agentcontainer.api.app import create_app
from agentcontainer.db import Pool
from agentcontainer.domain.accounts import service as accounts
from agentcontainer.domain.accounts.vault import Vault
from agentcontainer.domain.files.blobs import Blobs
from agentcontainer.embedded.postgres import Postgres
from agentcontainer.migrations.migrate import migrate
from tests import data_folder

from .conftest import Account, Bed, error_of

# As PostgreSQL reports it when it cannot extend a file.
_FULL_DATABASE = """
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100'; END $$;
CREATE TRIGGER full_disk BEFORE INSERT ON api_keys FOR EACH ROW EXECUTE FUNCTION refuse();
"""

pytestmark = pytest.mark.asyncio(loop_scope="session")


def client(pool: Pool, url: str, folder: Path, data_dir: Path | None = None) -> httpx2.AsyncClient:
    configured = settings.load(data_dir=data_dir or folder, database_url=url, public_url="http://testserver")
    app = create_app(configured, pool, Vault("k" * 32), Blobs(f"file://{folder}/blobs"))
    return httpx2.AsyncClient(
        transport=httpx2.ASGITransport(app=app), base_url="http://testserver", verify=False
    )


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/", 404, "not_found"),
        ("GET", "/api/v1", 404, "not_found"),
        ("GET", "/api/v1/", 404, "not_found"),
        ("GET", "/api/v1/account/", 404, "not_found"),
        ("GET", "/api/v1/accounts", 404, "not_found"),
        ("GET", "/api/v2/account", 404, "not_found"),
        ("GET", "/docs", 404, "not_found"),
        ("GET", "/openapi.json", 404, "not_found"),
        ("GET", "/api/v1/tasks/a/b/c", 404, "not_found"),
        ("GET", "/%00", 404, "not_found"),
        ("GET", "/" + "x" * 10_000, 404, "not_found"),
        ("DELETE", "/api/v1/account", 405, "method_not_allowed"),
        ("POST", "/api/v1/tasks", 405, "method_not_allowed"),
        ("GET", "/api/v1/uploads/prepare", 405, "method_not_allowed"),
        ("GET", "/uploads/upl_0", 405, "method_not_allowed"),
        ("BREW", "/healthz", 405, "method_not_allowed"),
    ],
)
async def test_routes_that_are_not_there(
    alice: Account, method: str, path: str, status: int, code: str
) -> None:
    answer = await alice.send(method, path)
    assert answer.status_code == status
    assert error_of(answer)["code"] == code


async def test_a_wrong_method_is_answered_with_the_allowed_ones(alice: Account) -> None:
    answer = await alice.get("/api/v1/provider-keys/openai")
    assert answer.headers["allow"] == "DELETE, PUT"
    assert "DELETE, PUT" in error_of(answer)["message"]


async def test_each_answer_has_an_id_of_its_own_unless_the_client_gives_one(bed: Bed) -> None:
    ids = [(await bed.http.get(path)).headers["x-request-id"] for path in ("/healthz", "/nope", "/healthz")]
    assert len(set(ids)) == 3
    assert all(id_.startswith("req_") for id_ in ids)
    theirs = await bed.http.get("/nope", headers={"X-Request-Id": "theirs-1"})
    assert theirs.headers["x-request-id"] == "theirs-1"
    assert theirs.json()["error"]["requestId"] == "theirs-1"


async def test_responses_forbid_caching_and_content_sniffing(alice: Account) -> None:
    for path in ("/api/v1/account", "/nope"):
        answer = await alice.get(path)
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-content-type-options"] == "nosniff"


async def test_the_access_log_holds_ids_and_no_secrets(
    alice: Account, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "agentcontainer.api.access")
    answer = await alice.get("/api/v1/tasks/tsk_0", params={"apiKey": alice.key})
    await alice.send(
        "PUT", "/uploads/upl_0", params={"expires": "1", "signature": "thesignature"}, content=b""
    )
    await alice.send("PUT", "/api/v1/provider-keys/sk-ant-secret", json={"apiKey": "sk-ant-secret"})
    await alice.get(f"/api/v1/tasks/{alice.key}")
    await alice.get(f"/{alice.key}")
    lines = [record.getMessage() for record in caplog.records if record.name == "agentcontainer.api.access"]
    assert len(lines) == 5
    assert lines[0].startswith(f"{answer.headers['x-request-id']} {alice.id} GET /api/v1/tasks/tsk_0 400 ")
    assert " PUT /uploads/upl_0 403 " in lines[1]
    for secret in (alice.key, "thesignature", "sk-ant-secret", "?"):
        assert not any(secret in line for line in lines)


async def test_an_unexpected_error_is_logged_and_not_shown(
    bed: Bed, alice: Account, caplog: pytest.LogCaptureFixture
) -> None:
    await bed.pool.execute("ALTER TABLE provider_keys RENAME TO hidden")
    try:
        answer = await alice.get("/api/v1/provider-keys")
    finally:
        await bed.pool.execute("ALTER TABLE hidden RENAME TO provider_keys")
    assert answer.status_code == 500
    error = error_of(answer)
    assert error["code"] == "internal"
    assert not any(text in answer.text for text in ("provider_keys", "Traceback", "asyncpg", "relation"))
    [record] = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert error["requestId"] in record.getMessage()
    assert record.exc_info


async def test_a_database_without_our_schema_is_not_ready(empty_database_url: str, short_dir: Path) -> None:
    async with db.pool(empty_database_url) as pool, client(pool, empty_database_url, short_dir) as http:
        answer = await http.get("/readyz")
        assert answer.status_code == 503
        assert "agentcontainer migrate" in error_of(answer)["message"]
        assert (await http.get("/healthz")).status_code == 200
        await migrate(empty_database_url)
        assert (await http.get("/readyz")).json() == {"status": "ready"}


async def test_a_database_that_goes_away_and_comes_back(short_dir: Path) -> None:
    folder = Path(tempfile.mkdtemp(prefix="ac-pg-", dir="/tmp"))
    data_folder.fill(folder)
    server = Postgres(folder, service_uid=data_folder.SERVICE_UID, is_durable=False)
    try:
        url = await server.start()
        async with db.pool(url) as pool, client(pool, url, short_dir) as http:
            _, key = await accounts.create_account(pool, name=secrets.token_hex(4))
            http.headers["Authorization"] = f"Bearer {key}"
            assert (await http.get("/readyz")).status_code == 200
            await server.stop()
            for path in ("/readyz", "/api/v1/account", "/api/v1/account"):
                answer = await http.get(path)
                assert answer.status_code == 503
                assert error_of(answer)["code"] == "unavailable"
                assert str(folder) not in answer.text
            assert (await http.get("/healthz")).json() == {"status": "ok"}
            await server.start()
            assert (await http.get("/readyz")).status_code == 200
            assert (await http.get("/api/v1/account")).status_code == 200
    finally:
        await server.stop()
        shutil.rmtree(folder)


async def test_a_client_is_told_which_disk_is_full(database_url: str, short_dir: Path) -> None:
    full = Path("/proc")  # the kernel reports no free block there
    async with (
        db.pool(database_url) as pool,
        client(pool, database_url, short_dir) as http,
        client(pool, database_url, short_dir, full) as beside_the_database,
    ):
        _, key = await accounts.create_account(pool, name="Test")
        for each in (http, beside_the_database):
            each.headers["Authorization"] = f"Bearer {key}"
        await pool.execute(_FULL_DATABASE)
        answer = await http.post("/api/v1/api-keys", json={"name": "second"})
        assert (answer.status_code, error_of(answer)["code"]) == (503, "unavailable")
        assert "The database's disk is full" in error_of(answer)["message"]
        await pool.close()  # as if the server had ended because of it
        answer = await beside_the_database.get("/api/v1/account")
        assert (answer.status_code, error_of(answer)["code"]) == (503, "unavailable")
        assert "The platform's disk is full" in error_of(answer)["message"]


async def test_an_outage_is_logged_once_for_many_requests_in_the_same_words(
    database_url: str, short_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """So that the process writes one line a minute."""
    async with db.pool(database_url) as pool, client(pool, database_url, short_dir) as http:
        await pool.close()
        for _ in range(3):
            assert (await http.get("/readyz")).status_code == 503
    lines = {record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING}
    assert lines == {"a request could not be carried out: InterfaceError: pool is closed"}
