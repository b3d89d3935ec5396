"""SeaweedFS on a host of the lab: a real S3 server."""

import json
import subprocess
import sys
import time
from pathlib import Path

import httpx2
import obstore
from obstore.exceptions import BaseError
from obstore.store import S3Store

from .host import Host

BUCKET = "agents"
ACCESS_KEY, SECRET_KEY = "lab-access-key", "lab-secret-key-0123456789"
CREDENTIALS = {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY}
START_SECONDS = 60
PROBES = 8  # the server spreads objects over seven volumes
PORT, FILER_PORT = 8333, 8888


# The server makes Unix sockets in /tmp, by which the servers of several labs would find each other. What it needs of
# the machine's /tmp is mounted into its own.
PRIVATE_TMP = """
exec 8<{programs} 9<{lab}
mount -t tmpfs -o mode=1777 lab /tmp
mkdir -p {programs} {lab}
mount -c --bind /proc/self/fd/8 {programs}
mount -c --bind /proc/self/fd/9 {lab}
exec 8<&- 9<&-
"""


def prepare(host: Host) -> None:
    """Call it before the host boots."""
    host.setup = PRIVATE_TMP.format(programs=Path(sys.executable).parent, lab=host.folder.parent)


def url(host: Host) -> str:
    return f"s3://{BUCKET}/prod?endpoint=http://{host.address}:{PORT}&region=us-east-1"


def start(host: Host, *, access_key: str = ACCESS_KEY, secret_key: str = SECRET_KEY) -> None:
    """Start the server; `wait_ready` waits for it."""
    identity = {
        "name": "lab",
        "credentials": [{"accessKey": access_key, "secretKey": secret_key}],
        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
    }
    (host.folder / "s3.json").write_text(json.dumps({"identities": [identity]}))
    (host.folder / "data").mkdir(exist_ok=True)
    options = {
        "dir": host.folder / "data", "ip": host.address, "ip.bind": "0.0.0.0", "s3": "true", "s3.port": PORT,
        "s3.config": host.folder / "s3.json", "s3.port.iceberg": 0, "filer.localSocket": host.folder / "filer.sock",
        "s3.localSocket": host.folder / "s3.sock", "master.telemetry": "false", "master.volumeSizeLimitMB": 64,
        "master.electionTimeout": "1s", "volume.max": 30,
    }  # fmt: skip
    weed = Path(sys.executable).with_name("weed")
    arguments = [f"-{name}={value}" for name, value in options.items()]
    host.start(
        "weed", weed, "-logtostderr=true", "server", *arguments, environment={"HOME": str(host.folder)}
    )


def wait_ready(host: Host, *, access_key: str = ACCESS_KEY, secret_key: str = SECRET_KEY) -> None:
    """Wait for the server and make the bucket, which is a folder of the filer. Objects are written and read then, which
    for its first seconds fails."""
    deadline = time.monotonic() + START_SECONDS
    folder = f"http://{host.address}:{FILER_PORT}/buckets/{BUCKET}/"
    while not _is_answered("POST", folder):
        assert host.services["weed"].is_running() and time.monotonic() < deadline, host.services["weed"].log()
        time.sleep(0.05)
    # In another process: the S3 library keeps threads, which would stay in the lab's network after the test.
    probe = [sys.executable, "-m", __name__, f"http://{host.address}:{PORT}", access_key, secret_key]
    done = subprocess.run(probe, cwd=Path(__file__).parents[2], check=False)
    assert done.returncode == 0, host.services["weed"].log()


def _is_answered(method: str, address: str) -> bool:
    try:
        status = httpx2.request(method, address, trust_env=False, verify=False, timeout=5).status_code
    except httpx2.HTTPError:
        return False
    return status < 300 or status == 409  # the folder exists


def _holds(store: S3Store) -> bool:
    names = [f"ready-{number}" for number in range(PROBES)]
    try:
        for name in names:
            obstore.put(store, name, name.encode())
        contents = [bytes(obstore.get(store, name).bytes()).decode() for name in names]
        obstore.delete(store, names)
    except (BaseError, OSError):
        return False
    return contents == names


def _main(endpoint: str, access_key: str, secret_key: str) -> int:
    """Wait until the store at this address keeps objects; 1 if it does not in time."""
    deadline = time.monotonic() + START_SECONDS
    store = S3Store(
        BUCKET, endpoint=endpoint, region="us-east-1", access_key_id=access_key,
        secret_access_key=secret_key, client_options={"allow_http": True}, retry_config={"max_retries": 0},
    )  # fmt: skip
    while not _holds(store):
        if time.monotonic() > deadline:
            return 1
        time.sleep(0.05)
    return 0


if __name__ == "__main__":
    sys.exit(_main(*sys.argv[1:]))
