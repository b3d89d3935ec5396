"""Where payloads run: in a sandbox as installed, in a weakened sandbox, or directly on the host.

A payload on the host is harmless: it affects only the files of its trial, its own processes and its own namespaces.
"""

import asyncio
import contextlib
import os
import shutil
import signal
from collections.abc import Sequence
from dataclasses import replace

from agentcontainer.child_output import keep_start
from agentcontainer.errors import SandboxError
from agentcontainer.prove.attempt import Place, Untried
from agentcontainer.prove.payload import BEGUN, Payload
from agentcontainer.prove.trial import LIMITS, Trial
from agentcontainer.prove.weakened import Edit
from agentcontainer.sandbox import volume
from agentcontainer.sandbox.bubblewrap import Bubblewrap
from agentcontainer.sandbox.contract import Internet, Spec

SECONDS = 30.0
OUTPUT_BYTES = 1024**2
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}


async def sandboxed(trial: Trial, payload: Payload, arguments: Sequence[str]) -> str:
    """Run the payload in a sandbox as a task gets it."""
    return await _run_in(trial.setup.sandboxes, trial.spec(), payload, arguments)


def limited(**limits: float) -> Place:
    """In a sandbox like every task's, with these limits."""

    async def place(trial: Trial, payload: Payload, arguments: Sequence[str]) -> str:
        chosen = replace(LIMITS, **limits)  # pyright: ignore[reportArgumentType] (numbers either way)
        return await _run_in(trial.setup.sandboxes, trial.spec(chosen), payload, arguments)

    return place


def online(*allow: str) -> Place:
    """In a sandbox with access to the public internet, or only to the hosts `allow`."""

    async def place(trial: Trial, payload: Payload, arguments: Sequence[str]) -> str:
        spec = replace(trial.spec(), internet=Internet(allow or None))
        return await _run_in(trial.setup.sandboxes, spec, payload, arguments)

    return place


async def on_a_disk_of_its_own(trial: Trial, payload: Payload, arguments: Sequence[str]) -> str:
    """In a sandbox whose workspace is a small volume, made like every task's."""
    shutil.rmtree(trial.workspace)
    await trial.setup.volumes.make(trial.workspace)
    trial.stack.push_async_callback(volume.unmount, trial.workspace)
    return await sandboxed(trial, payload, arguments)


def weakened(edit: Edit) -> Place:
    """In a sandbox that lacks a protection."""

    async def place(trial: Trial, payload: Payload, arguments: Sequence[str]) -> str:
        return await _run_in(trial.setup.weakened(edit), trial.spec(), payload, arguments)

    return place


async def bare(trial: Trial, payload: Payload, arguments: Sequence[str]) -> str:
    """On the host, as the current user."""
    return await _run([*payload.argv, *arguments], trial)


async def inheriting(trial: Trial, payload: Payload, arguments: Sequence[str]) -> str:
    """On the host, inheriting the file descriptor that the target noted."""
    return await _run([*payload.argv, *arguments], trial, (trial.notes["descriptor"],))


def namespaced(*kinds: str) -> Place:
    """As root in new namespaces, which end with the payload and affect nothing else."""

    async def place(trial: Trial, payload: Payload, arguments: Sequence[str]) -> str:
        flags = ["--user", "--map-root-user", *(f"--{kind}" for kind in kinds)]
        if "pid" in kinds:
            flags += ["--fork", "--kill-child"]
        return await _run(["unshare", *flags, "--", *payload.argv, *arguments], trial)

    return place


async def _run_in(driver: Bubblewrap, spec: Spec, payload: Payload, arguments: Sequence[str]) -> str:
    try:
        sandbox = await driver.start(spec, [*payload.argv, *arguments])
    except SandboxError as error:
        raise Untried(f"The sandbox could not be started: {error}") from None
    try:
        sandbox.stdin.close()
        reading = asyncio.gather(
            keep_start(sandbox.stdout, OUTPUT_BYTES), keep_start(sandbox.stderr, OUTPUT_BYTES)
        )
        try:
            async with asyncio.timeout(SECONDS):
                out, err = await reading
        except TimeoutError:
            raise Untried(f"The payload did not end within {SECONDS:.0f} s.") from None
    finally:
        await sandbox.destroy()
    return _begun(out, err)


async def _run(argv: Sequence[str], trial: Trial, pass_fds: Sequence[int] = ()) -> str:
    out, err = trial.root / "out", trial.root / "err"
    # Files instead of pipes, which surviving child processes would keep open.
    with out.open("wb") as stdout, err.open("wb") as stderr:
        process = await asyncio.create_subprocess_exec(
            *("setpriv", "--pdeathsig", "KILL", "--", *argv),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            env=ENVIRONMENT,
            cwd=trial.workspace,
            start_new_session=True,
            pass_fds=pass_fds,
        )
    try:
        async with asyncio.timeout(SECONDS):
            await process.wait()
    except TimeoutError:
        raise Untried(f"The payload did not end within {SECONDS:.0f} s.") from None
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
    with out.open("rb") as stdout, err.open("rb") as stderr:
        return _begun(stdout.read(OUTPUT_BYTES), stderr.read(OUTPUT_BYTES))


def _begun(out: bytes, err: bytes) -> str:
    text = out.decode(errors="replace")
    if BEGUN not in text:
        complaint = " ".join(err.decode(errors="replace").split())[-200:]
        raise Untried(f"The payload did not start: {complaint or 'no output'}")
    return text
