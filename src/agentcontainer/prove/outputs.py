"""Attempts to make the collection of output files read something else.

Controls open the paths without checks.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence

from agentcontainer.domain.execution.model import OutputPolicy
from agentcontainer.domain.files.blobs import Blobs
from agentcontainer.domain.tasks.output_policy import Declared
from agentcontainer.prove.attempt import Attempt, Group, Place, PrepareTarget
from agentcontainer.prove.payload import Payload, perl
from agentcontainer.prove.places import bare, sandboxed
from agentcontainer.prove.targets import nonce_only, secret_file
from agentcontainer.prove.trial import Trial
from agentcontainer.runner.agent.pi_launch import HOME
from agentcontainer.runner.workspace.outputs import Refused, collect

MAX_BYTES = 4 * 1024**2
SECONDS = 3.0
Take = Callable[[Trial, str], Awaitable[str]]


async def _collected(trial: Trial, path: str) -> str:
    """Collect the output as for every task; returns the name and content that the user would get."""
    blobs = Blobs((trial.root / "blobs").as_uri())
    try:
        [output] = await collect(
            trial.workspace, HOME, [Declared(path)], OutputPolicy("any"), blobs, "tsk_prove", MAX_BYTES
        )
    except Refused:
        return ""
    content = b"".join([chunk async for chunk in blobs.stream(output.blob_key)])
    return f"{output.filename}\n{content.decode(errors='replace')}"


async def _opened(trial: Trial, path: str) -> str:
    """Open the path without checks; returns its name and content."""
    target = trial.workspace / "task" / path
    return f"{target.name}\n{target.read_text(errors='replace')}"


def _after(take: Take, paths: Sequence[str]) -> Place:
    """Run the payload to its end, then take these paths."""

    async def place(trial: Trial, payload: Payload, arguments: Sequence[str]) -> str:
        await sandboxed(trial, payload, arguments)
        return "".join([await take(trial, path.replace("SECRET", arguments[0])) for path in paths])

    return place


def _during(take: Take, path: str) -> Place:
    """Take the path again and again while the payload runs."""

    async def place(trial: Trial, payload: Payload, arguments: Sequence[str]) -> str:
        running = asyncio.create_task(sandboxed(trial, payload, arguments))
        output = ""
        while not running.done():
            await asyncio.sleep(0)
            with contextlib.suppress(OSError):
                output += await take(trial, path)
        await running
        return output

    return place


def _stuck(take: Take) -> Place:
    """Take a pipe; returns the nonce if that blocks for `SECONDS`."""

    async def place(trial: Trial, payload: Payload, arguments: Sequence[str]) -> str:
        await sandboxed(trial, payload, arguments)
        try:
            async with asyncio.timeout(SECONDS):
                await take(trial, "pipe")
        except TimeoutError:
            return trial.nonce
        return ""

    return place


async def _read_by_cat(trial: Trial, path: str) -> str:
    reading = await asyncio.create_subprocess_exec(
        *("setpriv", "--pdeathsig", "KILL", "--", "cat", "--", trial.workspace / "task" / path),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        return (await reading.communicate())[0].decode(errors="replace")
    finally:
        with contextlib.suppress(ProcessLookupError):
            reading.kill()


def _linked(run: Place) -> Place:
    """Let the payload make the hard link `hard`, then collect it."""

    async def place(trial: Trial, payload: Payload, arguments: Sequence[str]) -> str:
        await run(trial, payload, arguments)
        return await _collected(trial, "hard")

    return place


def _trick(name: str, tries: str, script: str, *paths: str, prepare: PrepareTarget = secret_file) -> Attempt:
    """The script runs in the home folder; `$s` is the path of a secret of the host."""
    payload = perl(f"chdir '{HOME}'; my ($s) = @ARGV; {script}")
    return Attempt(name, tries, payload, prepare, _after(_collected, paths), _after(_opened, paths))


def _race(name: str, tries: str, script: str, path: str) -> Attempt:
    loop = "my $end = (POSIX::times())[0] + 60; while ((POSIX::times())[0] < $end) {"
    payload = perl(f"chdir '{HOME}'; my ($s) = @ARGV; {loop} {script} }}")
    return Attempt(name, tries, payload, secret_file, _during(_collected, path), _during(_opened, path))


OUTPUTS = Group(
    "output collection",
    (
        _trick("link", "Hands over a link to a file of the host.", "symlink $s, 'link';", "link"),
        _trick(
            "link-to-link", "Hands over a link to a link to it.", "symlink $s, 'a'; symlink 'a', 'b';", "b"
        ),
        _trick(
            "folder-link",
            "Hands over a file in a folder that is a link.",
            "symlink $s =~ s|/[^/]*$||r, 'd';",
            "d/secret",
        ),
        _trick(
            "magic-link",
            "Hands over a link by way of /proc, which leads where no path does.",
            "symlink \"/proc/self/root$s\", 'magic';",
            "magic",
        ),
        _trick("dots", "Hands over a path that climbs out of the workspace.", "", "../../outside/secret"),
        _trick("absolute", "Hands over a path of the host.", "", "SECRET"),
        Attempt(
            "hard-link",
            "Makes a hard link to a file of the host, and hands it over.",
            perl(f"chdir '{HOME}' or chdir 'task'; link $ARGV[0], 'hard';"),
            secret_file,
            _linked(sandboxed),
            _linked(bare),
        ),
        _trick(
            "name",
            "Hands over a file whose name steers a terminal.",
            "open(my $f, '>', \"\\e]0;$s\\a.txt\");",
            "\x1b]0;SECRET\x07.txt",
            prepare=nonce_only,
        ),
        _trick(
            "size",
            "Hands over a file that is larger than allowed, and takes no room.",
            f"open(my $f, '>', 'large'); seek($f, {2 * MAX_BYTES}, 0); print $f $s;",
            "large",
            prepare=nonce_only,
        ),
        _race(
            "swapped-file",
            "Changes a file into a link while it is collected.",
            "open(my $f, '>', 'a'); close $f; rename 'a', 'file'; symlink $s, 'b'; rename 'b', 'file';",
            "file",
        ),
        _race(
            "swapped-folder",
            "Changes a folder into a link while it is collected from.",
            "mkdir 'd'; open(my $f, '>', 'd/secret'); close $f; rename 'd', 'old'; symlink $s =~ s|/[^/]*$||r, 'd';"
            "nap 0.001; unlink 'd', 'old/secret'; rmdir 'old';",
            "d/secret",
        ),
        Attempt(
            "pipe",
            "Hands over a pipe, at which a reader waits for ever.",
            perl(f"POSIX::mkfifo('{HOME}/pipe', 0644);"),
            nonce_only,
            _stuck(_collected),
            _stuck(_read_by_cat),
        ),
    ),
)
