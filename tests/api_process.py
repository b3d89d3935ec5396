"""A real `agentcontainer api` process on a free port."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2

from tests.ports import free_port

# The same in all processes of a test database, which holds secrets that are encrypted with it.
SECRET_KEY = "k" * 40
FORGET = """
import asyncio, asyncpg, os
from agentcontainer.domain.accounts.vault import Vault
from agentcontainer.domain.installation import service
async def forget():
    connection = await asyncpg.connect(os.environ["AGENTCONTAINER_DATABASE_URL"])
    await service.adopt_secret_key(connection, Vault(os.environ["AGENTCONTAINER_SECRET_KEY"]))
    await connection.execute("UPDATE installation SET store_marked_at = NULL")
    await connection.execute("DELETE FROM installation_settings")
    folder = os.environ["AGENTCONTAINER_STORAGE_URL"].removeprefix("file://")
    os.makedirs(folder, exist_ok=True)
    with open(f"{folder}/installation", "w") as mark:
        mark.write(await connection.fetchval("SELECT id FROM installation"))
    await connection.close()
asyncio.run(forget())
"""  # what earlier processes have stored for the installation, whose key and store are those of the process
_KEPT = {name: value for name, value in os.environ.items() if not name.startswith("AGENTCONTAINER_")}


@contextmanager
def api_process(
    database_url: str, folder: Path, /, first: str = "", **settings: object
) -> Iterator[tuple[str, int]]:
    """Run the API during the block; yields its base URL and pid. Blobs are in `folder`/blobs, without rate limits.

    It starts as the first process of the installation, so tests on one database may give it different settings.
    `first`: Python code that the process runs first, to set a constant.
    """
    port = free_port()
    values = {
        "secret_key": SECRET_KEY,
        "rate_limit_per_minute": 0,
        "image_registries": "",  # tests must not contact registries on the internet
        "storage_url": f"file://{folder}/blobs",
    } | settings
    values |= {"data_dir": folder / "data", "database_url": database_url, "port": port}
    environment = _KEPT | {f"AGENTCONTAINER_{name.upper()}": str(value) for name, value in values.items()}
    command = [
        sys.executable,
        "-c",
        f"{FORGET}\n{first}\nfrom agentcontainer.cli.main import app\napp()",
        "api",
    ]
    log = folder / "api.log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
    base_url = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 60
        while not _is_ready(base_url):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        yield base_url, process.pid
    finally:
        process.terminate()
        process.wait(60)


def _is_ready(base_url: str) -> bool:
    try:
        return httpx2.get(f"{base_url}/readyz", trust_env=False, verify=False).status_code == 200
    except httpx2.HTTPError:
        return False
