"""Turns the error messages of the programs that start a sandbox into sentences that an operator can act on."""

_CAUSES = (
    (
        ("No permissions to creat", "Creating new namespace failed", "setting up uid map", "RTM_NEWADDR"),
        "User namespaces are disabled for ordinary users on this host. Allow them (sysctl "
        "kernel.unprivileged_userns_clone=1, user.max_user_namespaces above 0, or, on Ubuntu, "
        "kernel.apparmor_restrict_unprivileged_userns=0).",
    ),
    (("Unknown option",), "bubblewrap is too old: 0.8.0 or newer is needed."),
    (("Can't chdir to",), "The sandbox's working directory does not exist in it."),
    (
        ("unshare:", "unshare failed", "mount:"),
        "Mounting was refused: root without CAP_SYS_ADMIN cannot run sandboxes.",
    ),
    (("cgroup.procs",), "The control group refused the sandbox."),
    (
        ("setpriv:",),
        "Changing to the sandbox's uid was refused: root needs CAP_SETUID, CAP_SETGID and CAP_SETPCAP.",
    ),
    (("chown:",), "The workspace could not be handed to the sandbox's uid: root needs CAP_CHOWN."),
    (("Can't find source path", "Permission denied"), "A folder of the sandbox cannot be read by its user."),
    (("not found",), "A program that starts sandboxes is missing. Install bubblewrap and util-linux."),
)


def explain(stderr: str) -> str:
    """A sentence about `stderr` without paths of the host. The caller logs `stderr` itself."""
    for needles, sentence in _CAUSES:
        if any(needle in stderr for needle in needles):
            return sentence
    return "The sandbox could not be started; the runner's log says why."
