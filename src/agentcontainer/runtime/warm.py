"""Fills node's compile cache by running Pi once, so that no sandbox has to compile Pi's code again."""

import json
import subprocess
import tempfile
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from agentcontainer.errors import SettingsError

START_SECONDS = 120
INSIDE_UID = 1000  # node keeps a cache for each uid, in a folder named by it
# One model for each wire protocol: Pi loads the code of one at its first request.
MODELS = (("anthropic", "claude-sonnet-4-6"), ("openai", "gpt-5.2"), ("openrouter", "qwen/qwen3-coder"))
NOWHERE = "http://127.0.0.1:9"  # the discard port: refuses at once
PROMPT = b'{"type":"prompt","message":"hello"}\n'


def warm_compile_cache(runtime: Path, commands: Sequence[str]) -> None:
    """Fill `runtime/cache` for the user inside sandboxes. The cache is valid at every path of the runtime.

    Raises:
        SettingsError: Pi or one of our commands does not start here.
    """
    node = str(runtime / "bin/node")
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        env = _home(runtime, home)
        for name in commands:
            command = [node, str(runtime / "bin" / name), "--help"]
            subprocess.run(command, env=env, stdout=subprocess.DEVNULL, check=True)
        for provider, model in MODELS:
            _run_pi_once([node, *_pi(runtime, provider, model)], env, home)
    for cache in list((runtime / "cache").iterdir()):
        cache.rename(cache.with_name(f"{cache.name.rpartition('-')[0]}-{INSIDE_UID}"))


def _home(runtime: Path, home: Path) -> dict[str, str]:
    providers = {provider: {"baseUrl": NOWHERE, "apiKey": "none"} for provider, _ in MODELS}
    (home / "models.json").write_text(json.dumps({"providers": providers}))
    (home / "settings.json").write_text(json.dumps({"retry": {"enabled": False}}))
    return {
        "PATH": "/usr/bin:/bin",
        "HOME": str(home),
        "TMPDIR": str(home),  # Pi's loader of extensions runs code it finds cached there
        "PI_CODING_AGENT_DIR": str(home),
        "PI_OFFLINE": "1",
        "PI_TELEMETRY": "0",
        "PI_SKIP_VERSION_CHECK": "1",
        "NODE_COMPILE_CACHE": str(runtime / "cache"),
        "NODE_COMPILE_CACHE_PORTABLE": "1",
    }


def _pi(runtime: Path, provider: str, model: str) -> list[str]:
    command = [
        str(runtime / "pi/dist/bundle/cli.js"),
        "--mode",
        "rpc",
        "--provider",
        provider,
        "--model",
        model,
    ]
    return [*command, "--no-session", "--no-extensions", "--extension", str(runtime / "pi-extension.mjs")]


def _run_pi_once(command: list[str], env: Mapping[str, str], home: Path) -> None:
    """Start Pi, let a model request of it fail, and let it exit: node writes the cache when it exits."""
    with (home / "stderr").open("w+b") as stderr:
        pi = subprocess.Popen(
            command, cwd=home, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr
        )
        watchdog = threading.Timer(START_SECONDS, pi.kill)
        watchdog.start()
        try:
            with pi:
                assert pi.stdin is not None
                assert pi.stdout is not None
                with suppress(BrokenPipeError):  # it has ended; its stderr says why
                    pi.stdin.write(PROMPT)
                    pi.stdin.flush()
                is_settled = any(b'"agent_settled"' in line for line in pi.stdout)
                with suppress(BrokenPipeError):
                    pi.stdin.close()
        finally:
            watchdog.cancel()
        if not is_settled or pi.returncode != 0:
            stderr.seek(0)
            raise SettingsError(f"Pi does not run here: {stderr.read()[-500:].decode(errors='replace')}")
