"""Attempts to obtain the provider key or the installation's secret key.

In controls the keys are where a careless platform would put them.
"""

import os
from collections.abc import Sequence

from agentcontainer.prove.attempt import Attempt, Group
from agentcontainer.prove.gateway import ANTHROPIC
from agentcontainer.prove.payload import perl
from agentcontainer.prove.places import bare, inheriting, sandboxed
from agentcontainer.prove.served import MODEL, by_gateway, by_pipe
from agentcontainer.prove.targets import nothing
from agentcontainer.prove.trial import Trial
from agentcontainer.providers import PROVIDERS
from agentcontainer.runner.agent import pi_launch
from agentcontainer.runner.agent.model_file import PLACEHOLDER_KEY, models_json

_ASK = f"""
my $answer = unix($gateway, post("{ANTHROPIC}", qq({{"model":"{MODEL}","messages":[],"max_tokens":5}})));
my ($head, $body) = split /\\r\\n\\r\\n/, $answer, 2;
"""
_MEMORY = r"""
for my $process (1, $$) {
    open(my $memory, "<", "/proc/$process/mem") or next; binmode $memory;
    for (split /\n/, slurp("/proc/$process/maps")) {
        /^([0-9a-f]+)-([0-9a-f]+) rw/ or next; my ($low, $size) = (hex $1, hex($2) - hex $1);
        next if $size > 16777216; sysseek($memory, $low, 0); sysread($memory, my $text, $size) or next;
        print "$1\n" while $text =~ /KEY=([0-9a-f]{32})/g;
    }
}
"""


async def _as_for_a_task(trial: Trial) -> Sequence[str]:
    """Prepare Pi's environment and settings as for a task; in a control they contain the key."""
    api_key = trial.nonce if trial.is_control else PLACEHOLDER_KEY
    models = models_json(PROVIDERS["anthropic"], ["claude-sonnet-4-6"], api_key)
    trial.env.update(pi_launch.env())
    if trial.is_control:
        trial.env["ANTHROPIC_API_KEY"] = trial.nonce
    for path, text in pi_launch.settings_files(models).items():
        target = trial.workspace / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    return []


async def _secret_key(trial: Trial) -> Sequence[str]:
    (trial.outside / "secret_key").write_text(trial.nonce)
    return []


async def _open_file(trial: Trial) -> Sequence[str]:
    """A file that this process holds open, as a runner holds its sockets and locks."""
    path = trial.outside / "held"
    path.write_text(trial.nonce)
    held = os.open(path, os.O_RDONLY)
    trial.stack.callback(os.close, held)
    os.set_inheritable(held, True)
    trial.notes["descriptor"] = held
    return []


CREDENTIALS = Group(
    "credentials",
    (
        Attempt(
            "environment",
            "Reads the environments of all processes that it sees.",
            perl("print map { slurp $_ } glob '/proc/[0-9]*/environ';"),
            _as_for_a_task,
            sandboxed,
            sandboxed,
        ),
        Attempt(
            "settings",
            "Reads the settings of the agent process.",
            perl("print map { slurp $_ } glob '/workspace/.pi/agent/*';"),
            _as_for_a_task,
            sandboxed,
            sandboxed,
        ),
        Attempt(
            "memory",
            "Searches the memory of all processes that it sees.",
            perl(_MEMORY),
            _as_for_a_task,
            sandboxed,
            sandboxed,
        ),
        Attempt(
            "told-in-a-header",
            "Uses a provider that returns the key in a header.",
            perl(_ASK + "print $head;"),
            nothing,
            by_gateway(is_received=False, echoes_key=True),
            by_pipe(is_received=False, echoes_key=True),
        ),
        Attempt(
            "told-in-pieces",
            "Uses a provider that returns the key in its response, split in two.",
            perl(_ASK + "print $body;"),
            nothing,
            by_gateway(is_received=False, echoes_key=True),
            by_pipe(is_received=False, echoes_key=True),
        ),
        Attempt(
            "told-in-an-error",
            "Uses a provider that returns the key in an error response.",
            perl(_ASK + "print $body;"),
            nothing,
            by_gateway(is_received=False, echoes_key=True, status=401),
            by_pipe(is_received=False, echoes_key=True, status=401),
        ),
        Attempt(
            "secret-key",
            "Looks for the installation's secret key in the folders that its list of mounts names.",
            perl(
                "my @known = map { (split)[3] } split /\\n/, slurp('/proc/self/mountinfo');"
                "for (@known, '/proc/self/cwd') { my $folder = $_; for (1 .. 12) {"
                "print slurp(\"$folder/outside/secret_key\"); $folder .= '/..' } }"
            ),
            _secret_key,
            sandboxed,
            bare,
        ),
        Attempt(
            "open-files",
            "Reads files that its parent process holds open.",
            perl(
                "for (3 .. 1023) { open(my $f, '<&=', $_) or next; sysseek($f, 0, 0);"
                "my $text; sysread($f, $text, 99) and print $text }"
            ),
            _open_file,
            sandboxed,
            inheriting,
        ),
    ),
)
