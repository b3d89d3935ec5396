"""The distributions that `make wheels` builds: the same bytes each time, also from an sdist, and installed by the tools
of users into a clean environment without the repository, as root and as an ordinary user."""

import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ordinary_user import UID, as_ordinary_user

pytestmark = [pytest.mark.long, pytest.mark.timeout(1200), pytest.mark.xdist_group("installation")]

ROOT = Path(__file__).parents[2]
SOURCES = ("src", "client", "scripts", "docs", "deploy")
EPOCH = "1767225600"


def build(folder: Path, out: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), str(folder)],
        env=os.environ | {"SOURCE_DATE_EPOCH": EPOCH}, check=True, capture_output=True, umask=0o022,
    )  # fmt: skip


@pytest.fixture(scope="module")
def dist() -> Iterator[Path]:
    """A folder with both sdists and both wheels, built from a copy of the sources. Everybody can read it."""
    folder = Path(tempfile.mkdtemp(prefix="ac-dist-", dir="/tmp"))
    folder.chmod(0o755)
    copy = folder / "copy"
    copy.mkdir()
    for name in SOURCES:
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    for file in ROOT.iterdir():
        if file.is_file():
            shutil.copy(file, copy)
    out = folder / "dist"
    for project in (copy, copy / "client"):
        build(project, out)
    yield out
    shutil.rmtree(folder)


def test_an_sdist_builds_the_same_wheel_again(dist: Path, tmp_path: Path) -> None:
    for sdist in dist.glob("*.tar.gz"):
        with tarfile.open(sdist) as tar:
            tar.extractall(tmp_path, filter="data")
        project = tmp_path / sdist.name.removesuffix(".tar.gz")
        for path in project.rglob("*"):
            os.utime(path, (1, 1))
        build(project, tmp_path / "again")
    again = {path.name: path.read_bytes() for path in (tmp_path / "again").glob("*.whl")}
    assert again == {path.name: path.read_bytes() for path in dist.glob("*.whl")}
    assert len(again) == 2


def test_the_wheels_have_their_licences_and_code_of_nobody_else(dist: Path) -> None:
    for name, licences, package in (
        ("agentcontainer-", {"LICENSE", "THIRD_PARTY.md"}, "agentcontainer"),
        ("agentcontainer_client-", {"LICENSE"}, "agentcontainer_client"),
    ):
        [wheel] = dist.glob(f"{name}*.whl")
        names = zipfile.ZipFile(wheel).namelist()
        assert {Path(path).name for path in names if ".dist-info/licenses/" in path} == licences
        assert {path.partition("/")[0] for path in names if ".dist-info/" not in path} == {package}


@pytest.fixture(scope="module")
def tools() -> Iterator[Path]:
    """The programs uv and pipx, which everybody can run."""
    folder = Path(tempfile.mkdtemp(prefix="ac-tools-", dir="/tmp"))
    folder.chmod(0o755)
    subprocess.run([sys.executable, "-m", "venv", str(folder / "venv")], check=True)
    install = [folder / "venv/bin/python", "-m", "pip", "install", "--quiet", "uv", "pipx"]
    subprocess.run(install, check=True, capture_output=True)
    yield folder / "venv/bin"
    shutil.rmtree(folder)


@pytest.mark.parametrize("user", ["root", "ordinary"])
@pytest.mark.parametrize("tool", ["pip", "uv", "pipx"])
def test_a_tool_installs_the_server_and_its_command_is_found(
    dist: Path, tools: Path, short_dir: Path, tool: str, user: str
) -> None:
    short_dir.chmod(0o755)
    home = short_dir / "home"
    home.mkdir()
    if user == "ordinary":
        os.chown(home, UID, UID)
    [server], [client] = dist.glob("agentcontainer-*.whl"), dist.glob("agentcontainer_client-*.whl")
    bin_dir = home / ".local/bin"
    script = {
        "pip": f"{sys.executable} -m venv {home}/venv && mkdir -p {bin_dir}"
        f" && ln -s {home}/venv/bin/agentcontainer {bin_dir}"
        f" && {home}/venv/bin/pip install --quiet {client} {server}",
        "uv": f"{tools}/uv tool install --quiet --find-links {dist} --python {sys.executable} {server}",
        "pipx": f"{tools}/pipx install --quiet --python {sys.executable} --pip-args='--find-links {dist}' {server}",
    }[tool]
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("AGENTCONTAINER_", "XDG_", "PIPX_", "UV_"))
    }
    environment |= {"HOME": str(home), "TMPDIR": str(home), "PATH": f"{bin_dir}:/usr/local/bin:/usr/bin:/bin"}

    def run(command: str) -> str:
        argv = ["sh", "-euc", f"umask 022; cd {home}; {command}"]
        argv = as_ordinary_user(argv) if user == "ordinary" else argv
        done = subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=900, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    run(script)
    assert "agentcontainer" in run("agentcontainer --version")
    commands = run("agentcontainer --help")
    assert "chat" in commands and "runner" in commands
    assert str(ROOT) not in run(f"{bin_dir}/agentcontainer config --data-dir {home}/data || true")
