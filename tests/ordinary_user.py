"""Runs this installation as another user, wherever it is installed, for tests that run as root."""

import os
import shlex
import sys
from pathlib import Path

UID = 65534
NEEDED = (Path(sys.base_prefix), Path(sys.prefix), Path(__file__).parents[1] / "src")


def as_ordinary_user(argv: list[str]) -> list[str]:
    """The argv that runs `argv` as an ordinary user. Where only root can reach this interpreter or this package
    (below /root, say), they are made visible at their own paths in a mount namespace of the process alone."""
    hidden = sorted({top for path in NEEDED if (top := _closed_ancestor(path))})
    stages = {path: f"/mnt/{number}" for number, path in enumerate(NEEDED) if _closed_ancestor(path)}
    script = ["mount -t tmpfs -o mode=755 none /mnt"]
    for path, stage in stages.items():
        script.append(f"mkdir {stage}; mount --bind {shlex.quote(str(path))} {stage}")
    script += [f"mount -t tmpfs -o mode=755 none {shlex.quote(str(top))}" for top in hidden]
    for path, stage in stages.items():
        quoted = shlex.quote(str(path))
        script.append(f"mkdir -p {quoted}; mount --move {stage} {quoted}")
    script.append('exec "$@"')
    drop = ["setpriv", f"--reuid={UID}", f"--regid={UID}", "--clear-groups"]
    return ["unshare", "--mount", "sh", "-euc", "\n".join(script), "sh", *drop, *argv]


def _closed_ancestor(path: Path) -> Path | None:
    for ancestor in reversed(path.resolve().parents):
        if not ancestor.stat().st_mode & 0o001:
            return ancestor
    return None


def home_in(folder: Path) -> Path:
    """A folder in `folder` that the ordinary user owns."""
    folder.chmod(0o711)
    home = folder / "home"
    home.mkdir()
    os.chown(home, UID, UID)
    return home
