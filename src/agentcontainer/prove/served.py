"""Sandboxes with served sockets: by a real gateway and control socket or, for controls, by plain pipes."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from agentcontainer.domain.tasks.model import Output
from agentcontainer.gateway.app import Gateway, provider_client
from agentcontainer.gateway.route import Route
from agentcontainer.prove.attempt import Place
from agentcontainer.prove.payload import Payload
from agentcontainer.prove.places import sandboxed
from agentcontainer.prove.servers import Provider, pipe
from agentcontainer.prove.trial import Trial
from agentcontainer.runner.control import Control
from agentcontainer.runner.control_requests import Command, Finish, Hibernate, Share
from agentcontainer.sandbox.http_socket import socket_folder

MODEL = "the-model"
KEY = "sk-of-the-task"


def by_gateway(
    name: str = "anthropic", *, is_received: bool = True, echoes_key: bool = False, status: int = 200
) -> Place:
    """In a sandbox served by the gateway of a task that uses the model MODEL.

    Returns what the provider received or, with `is_received` false, the payload's output. With `echoes_key` the
    provider key is the nonce, and the provider returns it in a response with `status`.
    """

    async def place(trial: Trial, payload: Payload, arguments: Sequence[str]) -> str:
        provider = await _provider(trial, echoes_key, status)
        sockets = trial.stack.enter_context(socket_folder(trial.root / "sockets"))
        client = await trial.stack.enter_async_context(provider_client())
        route = Route(name, provider.url, frozenset({MODEL}), trial.nonce if echoes_key else KEY)
        gateway = Gateway(route, sockets / "gateway.sock", lambda _: None, client)
        await gateway.start()
        trial.stack.push_async_callback(gateway.close)
        output = await sandboxed(trial, payload, arguments)
        return provider.received.decode(errors="replace") if is_received else output

    return place


def by_pipe(*, is_received: bool = True, echoes_key: bool = False, status: int = 200) -> Place:
    """As `by_gateway`, but both sockets are pipes to the provider, which add the key."""

    async def place(trial: Trial, payload: Payload, arguments: Sequence[str]) -> str:
        provider = await _provider(trial, echoes_key, status)
        for name in ("gateway", "control"):
            key = trial.nonce if echoes_key else ""
            await pipe(trial, trial.root / f"sockets/{name}.sock", provider.port, key)
        output = await sandboxed(trial, payload, arguments)
        return provider.received.decode(errors="replace") if is_received else output

    return place


class _Commands:
    """Records the requests that a runner would accept from the agent."""

    def __init__(self) -> None:
        self.accepted: list[str] = []

    def refusal(self, command: Command) -> str | None:  # noqa: ARG002
        return None

    def log_refused_finish(self, reason: str) -> None:
        pass

    async def finish(self, finish: Finish) -> bool:
        self.accepted.append(f"{finish.cwd} {finish.declared}{finish.message}")
        return True

    async def share(self, share: Share) -> list[Output]:
        self.accepted.append(f"{share.cwd} {share.declared}")
        return []

    async def hibernate(self, hibernate: Hibernate) -> bool:  # noqa: ARG002
        return False

    async def now(self) -> datetime:
        return datetime.now(UTC)

    async def wake_link(self) -> str | None:
        return None


async def by_control(trial: Trial, payload: Payload, arguments: Sequence[str]) -> str:
    """In a sandbox served by a task's control socket. Returns what the runner accepted as the agent's requests."""
    commands = _Commands()
    control = Control(commands, max_files=10, max_hibernation=timedelta(days=1))
    sockets = trial.stack.enter_context(socket_folder(trial.root / "sockets"))
    await control.start(sockets / "control.sock")
    trial.stack.push_async_callback(control.close)
    await sandboxed(trial, payload, arguments)
    return "".join(commands.accepted)


async def _provider(trial: Trial, echoes_key: bool, status: int) -> Provider:
    provider = Provider(echoes_key, status)
    await provider.start(trial)
    return provider
