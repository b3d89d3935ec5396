"""The command line that starts a PostgreSQL program: never as uid 0, and never outliving this process.

An ordinary user runs it directly. Root cannot: PostgreSQL refuses uid 0, the data folder may lie where no
other user can go (/root), and we add no user to the host. So root gives the program a mount namespace of
its own, where `/mnt` holds the server's folder and programs and `/etc/passwd` knows the service uid. Nothing
of it is mounted on the host.
"""

import os
from collections.abc import Sequence
from pathlib import Path

from agentcontainer.embedded.binaries import Binaries

MOUNT = Path("/mnt")  # any folder that every system has and PostgreSQL does not need
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C", "TZ": "UTC"}

# The tmpfs is built over `socket` and then moved to /mnt, since the sources may lie below /mnt themselves.
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
# The parent may have died before the death signal was set; then nobody would ever end this process.
_GUARD = 'parent=$1; shift; [ "$PPID" = "$parent" ] || exit 1; exec "$@"'


def command(
    binaries: Binaries, program: str, arguments: Sequence[str], folder: Path, service_uid: int | None
) -> list[str]:
    """The argv that runs `program` with `arguments`, which name the server's `folder` by `inside`.

    `service_uid` is None for an ordinary user.
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
    """The argv that runs `argv` so that it gets the signal when this process dies; `options`: setpriv's."""
    guarded = ["sh", "-c", _GUARD, "sh", str(os.getpid()), *argv]
    return ["setpriv", *options, "--pdeathsig", signal_name, *guarded]


def inside(folder: Path, service_uid: int | None) -> Path:
    """Where the started program finds the server's folder."""
    return folder if service_uid is None else MOUNT / "postgres"
