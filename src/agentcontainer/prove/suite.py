"""Runs the suite on this host, in sandboxes as a runner starts them."""

import asyncio
import os
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from pathlib import Path

from agentcontainer.ids import new_id
from agentcontainer.prove.attempt import Group, Outcome
from agentcontainer.prove.groups import GROUPS
from agentcontainer.prove.internet import LISTED, ONLINE
from agentcontainer.prove.run import run
from agentcontainer.prove.trial import ROOM, Setup
from agentcontainer.prove.weakened import Edit, Weakened
from agentcontainer.prove.world import World, run_online
from agentcontainer.runner.cleanup import runner_folder
from agentcontainer.sandbox.bubblewrap import Bubblewrap
from agentcontainer.sandbox.detect import detect
from agentcontainer.sandbox.volume import Volumes


async def prove(
    data_dir: Path,
    uid_base: int,
    lock_dir: Path,
    runtime: Path,
    sandboxes: Bubblewrap | None = None,
    groups: Sequence[Group] = GROUPS,
    is_online: bool = False,
    has_own_mounts: bool = False,
) -> AsyncGenerator[Outcome]:
    """The outcomes of these attempts, in order; with `is_online`, also of the attempts at internet access.

    `sandboxes`: the sandboxes to test, by default those that a runner would use. `has_own_mounts`: whether this process
    has entered its own mount namespace.

    It may run beside `agentcontainer up`: its folder is among the runners' folders, and it locks uids as they do.
    """
    hierarchy = detect()

    def weakened(edit: Edit) -> Bubblewrap:
        return Weakened(uid_base, lock_dir, edit, hierarchy)

    interrupted: BaseException | None = None
    with runner_folder(data_dir, new_id("rnr")) as folder:
        used = sandboxes or Bubblewrap(uid_base, lock_dir, hierarchy)
        volumes = await Volumes.try_out(ROOM, folder, has_namespace=has_own_mounts)
        setup = Setup(used, weakened, runtime, volumes, folder)
        try:
            async with aclosing(run(setup, groups, os.geteuid() == 0)) as outcomes:
                async for outcome in outcomes:
                    yield outcome
            if is_online:
                world = World(folder, uid_base, lock_dir, runtime)
                online = Group(ONLINE.name, (*ONLINE.attempts, *LISTED.attempts))
                async with aclosing(run_online(world, online)) as outcomes:
                    async for outcome in outcomes:
                        yield outcome
        except (GeneratorExit, asyncio.CancelledError) as error:  # every trial is gone: so may the folder be
            interrupted = error
    if interrupted is not None:
        raise interrupted
