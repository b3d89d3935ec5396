"""Sandboxes whose sockets are served: by a task's own gateway and control socket, or, for controls, by plain pipes."""

from collections.abc import Sequence
from datetime import timedelta

from agentcontainer.domain.models.catalogue import Provider as Name
from agentcontainer.domain.tasks.model import Output
from agentcontainer.gateway.app import Gateway, Route, provider_client
from agentcontainer.prove.attempt import Place
from agentcontainer.prove.payload import Payload
from agentcontainer.prove.places import sandboxed
from agentcontainer.prove.servers import Provider, pipe
from agentcontainer.prove.trial import Trial
from agentcontainer.runner.control import Control
from agentcontainer.runner.control_requests import Command, Finish, Hibernate, Share
from agentcontainer.runner.workspace import folders

MODEL = "the-model"
KEY = "sk-of-the-task"


def by_gateway(
    name: Name = "anthropic", *, is_heard: bool = True, tells_key: bool = False, status: int = 200
) -> Place:
    """Served by the gateway of a task with the model MODEL. It gets what the provider hears, or, unless `is_heard`,
    what the payload says; with `tells_key` the key is the nonce, and the provider tells it in an answer of `status`."""

    async def place(trial: Trial, payload: Payload, arguments: Sequence[str]) -> str:
        provider = await _provider(trial, tells_key, status)
        sockets = trial.stack.enter_context(folders.socket_folder(trial.root))
        client = await trial.stack.enter_async_context(provider_client())
        route = Route(name, provider.url, frozenset({MODEL}), trial.nonce if tells_key else KEY)
        gateway = Gateway(route, sockets / "gateway.sock", lambda _: None, client)
        await gateway.start()
        trial.stack.push_async_callback(gateway.close)
        said = await sandboxed(trial, payload, arguments)
        return provider.heard.decode(errors="replace") if is_heard else said

    return place


def by_pipe(*, is_heard: bool = True, tells_key: bool = False, status: int = 200) -> Place:
    """The same, but both sockets lead straight to the provider; the key is added on the way."""

    async def place(trial: Trial, payload: Payload, arguments: Sequence[str]) -> str:
        provider = await _provider(trial, tells_key, status)
        for name in ("gateway", "control"):
            key = trial.nonce if tells_key else ""
            await pipe(trial, trial.root / f"sockets/{name}.sock", provider.port, key)
        said = await sandboxed(trial, payload, arguments)
        return provider.heard.decode(errors="replace") if is_heard else said

    return place


class _Commands:
    """Records what a runner would take for the agent's word."""

    def __init__(self) -> None:
        self.taken: list[str] = []

    def refusal(self, command: Command) -> str | None:  # noqa: ARG002
        return None

    def log_refused_finish(self, reason: str) -> None:
        pass

    async def finish(self, finish: Finish) -> bool:
        self.taken.append(f"{finish.cwd} {finish.declared}{finish.message}")
        return True

    async def share(self, share: Share) -> list[Output]:
        self.taken.append(f"{share.cwd} {share.declared}")
        return []

    async def hibernate(self, hibernate: Hibernate) -> bool:  # noqa: ARG002
        return False

    async def wake_link(self) -> str | None:
        return None


async def by_control(trial: Trial, payload: Payload, arguments: Sequence[str]) -> str:
    """Served by the control socket of a task. It gets what a runner would take for the agent's word."""
    commands = _Commands()
    control = Control(commands, max_files=10, max_hibernation=timedelta(days=1), public_url="")
    sockets = trial.stack.enter_context(folders.socket_folder(trial.root))
    await control.start(sockets / "control.sock")
    trial.stack.push_async_callback(control.close)
    await sandboxed(trial, payload, arguments)
    return "".join(commands.taken)


async def _provider(trial: Trial, is_indiscreet: bool, status: int) -> Provider:
    provider = Provider(is_indiscreet, status)
    await provider.start(trial)
    return provider
