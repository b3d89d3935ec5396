"""`agentcontainer demo`: runs one task from upload to download, in a temporary installation."""

import asyncio
import contextlib
import os
import shutil
import tempfile
from collections.abc import Coroutine
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from agentcontainer import settings
from agentcontainer.cli import data_dir as data_folder
from agentcontainer.cli.error_lines import one_line
from agentcontainer.cli.options import load
from agentcontainer.cli.terminal import Terminal
from agentcontainer.errors import AgentContainerError, SettingsError
from agentcontainer.providers import OFFLINE, PROVIDERS

if TYPE_CHECKING:
    from agentcontainer_client import AsyncAgentContainer, AsyncTask

AGENT = "agt_standard_data"
INSTRUCTIONS = """\
Analyse task_files/sales.csv, the orders of a small shop in the first quarter of 2026.

Write report.md, one page for the owner of the shop: what the file holds, the main numbers (revenue for each
region and month, best products), and what is wrong with the data.

Then finish with report.md, and give the main result in the finish message.
"""
TASK_SECONDS = 900
MAX_TEMPORARY = 40  # characters; the folder will contain Unix sockets, whose paths must be short
TEMPORARY_PREFIX = "ac-demo-"
KEPT_PREFIX = "ac-kept-demo-"  # no other demo removes it
OUTPUT = Path("demo-output")
# Settings that identify an installation: the demo must not use the one that is configured here.
NOT_INHERITED = ("DATABASE_URL", "STORAGE_URL", "PUBLIC_URL", "SECRET_KEY", "REGION", "CAPACITY")


@dataclass(frozen=True)
class Model:
    """The model that the agent uses: a provider's with a key, or the offline script without one."""

    provider: str = OFFLINE.name
    key: str | None = None

    @property
    def model(self) -> str | None:
        return None if self.key is None else PROVIDERS[self.provider].demo_model


def demo(
    provider: Annotated[
        str | None,
        typer.Option(metavar="anthropic|openai|openrouter", help="Use a model of this provider."),
    ] = None,
    data_dir: Annotated[
        str | None,
        typer.Option(metavar="PATH", help="New or empty folder for all data; default: a temporary one."),
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the data folder.")] = False,
) -> None:
    """Run one task from upload to download, in a fresh installation that is removed afterwards."""
    console = Terminal()
    key = None if provider is None else _key_of(provider)
    folder = _folder(data_dir, is_kept=keep)
    try:
        asyncio.run(_cancelled_by_signals(_demo(console, folder, provider, key)))
    except asyncio.CancelledError:
        raise typer.Exit(130) from None
    finally:
        if keep:
            console.print(f"The data folder is kept: {folder}")
        else:
            shutil.rmtree(folder)


def _folder(data_dir: str | None, *, is_kept: bool) -> Path:
    """The folder of the demo's installation, which is empty."""
    if data_dir is None:
        temporary = tempfile.gettempdir()
        parent = Path(temporary if len(temporary) <= MAX_TEMPORARY else "/tmp")  # noqa: S108
        for abandoned in parent.glob(f"{TEMPORARY_PREFIX}*"):  # by a demo that was killed
            data_folder.remove_if_abandoned(abandoned)
        return Path(tempfile.mkdtemp(prefix=KEPT_PREFIX if is_kept else TEMPORARY_PREFIX, dir=parent))
    folder = load(data_dir=data_dir).data_dir
    data_folder.prepare(folder)
    if any(folder.iterdir()):
        raise SettingsError(f"--data-dir {folder} is not empty. Name a new or empty folder for the demo.")
    return folder


def _key_of(provider: str) -> str:
    providers = _real_providers()
    if provider not in providers:
        raise SettingsError(f"--provider must be one of {', '.join(providers)}, not {provider}.")
    variable = providers[provider]
    key = os.environ.get(variable, "").strip()
    if not key:
        raise SettingsError(f"{variable} is not set; without --provider the offline scripted model is used.")
    return key


def _real_providers() -> dict[str, str]:
    """The providers that can be used with a key, and the environment variable that holds it."""
    return {
        provider.name: provider.key_variable
        for provider in PROVIDERS.values()
        if provider.key_variable is not None
    }


async def _cancelled_by_signals(work: Coroutine[Any, Any, None]) -> None:
    running = asyncio.create_task(work)
    from agentcontainer.cli.up import stop_signals

    for number in stop_signals():
        asyncio.get_running_loop().add_signal_handler(number, running.cancel)
    await running


async def _demo(console: Console, folder: Path, provider: str | None, key: str | None) -> None:
    from agentcontainer.cli.installation import running
    from agentcontainer.cli.up import say
    from agentcontainer_client import AsyncAgentContainer

    async with contextlib.AsyncExitStack() as stack:
        stack.enter_context(data_folder.up_lock(folder))
        with console.status("Starting PostgreSQL, the API and a runner …"):
            model = _model(console, provider, key)
            chosen = _settings(folder)
            # The key is sent through the API, as by any client; no process of the installation inherits it.
            keys = _real_providers().values()
            environment = {name: value for name, value in os.environ.items() if name not in keys}
            started = await stack.enter_async_context(running(chosen, environment, say))
        console.print(f"AgentContainer is up at {started.base_url}, in a temporary data folder.")
        client = await stack.enter_async_context(
            AsyncAgentContainer(started.base_url, started.api_key, timeout=30)
        )
        await _run_task(console, client, model)
        console.print("[dim]Stopping everything …[/]")


def _model(console: Console, provider: str | None, key: str | None) -> Model:
    if provider is not None and key is not None:
        console.print(f"Model: {PROVIDERS[provider].demo_model} of {provider}, with your key.")
        return Model(provider, key)
    console.print("Model: [bold yellow]none[/], the offline script does a fixed small job instead, no AI.")
    console.print(
        f"       For a real one set a key and name its provider: --provider {'|'.join(_real_providers())}"
    )
    return Model()


def _settings(folder: Path) -> settings.Settings:
    for name in NOT_INHERITED:
        os.environ.pop(settings.ENV_PREFIX + name, None)
    return settings.load(data_dir=folder, host="127.0.0.1", port=0, log_level="warning", offline_model="on")


async def _follow(console: Console, task: "AsyncTask") -> "AsyncTask":
    from agentcontainer_client import WaitTimedOut
    from agentcontainer_client.cli import event_lines

    async with task.stream(deltas=False, timeout=TASK_SECONDS) as stream:
        async for event in stream:
            if (shown := event_lines.line(event, task.created_at)) is not None:
                console.print(shown[0], style=shown[1] or None, markup=False)
    try:
        return await task.wait(1, raise_on_failure=False)
    except WaitTimedOut:
        raise AgentContainerError(f"The task did not end within {TASK_SECONDS} s.") from None


def _output_folder(console: Console) -> Path:
    """Where the outputs are stored. Writing is tried before the task runs, so that its outputs are not lost."""
    try:
        OUTPUT.mkdir(exist_ok=True)
        with tempfile.TemporaryFile(dir=OUTPUT):
            return OUTPUT.absolute()
    except OSError as error:
        folder = Path(tempfile.mkdtemp(prefix="demo-output-"))
        console.print(f"{OUTPUT} cannot be written here ({error.strerror}): {folder} is used.", markup=False)
        return folder


async def _run_task(console: Console, client: "AsyncAgentContainer", model: Model) -> None:
    output = _output_folder(console)
    with as_file(files("agentcontainer.cli") / "demo_data" / "sales.csv") as csv:
        file = await client.files.upload(csv, content_type="text/csv")
        console.print(f"Uploaded {csv.name}, {file.size_bytes} bytes, as {file.id}.")
    task = await client.tasks.create(
        INSTRUCTIONS,
        agent=AGENT,
        files=[file],
        provider=model.provider,
        model=model.model,
        provider_api_key=model.key,
    )
    console.print(f"Dispatched task {task.id} to {AGENT}:\n")
    with console.status("The agent works …"):
        task = await _follow(console, task)
    if task.status != "finished":
        raise AgentContainerError(f"The task {task.status} ({task.error_code}): {task.error}")
    saved = await task.download_all(output)
    console.print(f"\n[bold green]{(task.completion or 'finished').capitalize()}.[/] ", end="")
    console.print(one_line(task.result or ""), markup=False)
    console.print(
        f"Container time {task.container_minutes * 60:.0f} s, "
        f"{task.token_usage.input_tokens} tokens in, {task.token_usage.output_tokens} out. Downloaded:"
    )
    for path in saved:
        console.print(f"  {one_line(str(path.absolute()))}  {path.stat().st_size} bytes", markup=False)
