"""Builds the command line that starts a PostgreSQL program.

The program never has uid 0, and ends with this process. An ordinary user runs it directly. Root cannot:
PostgreSQL refuses uid 0, the data folder may be inaccessible to other users (/root), and we add no user to
the host. So the program gets a mount namespace of its own, in which `/mnt` has the server's folder and
programs, and `/etc/passwd` has the service uid. Nothing is mounted on the host.
"""

import os
from collections.abc import Sequence
from pathlib import Path

from agentcontainer.embedded.binaries import Binaries

MOUNT = Path("/mnt")  # a folder that every system has and PostgreSQL does not need
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C", "TZ": "UTC"}

# The tmpfs is mounted on `socket` first and then moved to /mnt, because the sources may be below /mnt.
_NAMESPACE = """
umask 022
stage=$1 folder=$2 uid=$3 site=$4
shift 4
mount -t tmpfs -o mode=755,size=1m,nosuid,nodev agentcontainer "$stage"
mkdir "$stage/postgres"
printf 'agentcontainer:x:%s:%s::/:/bin/false\\n' "$uid" "$uid" > "$stage/passwd"
while [ "$1" != -- ]; do
    mkdir -p "$stage/site/$1"
    mount --bind "$site/$1" "$stage/site/$1"
    shift
done
shift
mount --bind "$folder" "$stage/postgres"
mount --move "$stage" /mnt
mount --bind /mnt/passwd /etc/passwd
cd /
exec "$@"
"""
# If the parent died before the death signal was set, the signal would never come.
_GUARD = 'parent=$1; shift; [ "$PPID" = "$parent" ] || exit 1; exec "$@"'


def command(
    binaries: Binaries, program: str, arguments: Sequence[str], folder: Path, service_uid: int | None
) -> list[str]:
    """The argv that runs `program` with `arguments`, which name the server's folder as `inside` returns it.

    `service_uid`: None if we are not root.
    """
    programs = binaries.folder
    if service_uid is not None and binaries.site is not None:
        programs = MOUNT / "site" / binaries.folder.relative_to(binaries.site)
    run = [str(programs / program), *arguments]
    if service_uid is None:
        return dying_with_us(run, "SIGQUIT", "--no-new-privs")
    identity = [f"--reuid={service_uid}", f"--regid={service_uid}", "--clear-groups"]
    capabilities = ["--inh-caps=-all", "--bounding-set=-all", "--no-new-privs"]
    unprivileged = dying_with_us(run, "SIGQUIT", *identity, *capabilities)
    # Slave, not private: what the host unmounts later must not stay busy in this namespace.
    namespace = ["unshare", "--mount", "--propagation", "slave", "--", "sh", "-euc", _NAMESPACE, "sh"]
    site = binaries.site or Path("/")
    mounts = [str(path.relative_to(site)) for path in binaries.mounts]
    stage = [str(folder / "socket"), str(folder), str(service_uid), str(site)]
    return [*namespace, *stage, *mounts, "--", *unprivileged]


def dying_with_us(argv: Sequence[str], signal_name: str, *options: str) -> list[str]:
    """The argv that runs `argv` so that it gets this signal when our process dies. `options`: of setpriv."""
    guarded = ["sh", "-c", _GUARD, "sh", str(os.getpid()), *argv]
    return ["setpriv", *options, "--pdeathsig", signal_name, *guarded]


def inside(folder: Path, service_uid: int | None) -> Path:
    """The server's folder as the started program sees it."""
    return folder if service_uid is None else MOUNT / "postgres"
