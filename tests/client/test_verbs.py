"""The commands for users that other tests do not use, called in this process, which saves the start of one for each."""

import asyncio
import io
import json
import os
import re
import sys
import tarfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest

from agentcontainer import db
from agentcontainer.domain.accounts import administration
from agentcontainer.embedded.location import url_of
from agentcontainer_client import AgentContainer
from agentcontainer_client.cli.app import run
from tests.acceptance.bed import PROVIDER_KEY, Client, Platform, finish, script, waiting

DATA = "agt_standard_data"


@dataclass(frozen=True)
class Done:
    """What a command did. `rows`: its lines on stdout, split at tabs."""

    code: int
    out: str
    err: str

    @property
    def rows(self) -> list[list[str]]:
        return [line.split("\t") for line in self.out.splitlines()]


Call = Callable[..., Done]


@pytest.fixture
def call(
    client_platform: Platform,
    account: Client,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Call:
    """Runs a command as a user who has logged in by environment variables. `stdin`: what is piped into it."""
    for name in list(os.environ):
        if name.startswith("AGENTCONTAINER_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AGENTCONTAINER_URL", client_platform.base_url)
    monkeypatch.setenv("AGENTCONTAINER_API_KEY", account.api_key)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str, stdin: str = "") -> Done:
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            run(list(arguments))
        shown = capsys.readouterr()
        assert "Traceback" not in shown.err
        code = ended.value.code
        assert isinstance(code, int)
        return Done(code, shown.out, shown.err)

    return call


def test_files_keys_and_agents_are_managed(
    call: Call, tmp_path: Path, account: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.txt").write_text("a")
    file_id = call("upload", "a.txt").out.strip()
    assert file_id in [row[0] for row in call("files").rows]
    assert call("rm", file_id, "--yes").code == 0
    key = call("keys", "create", "CI").out.strip()
    monkeypatch.setenv("AGENTCONTAINER_API_KEY", key)
    assert call("whoami").code == 0
    monkeypatch.setenv("AGENTCONTAINER_API_KEY", account.api_key)
    [key_id] = [row[0] for row in call("keys").rows if row[1] == "CI"]
    assert call("keys", "revoke", key_id, "--yes").code == 0
    assert key_id not in [row[0] for row in call("keys").rows]
    assert call("provider-keys", "set", "openai", stdin="sk-test-0123456789\n").code == 0
    assert ["openai", "…6789", ""] in call("provider-keys").rows
    assert call("provider-keys", "delete", "openai").code == 2, "nobody can be asked"
    assert call("provider-keys", "delete", "openai", "--yes").code == 0
    status = call("api", "GET", "/account")
    assert json.loads(status.out)["id"] == account.account_id


def test_an_agent_is_kept_as_a_file(call: Call, tmp_path: Path) -> None:
    agent = call("agents", "create", f"From the shell {time.time()}", "--prompt", "Be brief.").out.strip()
    path = tmp_path / "agent.yaml"
    path.write_text(call("agents", "export", agent).out.replace("Be brief.", "Be long."))
    assert call("agents", "apply", "agent.yaml", "--yes").code == 0
    assert "nothing to change" in call("agents", "apply", "agent.yaml").err
    assert '- "Be brief."' in call("agents", "diff", agent, "1").out
    assert call("agents", "activate", agent, "9").err.endswith("has no version 9.\n")
    before = call("agents").rows
    path.write_text("name: New\ndefaults: {maxRuntimeSeconds: never}\n")
    assert call("agents", "apply", "agent.yaml").code == 1
    assert call("agents").rows == before, "no agent is made of a file that is refused"


def test_what_happened_to_an_account_is_listed(call: Call, client_platform: Platform) -> None:
    [credit] = [row for row in call("ledger", "-n", "1000").rows if row[1] == "credit"]
    assert float(credit[2]) == float(credit[3]) > 0
    code = call("sessions", "link").out.strip().partition("#")[2]
    url = f"{client_platform.base_url}/session"
    headers = {"User-Agent": "Browser/1.0", "Sec-Fetch-Site": "same-origin"}
    with httpx2.Client(trust_env=False, headers=headers) as browser:
        assert browser.post(url, json={"code": code, "isConfirmed": True}).status_code == 204
    [session] = [row for row in call("sessions").rows if row[4] == "Browser/1.0"]  # other tests log in, too
    assert session[1] == "member"
    assert call("audit", "-n", "1").rows[0][2:4] == ["session.created", session[0]]
    assert call("sessions", "end", session[0]).code == 0
    assert session[0] not in [row[0] for row in call("sessions").rows]
    assert json.loads(call("audit", "-n", "1", "--json=action").out) == [{"action": "session.ended"}]


def test_a_budget_that_pauses_is_raised_and_counted(call: Call, account: Client) -> None:
    fill = {"bash": "head -c 40000 /dev/zero | tr '\\0' x; sleep 0.3"}
    steps = script(fill, fill, fill, finish())
    task_id = call(
        "run", steps, "-a", DATA, "--budget-tokens", "40000", "--pause-at-budget", "-d"
    ).out.strip()
    assert account.wait(task_id, "hibernating")["hibernationReason"] == "budget"
    assert call("update", task_id).code == 2
    assert "--budget-tokens: must be at least" in call("update", task_id, "--budget-tokens", "10").err
    raised = call("update", task_id, "--budget-tokens", "1000000", "--title", "Raised")
    assert raised.code == 0, raised.err
    assert call("wait", task_id).out == "Done as asked."
    assert "the budget is used up" in call("logs", task_id).out
    assert json.loads(call("show", task_id, "--json=title").out) == {"title": "Raised"}
    rows = call("usage", "--by", "agent,model", "--from", "2026-01-01").rows
    assert int(next(row[2] for row in rows if row[0] == DATA)) >= 1
    assert call("usage", "--csv").out.startswith("day,finished,")


def test_a_webhook_is_made_changed_tried_and_deleted(call: Call) -> None:
    assert call("webhooks", "create", "http://127.0.0.1/hook").code == 1
    made = call(
        "webhooks", "create", "https://hooks.example.com/a", "--event", "task.failed", "--description", "x"
    )
    assert made.out.startswith("whsec_")
    webhook = made.err.removeprefix("created ").strip()
    assert [webhook, "enabled", "https://hooks.example.com/a", "task.failed"] in call("webhooks").rows
    assert call("webhooks", "change", webhook, "--disable").err == f"{webhook} is disabled (client)\n"
    assert (
        call("webhooks", "change", webhook, "--enable", "--new-url", "https://hooks.example.com/b").code == 0
    )
    assert "url        https://hooks.example.com/b\n" in call("webhooks", "show", webhook).out
    assert call("webhooks", "rotate-secret", webhook, "--overlap", "60").out.startswith("whsec_")
    callback_secret = call("webhooks", "callback-secret").out
    replaced = call("webhooks", "callback-secret", "--rotate").out
    assert replaced != callback_secret
    assert replaced.startswith("whsec_")
    assert call("webhooks", "callback-secret").out == replaced
    tried = call("webhooks", "test", webhook)
    assert (tried.code, tried.out[:15]) == (1, "not delivered: ")
    assert call("webhooks", "deliveries", webhook, "--status", "failed", "--json").out == "[]\n"
    assert call("webhooks", "resend", webhook, "--hours", "1").err == "0 deliveries are sent again\n"
    assert call("webhooks", "delete", webhook).err == "error: This cannot be undone: add --yes.\n"
    assert call("webhooks", "delete", webhook, "--yes").code == 0
    gone = call("webhooks", "show", webhook)
    assert gone.code == 1
    assert "does not exist" in gone.err


def test_a_secret_of_ones_own_is_read_from_stdin(call: Call) -> None:
    secret = "whsec_" + "A" * 43 + "="
    made = call("webhooks", "create", "https://hooks.example.com/own", "--own-secret", stdin=f"{secret}\n")
    assert made.out.strip() == secret
    refused = call("webhooks", "create", "https://hooks.example.com/own", "--own-secret", stdin="hunter2\n")
    assert refused.code == 1
    assert "hunter2" not in refused.err
    assert call("webhooks", "delete", made.err.split()[-1], "--yes").code == 0


def test_a_dry_run_says_what_a_dispatch_would_do(call: Call, client: AgentContainer) -> None:
    before = client.tasks.list(limit=1).first()
    tried = call(
        "run", "x", "-a", DATA, "--dry-run", "--internet=a.example:443,b.example", "--max-runtime", "2m"
    )
    assert tried.code == 0
    rows = {row[0]: row[1:] for row in tried.rows}
    assert rows["maxRuntimeSeconds"] == ["120", "task"]
    assert re.fullmatch(r"\$[0-9.]+", rows["hold"][0])
    wrong = call("run", "x", "-a", DATA, "--dry-run", "--model", "no-such", "--provider", "nowhere", "--json")
    assert wrong.code == 1
    assert json.loads(wrong.out)["problems"]
    assert client.tasks.list(limit=1).first() == before


def test_tasks_are_found_steered_woken_and_waited_for(call: Call) -> None:
    steps = script(
        {"bash": "echo one >&2; exit 1"},
        waiting(),
        {"bash": "hibernate --message 'Please.' --for 1h"},
        finish(),
    )
    sleeper = call("run", steps, "-a", DATA, "-d", "--title", "Wake me", "--metadata", "verbs=1").out.strip()
    failing = call(
        "run", script({"say": "No."}), "-a", DATA, "-d", "--title", "Fail me", "--max-runtime", "60"
    ).out.strip()
    assert [row[0] for row in call("list", "--metadata", "verbs=1").rows] == [sleeper]
    assert [row[0] for row in call("list", "--search", "Fail me", "-a", DATA, "-n", "1").rows] == [failing]
    until(lambda: "bash" in call("logs", sleeper, "--tools").out)
    assert call("message", sleeper, "Hurry up.").err.startswith("sent as msg_")
    assert (
        "files can be sent to conversations only" in call("message", sleeper, "x", "--file", "a").err.lower()
    )
    assert call("wake", sleeper).code == 1, "it does not hibernate"
    assert call("cancel", sleeper).err == f"{sleeper} is cancelled\n"
    assert call("message", sleeper, "Too late.").code == 1
    both = call("wait", sleeper, failing)
    assert sorted(both.rows) == sorted([[sleeper, "cancelled"], [failing, "failed"]])
    assert both.code == 6
    first = json.loads(call("logs", failing, "--raw").out.splitlines()[0])
    later = call("logs", failing, "--raw", "--since", str(first["sequence"])).out.splitlines()
    assert json.loads(later[0])["sequence"] == first["sequence"] + 1
    assert call("logs", failing, "-f").code == 3
    for arguments in (("open", failing), ("show", failing, "--web")):
        assert f"/login?to=/tasks/{failing}#" in call(*arguments).out


def test_a_hibernating_task_is_woken_with_a_text(call: Call) -> None:
    steps = script({"bash": "hibernate --message 'Please approve.' --for 1h"}, finish(message="Approved."))
    task = call("run", steps, "-a", DATA, "-d").out.strip()
    until(lambda: call("show", task, "--json=status").out == '{"status": "hibernating"}\n')
    assert call("wake", task, "Go on.").code == 0
    assert call("wait", task, "--timeout", "60").out == "Approved."


def test_an_agent_is_edited_archived_and_returned_to_an_older_version(
    call: Call, monkeypatch: pytest.MonkeyPatch, client: AgentContainer
) -> None:
    agent = call("agents", "create", f"Edited {time.time()}", "--prompt", "Be brief.").out.strip()
    monkeypatch.delenv("VISUAL", raising=False)
    monkeypatch.setenv("EDITOR", "sed -i 's/Be brief[.]/Be long./'")
    refused = call("agents", "edit", agent)
    assert refused.code == 2, "nobody can be asked"
    [kept] = re.findall(r"your text is in (\S+)", refused.err)
    assert "Be long." in Path(kept).read_text()
    Path(kept).unlink()
    Path(kept).parent.rmdir()
    edited = call("agents", "edit", agent, "--yes")
    assert edited.err == f"{agent} has version 2\n"
    assert '- "Be brief."' in edited.out
    assert call("agents", "edit", agent).err == "nothing to change\n"
    monkeypatch.setenv("EDITOR", "no-such-editor")
    assert "no-such-editor cannot be started" in call("agents", "edit", agent).err
    assert call("agents", "activate", agent, "1").err == f"{agent} has version 1\n"
    assert call("agents", "archive", agent).code == 0
    assert call("run", "x", "-a", agent).code == 1
    assert call("agents", "unarchive", agent).code == 0
    assert client.agents.get(agent).archived_at is None


def test_an_edit_does_not_undo_what_somebody_else_changed_meanwhile(
    call: Call, monkeypatch: pytest.MonkeyPatch, client: AgentContainer, tmp_path: Path
) -> None:
    agent = call("agents", "create", f"Contended {time.time()}", "--prompt", "First.").out.strip()
    editor = tmp_path / "editor.sh"
    editor.write_text(
        f"{sys.executable} -m agentcontainer_client.cli api PATCH /agents/{agent} -F basePrompt=Other.\n"
        'sed -i "s/First[.]/Mine./" "$1"\n'
    )
    monkeypatch.delenv("VISUAL", raising=False)
    monkeypatch.setenv("EDITOR", f"sh {editor}")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    refused = call("agents", "edit", agent, "--yes")
    assert refused.code == 1
    assert "your text is in" in refused.err
    assert client.agents.get(agent).current_version.base_prompt == "Other."


def test_profiles_are_listed_and_chosen(
    call: Call, client_platform: Platform, account: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AGENTCONTAINER_API_KEY")
    for name in ("one", "two"):
        url = ["--url", client_platform.base_url, "--profile", name]
        assert call("login", "--with-key", *url, "--agent", DATA, stdin=f"{account.api_key}\n").code == 0
    assert [row[:2] for row in call("profiles").rows] == [["", "one"], ["*", "two"]]
    assert call("profiles", "one").code == 0
    assert [row[:2] for row in call("profiles").rows] == [["*", "one"], ["", "two"]]
    assert call("profiles", "three").code in (2, 4)
    assert account.api_key not in call("profiles").out


def test_a_provider_key_is_tried(call: Call) -> None:
    missing = call("provider-keys", "test", "nowhere")
    assert missing.code == 1
    assert "nowhere" in missing.err
    assert call("provider-keys", "set", "anthropic", stdin=f"{PROVIDER_KEY}\n").code == 0
    assert call("provider-keys", "test", "anthropic").out == "works\n"
    assert call("provider-keys", "delete", "anthropic", "--yes").code == 0


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_operators_make_suspend_export_and_delete_accounts(
    call: Call, client_platform: Platform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    operator = client_platform.account("0", provider_keys=False)
    asyncio.run(set_operator(client_platform, operator.account_id))
    monkeypatch.setenv("AGENTCONTAINER_API_KEY", operator.api_key)
    key = call("accounts", "create", "Team", "--credit", "2.5").out.strip()
    [team] = [row for row in call("accounts").rows if row[1] == "Team"]
    assert team[2] == "$2.50"
    monkeypatch.setenv("AGENTCONTAINER_API_KEY", key)
    assert call("keys", "create", "CI", "--viewer").out.startswith("ac_live_")
    [key_id] = [row[0] for row in call("keys").rows if row[1] == "CI"]
    assert call("keys", "change", key_id, "--role", "owner").code == 2
    assert call("keys", "change", key_id, "--role", "member", "--days", "3", "--tasks-per-day", "5").code == 0
    assert call("keys", "change", key_id, "--without", "expiry").code == 0
    [changed] = [row for row in call("keys").rows if row[1] == "CI"]
    assert (changed[2], changed[4]) == ("member", "never")
    monkeypatch.setenv("AGENTCONTAINER_API_KEY", operator.api_key)
    changed_limits = call("accounts", "change", team[0], "--running-tasks", "3", "--max-priority", "none")
    assert "runningTasks 3" in changed_limits.err
    assert call("accounts", "change", team[0], "--queued-tasks", "few").code == 2
    assert call("accounts", "credit", team[0], "1").code == 0
    assert "suspended" in call("accounts", "suspend", team[0]).err
    assert call("accounts", "delete", team[0], "--yes").code == 1
    assert call("accounts", "cancel-tasks", team[0], "--yes").code == 0
    path = call("accounts", "export", team[0], str(tmp_path)).out.strip()
    with tarfile.open(path) as archive:
        assert "account.json" in archive.getnames()
    assert call("accounts", "delete", team[0], "--yes").code == 0
    assert "account.deleted" in call("installation", "audit", "-n", "1").out
    assert "PostgreSQL" in call("installation").out
    assert len(call("installation", "runners").rows) == 1
    assert call("installation", "queue").code == 0
    assert ["AGENTCONTAINER_SECRET_KEY", "(hidden)"] in [
        row[:2] for row in call("installation", "settings").rows
    ]


async def set_operator(platform: Platform, account_id: str) -> None:
    async with db.pool(url_of(platform.data_dir), max_size=1) as pool:
        await administration.set_operator(pool, account_id, is_operator=True)
