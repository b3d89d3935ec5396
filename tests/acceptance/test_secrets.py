"""The provider's key is not in the sandbox: an agent that dumps everything it can read does not find it."""

from .conftest import PROVIDER_KEY, Client, Platform, finish, script

# Everything an agent can read: its environment, every process's, every readable file, every socket's answer.
DUMP = r"""
{ env; set; for p in /proc/[0-9]*; do cat $p/environ $p/cmdline $p/maps $p/mountinfo; ls -l $p/fd; done
  find / -xdev \( -path /usr -o -path /proc -o -path /opt/agentcontainer/pi -o -path /opt/agentcontainer/cache \) \
      -prune -o -type f -size -2000k -print -exec cat {} +
  find /workspace /run /etc /tmp -type f -print -exec cat {} +
  python3 - <<'PY' || true
import glob
for maps in glob.glob("/proc/[0-9]*/maps"):
    try:
        memory = open(maps[:-4] + "mem", "rb", 0)
        for line in open(maps):
            low, high = (int(x, 16) for x in line.split()[0].split("-"))
            if " rw" in line and high - low < 2**28:
                memory.seek(low); print(memory.read(high - low))
    except OSError:
        pass
PY
} > dump.bin 2>/dev/null; wc -c dump.bin
"""
OTHERS = r"""
ask() { python3 - "$@" <<'PY'
import json, sys, urllib.request, urllib.error
path, model = sys.argv[1:3]
prompt = {"input": "x"} if "responses" in path else {"messages": [{"role": "user", "content": "x"}]}
body = json.dumps({"model": model, "max_tokens": 5, **prompt})
request = urllib.request.Request("http://127.0.0.1:8090" + path, body.encode(), {"Content-Type": "application/json"})
try:
    print(path, model, urllib.request.urlopen(request).status)
except urllib.error.HTTPError as error:
    print(path, model, error.code)
PY
}
{ ask /anthropic/v1/messages claude-opus-4-1; ask /openai/v1/responses gpt-5; ask /anthropic/v1/models claude-sonnet-4-6
  ask /openrouter/api/v1/chat/completions claude-sonnet-4-6; ask /anthropic/v1/messages claude-sonnet-4-6; } > asked.txt
"""


def test_an_agent_that_dumps_all_it_can_read_finds_no_key(client: Client, shared_platform: Platform) -> None:
    task = client.run(script({"bash": DUMP}, finish("dump.bin")))
    assert task["status"] == "finished", task
    dump = client.outputs(task["id"])["dump.bin"]
    assert b"PI_CODING_AGENT_DIR" in dump, "the dump contains what the agent can read"
    assert len(dump) > 1_000_000
    assert PROVIDER_KEY.encode() not in dump
    for secret in (shared_platform.data_dir / "secret_key").read_text().strip(), client.api_key:
        assert secret.encode() not in dump
    assert PROVIDER_KEY not in shared_platform.log()


def test_the_gateway_serves_only_the_tasks_own_models(client: Client) -> None:
    task = client.run(script({"bash": OTHERS}, finish("asked.txt")))
    answers = [line.split()[-1] for line in client.outputs(task["id"])["asked.txt"].decode().splitlines()]
    assert answers == ["403", "403", "404", "403", "200"]


def test_the_database_holds_no_key_in_plain(client: Client, shared_platform: Platform) -> None:
    client.run(script(finish()), overrides={"providerApiKey": PROVIDER_KEY})
    assert shared_platform.files_with(PROVIDER_KEY.encode()) == []
