"""Starts the container of an attempt: its image, workspace, sockets, sandbox and agent process."""

import contextlib
import time
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from agentcontainer import crash, db
from agentcontainer.domain.tasks import budgets, events, service
from agentcontainer.domain.tasks.event_data import ContextLost, EgressRefused
from agentcontainer.domain.tasks.state import EndReason
from agentcontainer.errors import SettingsError
from agentcontainer.gateway.app import Gateway
from agentcontainer.images import starting
from agentcontainer.images.access import Access
from agentcontainer.images.keeping import Images
from agentcontainer.images.starting import Image
from agentcontainer.providers import PROVIDERS, Provider
from agentcontainer.redaction import encodings_of
from agentcontainer.runner.agent import launch
from agentcontainer.runner.agent.model_access import ModelAccess, Upstream, upstream
from agentcontainer.runner.agent.session import Session
from agentcontainer.runner.agent.steering import Steering
from agentcontainer.runner.agent_commands import AgentCommands
from agentcontainer.runner.context import AttemptContext
from agentcontainer.runner.control import Control
from agentcontainer.runner.ending import ClaimLost, Ended, Ending
from agentcontainer.runner.resource_limits import OUT_OF_MEMORY, ResourceLimits
from agentcontainer.runner.services import IMAGES_FOLDER, Services
from agentcontainer.runner.workspace import folders, full_disk
from agentcontainer.runner.workspace.checkpointer import Checkpointer
from agentcontainer.runner.workspace.disk_usage import DiskWatch
from agentcontainer.runner.workspace.layout import Layout
from agentcontainer.runner.workspace.partial_outputs import PartialOutputs
from agentcontainer.sandbox import volume
from agentcontainer.sandbox.bubblewrap import Sandbox
from agentcontainer.sandbox.contract import Internet, Spec
from agentcontainer.sandbox.destinations import Destinations
from agentcontainer.sandbox.host_uids import UidLease
from agentcontainer.sandbox.http_socket import socket_folder
from agentcontainer.telemetry import metrics, names


@dataclass(frozen=True)
class Container:
    """A started container: its sandbox, workspace and agent process, and the checkpointer of its workspace."""

    sandbox: Sandbox
    layout: Layout
    session: Session
    checkpointer: Checkpointer


async def start(context: AttemptContext, stack: contextlib.AsyncExitStack, steering: Steering) -> Container:
    """Start the container of an attempt, as a part of its trace. Arguments and exceptions as of `_start`."""
    with context.trace.measured(names.PREPARE):
        return await _start(context, stack, steering)


async def _start(context: AttemptContext, stack: contextlib.AsyncExitStack, steering: Steering) -> Container:
    """Start the container of an attempt. `stack` closes all its parts in reverse order, also if a later one fails.

    Raises:
        Ended: the attempt ended meanwhile, or there is no provider key. ClaimLost: the claim is lost.
        InputUnavailable, DiskFull, ImageFault, CheckpointCorrupt: an input, image or checkpoint cannot be used.
    """
    services = context.services
    began_at = time.perf_counter()
    destination = await _upstream(context)
    log_size = await db.retry_while_unavailable(lambda: events.log_size(services.pool, context.task.id))
    context.log.begin(log_size, encodings_of(destination.key))

    stack.push_async_callback(folders.remove, context.root)
    with metrics.ATTEMPT_START_SECONDS.labels("image").time():
        image = await context.outcome.race(_image(context, stack))
    lease = await services.sandboxes.lease()
    if lease is not None:
        stack.callback(lease.release)
    with metrics.ATTEMPT_START_SECONDS.labels("workspace").time():
        layout = await _fill_workspace(context, lease, destination.provider)

    sockets = stack.enter_context(socket_folder(context.root / "sockets"))
    gateway = await _open_gateway(context, destination, stack, sockets)
    commands = AgentCommands(context)
    control = await _open_control(context, commands, stack, sockets)
    stack.push_async_callback(PartialOutputs(services, context.claim, context.root).store)

    with metrics.ATTEMPT_START_SECONDS.labels("sandbox").time():
        sandbox = await _start_sandbox(context, image, lease, destination.provider, stack)
    session = _open_session(context, sandbox, gateway, control, steering, stack)
    _watch(context, sandbox, lease, session)
    checkpointer = Checkpointer(services, context.claim, layout, sandbox, context.trace)
    commands.allow_hibernation(checkpointer)
    metrics.ATTEMPT_START_SECONDS.labels("total").observe(time.perf_counter() - began_at)
    return Container(sandbox, layout, session, checkpointer)


async def _upstream(context: AttemptContext) -> Upstream:
    services, task = context.services, context.task
    try:
        destination = await db.retry_while_unavailable(lambda: upstream(services, task))
    except SettingsError as error:
        raise Ended(Ending(EndReason.PROVIDER_KEY_MISSING, str(error))) from error
    if destination is None:
        message = _missing(task.execution.provider)
        if services.settings.has_offline_model:
            message += (
                ' To try the platform without a key, use {"provider": "offline"}: an offline script, no AI.'
            )
        raise Ended(Ending(EndReason.PROVIDER_KEY_MISSING, message))
    url_fault = Destinations.of(services.settings).url_fault
    if destination.endpoint and (fault := url_fault(destination.base_url)):
        message = f"The baseUrl of {task.execution.provider} {fault}."
        raise Ended(Ending(EndReason.PROVIDER_ERROR, message))
    return destination


def _missing(provider: str) -> str:
    if provider in PROVIDERS:
        return (
            f"There is no API key for {provider}: store one with PUT /api/v1/provider-keys/{provider}, "
            "or pass overrides.providerApiKey."
        )
    return f"There is no endpoint {provider} any more: store it with PUT /api/v1/provider-keys/{provider}."


def _subject(context: AttemptContext) -> str:
    """The text from which a model writes the task's title."""
    turn = context.mode.turn
    return context.task.instructions or ("" if turn is None else turn.content)


async def _image(context: AttemptContext, stack: contextlib.AsyncExitStack) -> Image | None:
    """The image that the agent names, kept on this host until the attempt ends; None if it names none."""
    name = context.task.container_image
    if name is None:
        return None
    return await stack.enter_async_context(_images(context.services).use(name))


def _images(services: Services) -> Images:
    settings = services.settings
    return Images(
        services.sandboxes, Access.of(settings), settings.data_dir / IMAGES_FOLDER, services.folder,
        services.runtime, services.limits, launch.environment(), settings.max_image_bytes,
    )  # fmt: skip


async def _fill_workspace(context: AttemptContext, lease: UidLease | None, provider: Provider) -> Layout:
    layout = Layout(context.services, context.task, context.name, provider, context.trace)
    await context.outcome.race(layout.run(lease))
    if layout.has_lost_context:
        context.log.add(ContextLost())
    return layout


async def _open_gateway(
    context: AttemptContext, provider: Upstream, stack: contextlib.AsyncExitStack, sockets: Path
) -> Gateway:
    models = ModelAccess(context.services, context.claim, context.task, provider, context.log, context.trace)
    return await models.open(stack, sockets / "gateway.sock", _subject(context))


async def _open_control(
    context: AttemptContext, commands: AgentCommands, stack: contextlib.AsyncExitStack, sockets: Path
) -> Control:
    settings = context.services.settings
    control = Control(
        commands,
        max_files=settings.max_output_files,
        max_hibernation=timedelta(days=settings.max_hibernation_days),
    )
    await control.start(sockets / "control.sock")
    stack.push_async_callback(control.close)
    return control


async def _start_sandbox(
    context: AttemptContext,
    image: Image | None,
    lease: UidLease | None,
    provider: Provider,
    stack: contextlib.AsyncExitStack,
) -> Sandbox:
    """Start the agent process in a sandbox, and record that the container's time counts from now."""
    services = context.services
    command = launch.command(context.task, provider)
    sandbox = await starting.start(services.sandboxes, _spec(context, image), command, lease)
    metrics.CONTAINER_TIME.change(1)
    stack.callback(metrics.CONTAINER_TIME.change, -1)
    stack.push_async_callback(sandbox.destroy)
    context.outcome.destroy_when_claim_lost(sandbox)
    if not await db.retry_while_unavailable(lambda: service.start_container(services.pool, context.claim)):
        raise ClaimLost
    crash.reach("started")
    return sandbox


def _open_session(
    context: AttemptContext, sandbox: Sandbox, gateway: Gateway, control: Control, steering: Steering,
    stack: contextlib.AsyncExitStack,
) -> Session:  # fmt: skip
    services = context.services
    limits = ResourceLimits(sandbox, context.workspace, services.limits, services.volumes.room)

    async def on_budget_reached() -> None:
        await db.retry_while_unavailable(lambda: budgets.report_reached(services.pool, context.claim))

    session = Session(
        context.task, sandbox, gateway, context.log, steering.delivered, on_budget_reached, limits,
        services.settings.steering_wait_seconds, lambda: control.is_busy, context.trace,
    )  # fmt: skip
    stack.push_async_callback(session.close)
    context.outcome.before_commit(session.complete_calls)
    context.outcome.before_commit(lambda _: gateway.refuse_new())
    return session


def _spec(context: AttemptContext, image: Image | None) -> Spec:
    services, execution = context.services, context.task.execution
    grace = services.settings.disk_full_grace_seconds
    env = {**launch.environment(context.task), "AGENTCONTAINER_DISK_FULL_GRACE_SECONDS": f"{grace:g}"}
    internet = None
    if execution.internet_access:
        internet = Internet(
            execution.egress,
            on_refused=lambda refused: context.log.add(
                EgressRefused(refused.host, refused.port, refused.rule)
            ),
        )
    return Spec(
        context.name, context.root, services.runtime, services.limits,
        env if image is None else image.env(env), launch.HOME,
        internet=internet, image=None if image is None else image.root, kept_folders=launch.FOLDERS,
    )  # fmt: skip


def _watch(context: AttemptContext, sandbox: Sandbox, lease: UidLease | None, session: Session) -> None:
    """Watch for conditions that end the attempt while the agent process still runs."""
    services = context.services
    grace = services.settings.disk_full_grace_seconds

    async def network_ended() -> Ending:
        if await sandbox.network_ended():
            return OUT_OF_MEMORY
        return Ending(EndReason.PLATFORM_FAULT, "The container's internet access broke.")

    async def volume_full() -> Ending:
        await full_disk.wait_until_stuck(context.workspace, grace)
        fault = services.volumes.room.fault
        return Ending(
            EndReason.DISK_FULL,
            f"The agent's disk is full, and nothing was freed in {grace:g} seconds: {fault}.",
        )

    async def folder_full() -> Ending:
        watch = DiskWatch(
            services.sandboxes, services.limits, services.volumes.room, services.folder, context.root, lease,
            grace, session.notify,
        )  # fmt: skip
        return Ending(EndReason.DISK_FULL, await watch.run())

    context.outcome.watch(network_ended)
    context.outcome.watch(volume_full if volume.is_capped(context.workspace) else folder_full)
