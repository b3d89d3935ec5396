"""Files of the host, read and written."""

from agentcontainer.prove.attempt import Attempt, Group, Place
from agentcontainer.prove.payload import perl
from agentcontainer.prove.places import bare, sandboxed, weakened
from agentcontainer.prove.targets import nonce_only, reachable, secret_file
from agentcontainer.prove.weakened import adding, without


def _read(name: str, tries: str, script: str) -> Attempt:
    return Attempt(name, tries, perl(script), secret_file, sandboxed, bare)


def _there(name: str, tries: str, *paths: str) -> Attempt:
    script = perl(f"print $ARGV[0] if grep {{ -e }} qw({' '.join(paths)});")
    return Attempt(name, tries, script, nonce_only, sandboxed, bare)


def _write(name: str, tries: str, path: str, control: Place) -> Attempt:
    script = perl(f'my $f; open($f, ">>", "{path}") && print $f "x" and close $f and print $ARGV[0];')
    return Attempt(name, tries, script, nonce_only, sandboxed, control)


def _write_at(name: str, tries: str, inside: str, outside: str) -> Attempt:
    script = perl('my $f; open($f, ">>", $ARGV[1]) && print $f "x" and close $f and print $ARGV[0];')
    return Attempt(name, tries, script, reachable(inside, outside), sandboxed, bare)


FILES = Group(
    "files",
    (
        _read("path", "Reads a file of the host by its path.", "print slurp($ARGV[0]);"),
        _read(
            "root-of-pid-1",
            "Reads it through the root of the first process it sees.",
            'print slurp("/proc/1/root$ARGV[0]"), slurp("/proc/$$/root$ARGV[0]");',
        ),
        _read(
            "dots",
            "Climbs from its folder to the top of all, and down to the file.",
            'print slurp(("../" x 60) . $ARGV[0]);',
        ),
        _read(
            "symbolic-link",
            "Makes a link to it in its workspace, and reads the link.",
            'symlink $ARGV[0], "link"; print slurp("link");',
        ),
        _read(
            "hard-link",
            "Makes a hard link to it in its workspace.",
            'link $ARGV[0], "hard"; print slurp("hard");',
        ),
        _read(
            "open-descriptors",
            "Looks for a folder of the host among its open files, and climbs from there.",
            'print map { slurp("/proc/self/fd/$_/../../../../../..$ARGV[0]") } 0 .. 255; print slurp("/proc/self/cwd/'
            '../../../../../../../../..$ARGV[0]");',
        ),
        _there(
            "accounts",
            "Looks for the host's accounts and names.",
            "/etc/shadow",
            "/etc/hostname",
            "/etc/fstab",
        ),
        _there("homes", "Looks for the homes of the host's users.", "/root", "/home"),
        _there("state", "Looks for what the host's services keep.", "/var/lib", "/var/log", "/var/cache"),
        _there(
            "devices-of-the-host",
            "Looks for the host's hardware.",
            "/sys/class",
            "/sys/kernel",
            "/dev/mqueue",
        ),
        _there("run", "Looks for what runs on the host.", "/run/lock", "/run/systemd", "/run/docker.sock"),
        _write_at(
            "runtime", "Changes the programs that every sandbox runs.", "/opt/agentcontainer/x", "outside/x"
        ),
        _write_at("sockets-folder", "Adds a socket beside its own.", "/run/agentcontainer/x", "sockets/x"),
        _write(
            "system",
            "Changes the host's programs.",
            "/usr/local/x",
            weakened(adding("--tmpfs", "/usr/local")),
        ),
        _write(
            "root",
            "Writes into the root folder, which is memory.",
            "/x",
            weakened(without("--remount-ro", "/")),
        ),
        _write(
            "accounts-inside",
            "Makes itself an account.",
            "/etc/passwd",
            weakened(without("--remount-ro", "/")),
        ),
        _write(
            "dev", "Writes into /dev, which is memory.", "/dev/x", weakened(without("--remount-ro", "/dev"))
        ),
        Attempt(
            "device-node",
            "Makes a device of its own to reach a disk or memory.",
            perl('mkdir "d"; system("mknod", "d/null", "c", "1", "3") == 0 and print $ARGV[0];'),
            nonce_only,
            sandboxed,
            bare,
            is_for_root=True,
        ),
    ),
)
