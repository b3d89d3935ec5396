"""Builds Pi's arguments, environment and settings files."""

import json
from typing import cast

from agentcontainer import json_syntax
from agentcontainer.sandbox.contract import INSIDE_RUNTIME, INSIDE_WORKSPACE

TASK_FOLDER = "task"  # below the workspace
HOME = f"{INSIDE_WORKSPACE}/{TASK_FOLDER}"  # of Pi, and its working directory
PI_FOLDER = ".pi"  # below the workspace; contains Pi's state, which checkpoints include
FOLDERS = ("task", PI_FOLDER)  # below the workspace; Pi needs both
SESSIONS_FOLDER = f"{PI_FOLDER}/sessions"
SKILLS_FOLDER = f"{PI_FOLDER}/agent/skills"
MAX_RETRIES = 3
RETRY_BASE_MS = 500  # exponential backoff; a provider that stays down fails the task within 4 seconds
NO_TIMEOUT = 0  # the gateway limits how long a provider is silent, and its waits for one may be longer


def argv(provider: str, model: str, session_id: str, system_prompt: str) -> list[str]:
    """Pi's command. A session with this id is resumed if there is one.

    Pi must know `model` from its catalogue or from models.json; otherwise it takes the most similar name that it knows.
    """
    pi = f"{INSIDE_RUNTIME}/pi/dist/bundle/cli.js"
    command = [f"{INSIDE_RUNTIME}/bin/node", "--import", f"{INSIDE_RUNTIME}/forward.mjs", pi, "--mode", "rpc"]
    command += ["--provider", provider, "--model", model]
    command += ["--session-dir", f"{INSIDE_WORKSPACE}/{SESSIONS_FOLDER}", "--session-id", session_id]
    command += ["--append-system-prompt", system_prompt, "--no-extensions", "--no-approve"]
    return [*command, "--extension", f"{INSIDE_RUNTIME}/pi-extension.mjs"]


def env(weak_model: str | None = None) -> dict[str, str]:
    """The whole environment of Pi and of the commands that it runs."""
    variables = {
        "PATH": f"{INSIDE_RUNTIME}/bin:/usr/local/bin:/usr/bin:/bin",
        "HOME": HOME,
        "LANG": "C.UTF-8",
        "TERM": "dumb",
        "PI_CODING_AGENT_DIR": f"{INSIDE_WORKSPACE}/{PI_FOLDER}/agent",
        "PI_OFFLINE": "1",
        "PI_TELEMETRY": "0",
        "PI_SKIP_VERSION_CHECK": "1",
        "GIT_CONFIG_SYSTEM": f"{INSIDE_RUNTIME}/gitconfig",  # names an author; the agent's own settings win
        "NODE_COMPILE_CACHE": f"{INSIDE_RUNTIME}/cache",
        "NODE_COMPILE_CACHE_PORTABLE": "1",  # the cache was filled under another path
    }
    if weak_model is not None:
        variables["AGENTCONTAINER_WEAK_MODEL"] = weak_model
    return variables


def settings_files(models_json: str) -> dict[str, str]:
    """The files that Pi reads when it starts: path below the workspace → content."""
    settings = {
        "retry": {"maxRetries": MAX_RETRIES, "baseDelayMs": RETRY_BASE_MS},
        "httpIdleTimeoutMs": NO_TIMEOUT,
        "steeringMode": "all",  # all waiting steering messages go into one model request
        "transport": "sse",  # the gateway does not speak WebSocket
        "cacheWarming": "off",  # warming makes model requests, which cost money
        "defaultProjectTrust": "never",
    }
    return {
        f"{PI_FOLDER}/agent/models.json": models_json,
        f"{PI_FOLDER}/agent/settings.json": json.dumps(settings, indent=2),
    }


def is_session(start: bytes, session_id: str) -> bool:
    """Whether a file with this start is a session with this id, with at least one entry."""
    header, _, entries = start.partition(b"\n")
    try:
        decoded = json_syntax.loads(header.decode(errors="replace"), is_strict=True, max_values=1000)
    except ValueError:
        return False
    fields = cast("dict[str, object]", decoded) if isinstance(decoded, dict) else {}
    return fields.get("type") == "session" and fields.get("id") == session_id and entries.startswith(b"{")
