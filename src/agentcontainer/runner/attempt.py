"""The life of one attempt at a task, read top to bottom. READ THIS FIRST.

A claim is held; the workspace is laid out, the gateway and control sockets listen, the sandbox starts with Pi in it,
Pi is prompted, and then the first thing that ends the attempt wins: an accepted `finish`, Pi's own end, the time
limit, or the supervisor. `tasks.service.end` gives that end its meaning, and whatever happened, the sandbox, the
sockets and the folder are gone when `run` returns. A lost claim writes nothing.
"""

import asyncio
import contextlib
import logging
import unicodedata
from collections.abc import Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from agentcontainer import db
from agentcontainer.db import Pool
from agentcontainer.domain.accounts import service as accounts
from agentcontainer.domain.accounts.vault import Vault
from agentcontainer.domain.files import service as files
from agentcontainer.domain.files.blobs import Blobs
from agentcontainer.domain.models import catalogue
from agentcontainer.domain.tasks import service, store
from agentcontainer.domain.tasks.model import Claim, Output, Task
from agentcontainer.domain.tasks.outputs import Declared
from agentcontainer.domain.tasks.repositories import opened
from agentcontainer.domain.tasks.state import EndReason
from agentcontainer.errors import SettingsError
from agentcontainer.runner import pi_launch, repositories, skills, workspace
from agentcontainer.runner.collect import collect
from agentcontainer.runner.control import Control, Finish
from agentcontainer.runner.conversation import Conversation, Ending
from agentcontainer.runner.inputs import InputUnavailable
from agentcontainer.runner.log import ClaimLost, EventLog
from agentcontainer.runner.models import ModelAccess, models_of, weak_model_of
from agentcontainer.runtime.harness import SYSTEM_PROMPT, harness
from agentcontainer.sandbox.bubblewrap import Bubblewrap
from agentcontainer.sandbox.contract import Limits, Spec
from agentcontainer.settings import Settings

logger = logging.getLogger(__name__)

MAX_EVENT_CHARACTERS = 8000


@dataclass(frozen=True)
class Tools:
    """What every attempt of a runner works with."""

    settings: Settings
    pool: Pool
    vault: Vault
    blobs: Blobs
    sandboxes: Bubblewrap
    client: aiohttp.ClientSession
    runtime: Path
    folder: Path


class Attempt:
    """One attempt, from its claim to its end."""

    def __init__(self, tools: Tools, claim: Claim) -> None:
        self._tools = tools
        self._claim = claim
        self._name = f"{claim.task_id}-{claim.attempt}"
        self._root = tools.folder / self._name
        self._log = EventLog(tools.pool, claim)
        self._ending: asyncio.Future[Ending] = asyncio.get_running_loop().create_future()
        self._is_in_time: asyncio.Future[bool] = asyncio.get_running_loop().create_future()  # for a `finish`
        self.is_platforms_fault = False
        self._claim_lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def stop(self, reason: EndReason, message: str | None = None) -> None:
        """End for this reason, unless something else ended it first."""
        self._settle(Ending(reason, message))

    def drop(self) -> None:
        """The claim is lost: end without a word to the database."""
        if not self._claim_lost.done():
            self._claim_lost.set_result(None)

    async def run(self) -> None:
        """Live through the attempt. Raises only when cancelled; what is then left, the next runner sweeps."""
        try:
            async with contextlib.AsyncExitStack() as stack:
                try:
                    await self._commit(await self._live(stack))
                except ClaimLost:
                    logger.info("%s: the claim is lost", self._name)
                except Exception:
                    self.is_platforms_fault = True
                    logger.exception("%s: the platform failed", self._name)
                    await self._commit(
                        Ending(EndReason.PLATFORM_FAULT, "The platform could not run the container.")
                    )
                finally:
                    if not self._is_in_time.done():
                        self._is_in_time.set_result(False)
        except ClaimLost:
            logger.info("%s: the claim is lost", self._name)
        except Exception:
            # The database was away too long, or the clean-up failed: the reconciler and the sweep take over.
            logger.exception("%s: left to the reconciler", self._name)

    async def _live(self, stack: contextlib.AsyncExitStack) -> Ending:
        """Everything from the claim to what ends the attempt; what was opened is closed by `stack`."""
        tools, claim = self._tools, self._claim
        task = await db.patiently(lambda: store.get(tools.pool, claim.task_id))
        if task is None:
            raise ClaimLost
        try:
            key = await db.patiently(lambda: self._provider_key(task))
        except SettingsError as error:
            return Ending(EndReason.PROVIDER_KEY_MISSING, str(error))
        if key is None:
            return Ending(EndReason.PROVIDER_KEY_MISSING, _key_missing(task.execution.provider))
        stack.push_async_callback(workspace.remove, self._root)
        if (ending := await self._prepared(task)) is not None:
            return ending
        sockets = stack.enter_context(workspace.socket_folder(self._root))
        models = ModelAccess(tools.settings, tools.pool, tools.client, claim, task, key)
        gateway = await models.open(stack, sockets / "gateway.sock")
        await self._open_control(stack, task, sockets)
        sandbox = await tools.sandboxes.start(self._spec(task), self._argv(task))
        stack.push_async_callback(sandbox.destroy)
        if not await db.patiently(lambda: service.start_container(tools.pool, claim)):
            raise ClaimLost
        conversation = Conversation(task, sandbox, gateway, self._log)
        return await self._first_end(conversation, task)

    async def _first_end(self, conversation: Conversation, task: Task) -> Ending:
        """Wait for whatever ends the attempt first."""
        sources: tuple[Coroutine[Any, Any, Ending | None], ...] = (
            conversation.run(),
            self._limit(conversation, task),
            self._log.run(),
        )
        running = [asyncio.create_task(source) for source in sources]
        try:
            waiting = [self._claim_lost, self._ending, *running]
            done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for source in running:
                if source in done and (ending := source.result()) is not None:
                    self._settle(ending)
            if self._claim_lost.done():
                raise ClaimLost
            return await self._ending
        finally:
            for source in running:
                source.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    async def _limit(self, conversation: Conversation, task: Task) -> Ending:
        """The soft and the hard time limit; both count charged container time, also that of earlier attempts."""
        used = task.container_micro_seconds / 1_000_000
        soft, hard = task.execution.soft_finish_after_seconds, task.execution.max_runtime_seconds
        if soft is not None:
            await asyncio.sleep(max(0.0, soft - used))
            await conversation.wrap_up(hard - soft)
            used = max(used, soft)
        await asyncio.sleep(max(0.0, hard - used))
        return Ending(
            EndReason.MAX_RUNTIME_EXCEEDED, f"The task reached its limit of {hard} seconds of container time."
        )

    async def _commit(self, ending: Ending) -> None:
        """Give the end its meaning in the database, after every event before it.

        Raises:
            ClaimLost: the task is no longer ours.
        """
        self._settle(ending)  # from here on a `finish` comes too late
        await self._log.flush()
        message = None if ending.message is None else _plain(ending.message)

        async def commit() -> bool:
            async with db.transaction(self._tools.pool) as connection:
                return await service.end(
                    connection, self._tools.settings, self._claim.task_id, ending.reason,
                    attempt=self._claim.attempt, message=message, outputs=ending.outputs,
                )  # fmt: skip

        committing = asyncio.create_task(db.patiently(commit))
        await asyncio.wait([committing, self._claim_lost], return_when=asyncio.FIRST_COMPLETED)
        if not committing.done():  # the database is away, and others may soon start this task
            committing.cancel()
            await asyncio.gather(committing, return_exceptions=True)
            raise ClaimLost
        if not committing.result():
            raise ClaimLost
        if not self._is_in_time.done():
            self._is_in_time.set_result(ending is self._ending.result())

    def _settle(self, ending: Ending) -> bool:
        """Make this the end; False when there is one already."""
        if self._ending.done():
            return False
        self._ending.set_result(ending)
        return True

    async def _prepared(self, task: Task) -> Ending | None:
        """Lay out the workspace, which may take minutes; what ends the attempt meanwhile comes back."""
        preparing = asyncio.create_task(self._prepare(task))
        try:
            waiting = [self._claim_lost, self._ending, preparing]
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            if self._claim_lost.done():
                raise ClaimLost
            if self._ending.done():
                return self._ending.result()
            preparing.result()
            return None
        except InputUnavailable as fault:
            return Ending(EndReason.INPUT_UNAVAILABLE, str(fault))
        finally:
            preparing.cancel()
            await asyncio.gather(preparing, return_exceptions=True)

    async def _prepare(self, task: Task) -> None:
        tools, execution = self._tools, task.execution
        inputs = await db.patiently(lambda: files.list_inputs(tools.pool, task.id))
        references = await db.patiently(lambda: files.list_references(tools.pool, task.agent_version_id))
        texts = {
            f"{workspace.TASK_FOLDER}/TASK.md": task.instructions,
            f"{workspace.TASK_FOLDER}/HARNESS.md": harness(
                execution.output_policy,
                execution.internet_access,
                execution.max_runtime_seconds,
                execution.soft_finish_after_seconds,
            ),
            **pi_launch.settings_files(catalogue.pi_models_json(execution.provider, models_of(task))),
        }
        await workspace.prepare(self._root, texts, inputs, references, tools.blobs)
        await self._bring_skills(task)
        await self._bring_repositories(task)

    async def _bring_skills(self, task: Task) -> None:
        tools = self._tools
        if task.skills:
            archives = await db.patiently(lambda: files.list_skills(tools.pool, task.id))
            if len(archives) < len(task.skills):
                raise InputUnavailable("A skill's file was deleted.")
            target = self._root / "workspace" / pi_launch.SKILLS_FOLDER
            await skills.place(archives, tools.blobs, self._root, target)

    async def _bring_repositories(self, task: Task) -> None:
        tools, settings = self._tools, self._tools.settings
        if task.input_repositories:
            cloning = repositories.Cloning(
                tools.sandboxes, tools.runtime, self._limits(), tools.folder, self._name,
                settings.max_repository_bytes, settings.allow_private_repositories,
            )  # fmt: skip
            wanted = opened(task.input_repositories, tools.vault, task.id)
            target = self._root / "workspace" / workspace.TASK_FOLDER / "task_files"
            await repositories.place(cloning, wanted, target)

    async def _open_control(self, stack: contextlib.AsyncExitStack, task: Task, sockets: Path) -> None:
        settings, policy = self._tools.settings, task.execution.output_policy

        async def take(cwd: str, declared: list[Declared]) -> list[Output]:
            folder = self._root / "workspace"
            return await collect(
                folder, cwd, declared, policy, self._tools.blobs, task.id, settings.max_output_bytes
            )

        def refused(message: str) -> None:
            self._log.add("finish.rejected", {"message": message[:MAX_EVENT_CHARACTERS]})

        control = Control(policy, settings.max_output_files, take, self._finish, refused)
        await control.start(sockets / "control.sock")
        stack.push_async_callback(control.close)

    async def _finish(self, finish: Finish) -> bool:
        """An accepted `finish`: the agent hears of it once it is in the database."""
        reason = EndReason(finish.completion)
        if not self._settle(Ending(reason, finish.message, tuple(finish.outputs))):
            return False
        return await self._is_in_time

    async def _provider_key(self, task: Task) -> str | None:
        tools = self._tools
        sealed = await store.provider_key_ciphertext(tools.pool, task.id)
        if sealed is not None:
            return tools.vault.open(sealed, task.id)
        return await accounts.open_provider_key(
            tools.pool, tools.vault, task.account_id, task.execution.provider
        )

    def _spec(self, task: Task) -> Spec:
        env = pi_launch.env(weak_model_of(task))
        return Spec(self._name, self._root, self._tools.runtime, self._limits(), env, pi_launch.HOME)

    def _limits(self) -> Limits:
        settings = self._tools.settings
        return Limits(settings.sandbox_memory_bytes, settings.sandbox_pids, settings.sandbox_cpus)

    def _argv(self, task: Task) -> list[str]:
        model, weak = models_of(task)[0], weak_model_of(task)
        system_prompt = f"{task.base_prompt}\n\n{SYSTEM_PROMPT}".strip()
        return pi_launch.argv(task.execution.provider, model, task.id, system_prompt, weak)


def _plain(text: str) -> str:
    """The text without control characters: an agent's words are read in terminals."""
    return "".join(
        " " if unicodedata.category(one) in ("Cc", "Cs") and one not in "\n\t" else one for one in text
    )


def _key_missing(provider: str) -> str:
    return (
        f"There is no API key for {provider}: store one with PUT /api/v1/provider-keys/{provider}, "
        "or pass overrides.providerApiKey."
    )
