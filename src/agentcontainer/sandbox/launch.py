"""Builds the command line that becomes a sandbox, from its Spec.

It does no I/O.

As root the chain is unshare → sh (LAUNCHER) → setpriv → bwrap → sh (FIRST) → payload. All but the last two
are one process that calls exec. bwrap must not run as root of the host: the payload would be uid 1000 inside,
but still uid 0 to the kernel. For an ordinary user the chain is sh (LAUNCHER) → bwrap → sh (FIRST) → payload.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from agentcontainer.sandbox.contract import (
    INSIDE_GIVEN,
    INSIDE_OUTPUT,
    INSIDE_RUNTIME,
    INSIDE_SOCKETS,
    INSIDE_WORKSPACE,
    Spec,
)
from agentcontainer.sandbox.network import Network
from agentcontainer.sandbox.procfs import marker

PATH = "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
ENVIRONMENT = {"PATH": PATH, "LC_ALL": "C"}  # of the launcher; the payload can read it in /proc/1/environ
INSIDE_UID = 1000
HELPER_CAPABILITIES = (
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
)  # they apply to files of its own host uid only
HELPER_SETTINGS = ("/etc/alternatives", "/etc/ssl/certs", "/etc/ld.so.cache")
HOSTS = "127.0.0.1 localhost sandbox\n::1 localhost sandbox\n"
READY = "ready"
FREE_DESCRIPTORS_BELOW = 10  # the launcher uses 3 to 7; those that bwrap reads have higher numbers

# Arguments: uid ("" without root), open files, workspace, whether to give it to the uid ("" if not), sockets
# and runtime ("" for a helper sandbox), image and given file or folder ("" without), network and user
# namespace to enter ("" if none), cgroup.procs files, --, command. The sources are held open because the
# tmpfs on /mnt could hide them: the data folder may lie below /mnt. The mounts are in a mount namespace of
# their own (unshare). Through them, the sandbox's uid can reach files whose parent folders are private to
# root. /usr is private: a running sandbox does not get what the host mounts below it later.
LAUNCHER = """
uid=$1 open_files=$2 workspace=$3 is_handed=$4 sockets=$5 runtime=$6 image=$7 given=$8
shift 8
net=$1 user=$2
shift 2
while [ "$1" != -- ]; do echo $$ > "$1"; shift; done
shift
ulimit -c 0
ulimit -n "$open_files"
[ -n "$uid" ] || exec ${net:+nsenter --preserve-credentials --user=$user --net=$net --} "$@"
[ -z "$is_handed$sockets" ] || chown -R -h -P -- "$uid:$uid" ${is_handed:+"$workspace"} ${sockets:+"$sockets"}
exec 3< "$workspace" 4< "${sockets:-/dev/null}" 5< "${runtime:-/dev/null}"
exec 6< "${image:-/dev/null}" 7< "${given:-/dev/null}"
mount -n -t tmpfs -o size=64k,mode=755,nosuid,nodev,noexec agentcontainer /mnt
mount -n -c -o bind,X-mount.mkdir /proc/self/fd/3 /mnt/workspace
[ -n "$image" ] || mount -n -c -o rbind,rprivate,X-mount.mkdir /usr /mnt/usr
[ -z "$sockets" ] || mount -n -c -o bind,ro,X-mount.mkdir /proc/self/fd/4 /mnt/sockets
[ -z "$runtime" ] || mount -n -c -o bind,ro,X-mount.mkdir /proc/self/fd/5 /mnt/runtime
[ -z "$image" ] || mount -n -c -o bind,ro,X-mount.mkdir /proc/self/fd/6 /mnt/image
mount -n -t devpts -o X-mount.mkdir,newinstance,nosuid,noexec,ptmxmode=666,max=128 agentcontainer /mnt/pts
[ -z "$given" ] || [ -d /proc/self/fd/7 ] || : > /mnt/given
[ -z "$given" ] || mount -n -c -o bind,ro,X-mount.mkdir /proc/self/fd/7 /mnt/given
exec ${net:+nsenter --net=$net --} setpriv --reuid "$uid" --regid "$uid" --clear-groups \\
    --inh-caps=-all --bounding-set=-all --no-new-privs "$@" 3<&- 4<&- 5<&- 6<&- 7<&-
"""
# The first line on stdout tells the runner that the sandbox is ready; the payload writes everything after it.
# If the runner was killed before bwrap tied its own life to it (--die-with-parent), nobody reads the pipe:
# echo fails, and -e ends the sandbox.
FIRST = f'echo {READY}; exec "$@"'
COUNTED = "ulimit -u {0} 2>/dev/null || ulimit -p {0}"  # -u in bash, -p in dash and BusyBox


@dataclass(frozen=True)
class Sources:
    """The folders on the host that bwrap binds. `settings`: files and folders of the host's /etc that an agent sees,
    unless it has an image."""

    workspace: Path
    sockets: Path
    runtime: Path
    image: Path
    given: Path
    terminals: Path
    usr: Path
    settings: tuple[str, ...] = ()

    @classmethod
    def of(cls, spec: Spec) -> "Sources":
        return cls(
            spec.workspace, spec.sockets, spec.runtime, spec.image or Path(), spec.given or Path(), Path(),
            Path("/usr"),
        )  # fmt: skip  # empty paths are not bound


STAGED = Sources(
    Path("/mnt/workspace"), Path("/mnt/sockets"), Path("/mnt/runtime"), Path("/mnt/image"), Path("/mnt/given"),
    Path("/mnt/pts"), Path("/mnt/usr"),
)  # fmt: skip


def etc_files(spec: Spec) -> dict[str, str]:
    """Files in /etc that we write ourselves, so that the host's accounts and host names do not show inside."""
    home = spec.env.get("HOME", INSIDE_WORKSPACE)
    is_online = spec.internet is not None or spec.is_on_host_network
    return {
        "/etc/passwd": (
            "root:x:0:0:root:/root:/usr/sbin/nologin\n"
            f"agent:x:{INSIDE_UID}:{INSIDE_UID}:agent:{home}:/bin/sh\n"
            "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"
        ),
        "/etc/group": f"root:x:0:\nagent:x:{INSIDE_UID}:\nnogroup:x:65534:\n",
        "/etc/nsswitch.conf": f"passwd: files\ngroup: files\nhosts: {'files dns' if is_online else 'files'}\n",
        **({} if spec.is_on_host_network else {"/etc/hosts": HOSTS}),
        **({"/etc/resolv.conf": "nameserver 127.0.0.1\n"} if spec.internet else {}),
    }


def bwrap_options(spec: Spec, sources: Sources, seccomp: int, files: dict[str, int]) -> list[str]:
    """Every option of bwrap. Passed through a descriptor, because the payload can read PID 1's command line."""
    limits = spec.limits
    options = ["--unshare-all", "--unshare-user", "--disable-userns", "--hostname", "sandbox"]
    inside = "0" if spec.is_helper else str(INSIDE_UID)
    options += ["--uid", inside, "--gid", inside, "--cap-drop", "ALL"]
    for capability in HELPER_CAPABILITIES if spec.is_helper else ():
        options += ["--cap-add", capability]
    if (
        spec.internet or spec.is_on_host_network
    ):  # the launcher has entered the network namespace that is wanted
        options += ["--share-net"]
    options += ["--die-with-parent", "--new-session", "--clearenv"]
    options += _system(spec, sources, files)
    options += ["--proc", "/proc", "--dev", "/dev"]
    options += ["--perms", "1777", "--size", str(limits.shm_bytes), "--tmpfs", "/dev/shm"]  # noqa: S108
    if sources.terminals.name:  # our devpts is limited; bwrap's own could take all 4096 of the host
        options += ["--dev-bind", str(sources.terminals), "/dev/pts"]
    options += ["--remount-ro", "/dev"]  # bwrap's /dev is a tmpfs without a size limit
    options += ["--perms", "1777", "--size", str(limits.tmp_bytes), "--tmpfs", "/tmp"]  # noqa: S108
    if not spec.is_helper:
        options += ["--perms", "1777", "--size", str(limits.output_bytes), "--tmpfs", INSIDE_OUTPUT]
    if spec.image is None:  # an image has the link already
        options += ["--symlink", "/tmp", "/var/tmp"]  # noqa: S108
    if spec.given is not None:
        options += ["--ro-bind", str(sources.given), INSIDE_GIVEN]
    options += ["--ro-bind" if spec.is_read_only else "--bind", str(sources.workspace), INSIDE_WORKSPACE]
    for name in spec.kept_folders:
        options += ["--bind", str(sources.workspace / name), f"{INSIDE_WORKSPACE}/{name}"]
    if not spec.is_helper:
        options += ["--ro-bind", str(sources.sockets), INSIDE_SOCKETS]
        options += ["--ro-bind", str(sources.runtime), INSIDE_RUNTIME]
    options += ["--remount-ro", "/", "--seccomp", str(seccomp), "--chdir", spec.cwd]
    for name, value in spec.env.items():
        options += ["--setenv", name, value]
    return options


def _system(spec: Spec, sources: Sources, files: dict[str, int]) -> list[str]:
    """The root file system: the image, or the parts of the host that programs need; and our own files in
    /etc."""
    options: list[str] = []
    if spec.image is not None:
        options += ["--ro-bind", str(sources.image), "/"]
        for path, descriptor in files.items():
            options += ["--perms", "0644", "--ro-bind-data", str(descriptor), path]
        return options
    options += ["--ro-bind", str(sources.usr), "/usr"]
    for name in ("bin", "sbin", "lib", "lib64"):
        options += ["--symlink", f"usr/{name}", f"/{name}"]
    of_network = ("/etc/resolv.conf", "/etc/hosts") if spec.is_on_host_network else ()
    for path in (HELPER_SETTINGS if spec.is_helper else sources.settings) + of_network:
        options += ["--ro-bind-try", path, path]
    for path, descriptor in files.items():
        options += ["--perms", "0644", "--file", str(descriptor), path]
    return options


def payload_command(spec: Spec, argv: Sequence[str], *, counts_processes: bool) -> list[str]:
    """The command that bwrap starts. Without a control group for processes, RLIMIT_NPROC limits their number: the
    kernel counts them for each user namespace."""
    if counts_processes:
        return ["/bin/sh", "-ec", FIRST, marker(spec.id), *argv]
    if spec.image is not None:  # an image may lack prlimit
        return ["/bin/sh", "-ec", f"{COUNTED.format(spec.limits.pids)}; {FIRST}", marker(spec.id), *argv]
    counted = ["/usr/bin/prlimit", f"--nproc={spec.limits.pids}", "--"]
    return ["/bin/sh", "-ec", FIRST, marker(spec.id), *counted, *argv]


def launch_command(
    spec: Spec,
    *,
    uid: int | None,
    is_handed_over: bool,
    open_files: int,
    join_files: Sequence[Path],
    arguments: int,
    network: Network | None,
    payload: Sequence[str],
) -> list[str]:
    """The command that the runner starts. `uid` None: we are not root, and the sandbox runs as our own uid.
    `is_handed_over`: the workspace, with all files in it, is given to `uid`."""
    namespace = [] if uid is None else ["unshare", "--mount", "--propagation", "slave", "--"]
    return [
        *namespace,
        *("/bin/sh", "-euc", LAUNCHER, "agentcontainer"),
        "" if uid is None else str(uid),
        str(open_files),
        *(str(spec.workspace), "yes" if is_handed_over else ""),
        *(("", "") if spec.is_helper else (str(spec.sockets), str(spec.runtime))),
        *("" if path is None else str(path) for path in (spec.image, spec.given)),
        *(("", "") if network is None else (str(network.path("net")), str(network.path("user")))),
        *(str(path) for path in join_files),
        *("--", "bwrap", "--args", str(arguments), "--", *payload),
    ]
