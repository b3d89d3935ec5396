"""Attempts to read and write files of the host."""

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


def _found_in_etc(name: str, tries: str) -> Attempt:
    script = perl(
        r"""
        my @secrets = ("/etc/shadow", "/etc/sudoers", "/etc/ssh", "/etc/ssl/private", "/etc/machine-id");
        my @found = grep { -e } @secrets;
        my @folders = ("/etc");
        while (defined(my $folder = shift @folders)) {
            opendir(my $handle, $folder) or next;
            for my $entry (grep { !/^\.\.?$/ } readdir $handle) {
                my $path = "$folder/$entry";
                next if -l $path;
                push @folders, $path if -d $path;
                push @found, $path if $entry =~ /password|secret|credential|token|apikey|\.key$|keytab|npmrc|gitconfig/;
                push @found, $path if -f $path && -s $path < 1e6 && slurp($path) =~ /BEGIN [A-Z ]*PRIVATE KEY/;
            }
        }
        print $ARGV[0] if @found;"""
    )
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
            "Reads the file through the root folder of the first process that it sees.",
            'print slurp("/proc/1/root$ARGV[0]"), slurp("/proc/$$/root$ARGV[0]");',
        ),
        _read(
            "dots",
            "Reads the file by a path that climbs above the root folder.",
            'print slurp(("../" x 60) . $ARGV[0]);',
        ),
        _read(
            "symbolic-link",
            "Reads the file through a symbolic link in its workspace.",
            'symlink $ARGV[0], "link"; print slurp("link");',
        ),
        _read(
            "hard-link",
            "Reads the file through a hard link in its workspace.",
            'link $ARGV[0], "hard"; print slurp("hard");',
        ),
        _read(
            "open-descriptors",
            "Reads the file from a folder of the host among its open file descriptors.",
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
        _found_in_etc(
            "secrets-in-etc",
            "Searches the host's settings in /etc for keys, passwords and tokens.",
        ),
        _there("homes", "Looks for the homes of the host's users.", "/root", "/home"),
        _there("state", "Looks for the data of the host's services.", "/var/lib", "/var/log", "/var/cache"),
        _there(
            "devices-of-the-host",
            "Looks for the host's hardware.",
            "/sys/class",
            "/sys/kernel",
            "/dev/mqueue",
        ),
        _there(
            "run",
            "Looks for the runtime files of the host's services.",
            "/run/lock",
            "/run/systemd",
            "/run/docker.sock",
        ),
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
            "Writes into the root folder, which is in memory.",
            "/x",
            weakened(without("--remount-ro", "/")),
        ),
        _write(
            "accounts-inside",
            "Adds an account.",
            "/etc/passwd",
            weakened(without("--remount-ro", "/")),
        ),
        _write(
            "dev",
            "Writes into /dev, which is in memory.",
            "/dev/x",
            weakened(without("--remount-ro", "/dev")),
        ),
        Attempt(
            "device-node",
            "Creates a device file to access a disk or memory.",
            perl('mkdir "d"; system("mknod", "d/null", "c", "1", "3") == 0 and print $ARGV[0];'),
            nonce_only,
            sandboxed,
            bare,
            is_for_root=True,
        ),
    ),
)
