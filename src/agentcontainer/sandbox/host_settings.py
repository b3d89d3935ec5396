"""Selects the host's settings in /etc that a sandbox without an image sees: those of programs below /usr, no secrets.

A file on the list is left out if its name suggests a secret, or if not every user of the host may read it. The other
files of its folder are then shown one by one.
"""

import os
import re
import stat
import time
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

ETC = Path("/etc")
_CACHE_SECONDS = 30
# Not on the list, because they may hold a password or a token: environment, gitconfig, npmrc, pip.conf, wgetrc,
# profile, bash.bashrc, maven/settings.xml, php, R/Renviron.site.
SHOWN = (
    "alternatives", "ld.so.cache", "ld.so.conf", "ld.so.conf.d",
    "ssl/certs", "ssl/openssl.cnf", "pki/tls/certs", "pki/tls/openssl.cnf", "pki/ca-trust/extracted",
    "crypto-policies/back-ends", "crypto-policies/config",
    "services", "protocols", "rpc", "ethertypes", "mime.types", "magic", "magic.mime",
    "os-release", "debian_version", "lsb-release", "locale.alias", "inputrc", "papersize", "terminfo",
    "java", "java-*-openjdk", "maven/m2.conf", "maven/logging", "python3*/sitecustomize.py",
    "R/Renviron", "R/ldpaths", "R/Makeconf", "R/javaconf", "R/repositories",
    "fonts", "chromium.d", "chromium/master_preferences", "chromium/initial_preferences",
    "groff", "texmf", "ghostscript", "ImageMagick-*", "libreoffice", "vim", "dictionaries-common",
    "X11/rgb.txt", "xml", "sgml", "glvnd", "OpenCL", "vulkan",
)  # fmt: skip
_OPEN_TO_ALL = (
    "alternatives",
    "ssl/certs",
    "pki/tls/certs",
    "pki/ca-trust/extracted",
)  # links and certificates
_SECRET = re.compile(
    r"passw|secret|private|credential|token|shadow|sudoers|api-?keys?|(^|[._-])keys?([._-]|$)|\.(pem|p12|pfx|jks)$",
    re.IGNORECASE,
)


def visible_paths(etc: Path = ETC) -> tuple[str, ...]:
    """The files and folders of `etc` to show inside. Cached for some seconds, or until `etc` changes."""
    try:
        changed_at = etc.stat().st_mtime_ns
    except OSError:
        return ()
    return _visible_paths(etc, changed_at, int(time.monotonic() / _CACHE_SECONDS))


@lru_cache(maxsize=4)
def _visible_paths(etc: Path, changed_at: int, period: int) -> tuple[str, ...]:  # noqa: ARG001
    paths = (path for pattern in SHOWN for path in sorted(etc.glob(pattern)) if _is_own(path, etc))
    whole = {str(etc / name) for name in _OPEN_TO_ALL}
    return tuple(part for path in paths for part in ([str(path)] if str(path) in whole else _public(path)))


def _is_own(path: Path, etc: Path) -> bool:
    """Whether it is in `etc` or in /usr, and not a link to somewhere else."""
    target = path.resolve()
    return target.is_relative_to(etc) or target.is_relative_to("/usr")


def _public(path: Path) -> Iterator[str]:
    """`path`, or if it holds something that is not public, the parts of it that are."""
    if _is_public(path):
        yield str(path)
    elif not _is_secret(path) and path.is_dir() and not path.is_symlink():
        for entry in sorted(path.iterdir()):
            yield from _public(entry)


def _is_public(path: Path) -> bool:
    """Whether everybody may read it, and no name in it suggests a secret."""
    if _is_secret(path):
        return False
    if path.is_symlink() or not path.is_dir():
        return True
    return all(_is_public(entry) for entry in path.iterdir())


def _is_secret(path: Path) -> bool:
    if _SECRET.search(path.name):
        return True
    try:
        mode = path.stat().st_mode
    except OSError:
        return not path.is_symlink()  # a link that leads nowhere holds nothing
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        return True
    needed = stat.S_IROTH | (stat.S_IXOTH if stat.S_ISDIR(mode) else 0)
    return mode & needed != needed or not os.access(path, os.R_OK)
