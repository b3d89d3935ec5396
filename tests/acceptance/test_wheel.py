"""AgentContainer from its wheels, in plain virtual environments outside of the repository, as root and as an ordinary
user."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from agentcontainer.runtime.install import share_dir
from tests.acceptance.up import environment
from tests.ordinary_user import UID, as_ordinary_user

pytestmark = [pytest.mark.long, pytest.mark.timeout(600), pytest.mark.xdist_group("wheel")]

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PIP = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Path]]:
    """The wheels of server and client, built from copies of their sources."""
    folder = tmp_path_factory.mktemp("wheels")
    built: dict[str, Path] = {}
    for name, root in (("server", ROOT), ("client", ROOT / "client")):
        source = folder / name
        shutil.copytree(root / "src", source / "src", ignore=shutil.ignore_patterns("__pycache__"))
        for file in ("pyproject.toml", "README.md", "LICENSE", "THIRD_PARTY.md", "hatch_build.py"):
            if (root / file).exists():  # the client has nothing of others
                shutil.copy(root / file, source)
        options = ["--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", str(source)]
        subprocess.run([*PIP, "wheel", *options, str(source)], check=True)
        [built[name]] = source.glob("*.whl")
    yield built
    shutil.rmtree(folder)


@dataclass(frozen=True)
class Home:
    """A user with an empty home folder, whose `venv` has the server."""

    path: Path
    is_root: bool

    @property
    def command(self) -> Path:
        return self.path / "venv/bin/agentcontainer"

    @property
    def share(self) -> Path:
        """Where its agent runtime is, and the packages that it is made of."""
        return self.path / "venv/share/agentcontainer"

    def start(self, *argv: str | Path, **settings: str) -> subprocess.Popen[str]:
        """Start a program as this user, in the home folder."""
        words = [str(word) for word in argv]
        inherited = {name: value for name, value in environment().items() if not name.startswith("XDG_")}
        return subprocess.Popen(
            words if self.is_root else as_ordinary_user(words),
            cwd=self.path, env=inherited | {"HOME": str(self.path), "TMPDIR": str(self.path)} | settings,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def run(self, *argv: str | Path, **settings: str) -> subprocess.CompletedProcess[str]:
        process = self.start(*argv, **settings)
        out, err = process.communicate(timeout=300)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def install(self, name: str, *wheels: Path) -> Path:
        """A virtual environment with these wheels, which finds their dependencies in that of the repository."""
        venv = self.path / name
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
        [packages] = (venv / "lib").glob("python*/site-packages")
        (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
        options = ["--no-deps", "--no-index", "--ignore-installed"]
        for wheel in wheels:
            subprocess.run(
                [*PIP, "--python", str(venv / "bin/python"), "install", *options, str(wheel)], check=True
            )
        return venv

    def own(self) -> None:
        """Give everything in the home folder to the user."""
        if not self.is_root:
            subprocess.run(["chown", "-R", f"{UID}:{UID}", self.path], check=True)


@pytest.fixture(params=["root", "ordinary"])
def home(request: pytest.FixtureRequest, wheels: dict[str, Path], short_dir: Path) -> Home:
    """Nothing is fetched: the packages of the runtime are there."""
    short_dir.chmod(0o711)
    home = Home(short_dir / "home", is_root=request.param == "root")
    home.path.mkdir()
    home.install("venv", wheels["client"], wheels["server"])
    shutil.copytree(share_dir() / "tarballs", home.share / "tarballs")
    home.own()
    return home


def test_the_first_demo_of_a_wheel_installs_the_runtime_and_runs(home: Home) -> None:
    refused = home.run(home.command, "doctor", "--prove")
    assert refused.returncode == 1
    assert refused.stderr == (
        f"error: The agent runtime of this version is not installed. Run: {home.command} setup\n"
    )
    demo = home.run(home.command, "demo")
    assert demo.returncode == 0, demo.stderr
    assert "(1 of 3)" in demo.stderr
    assert "the agent runtime is installed" in demo.stderr
    assert (home.path / "demo-output/report.md").is_file()
    setup = home.run(home.command, "setup")
    assert setup.returncode == 0, setup.stdout
    assert "installing" not in setup.stdout, "it is there already"


def test_a_package_with_another_hash_is_not_installed(home: Home) -> None:
    for tarball in (home.share / "tarballs").iterdir():
        tarball.write_bytes(b"another content")
    done = home.run(
        home.command, "setup", npm_config_registry="http://127.0.0.1:9", npm_config_fetch_retries="0"
    )
    assert done.returncode == 1
    assert "could not be fetched" in done.stderr
    assert f"To try again: {home.command} setup" in done.stderr
    assert not os.path.lexists(home.share / "runtime")


def test_after_up_the_commands_of_the_readme_work_from_the_wheel_of_the_client_alone(
    home: Home, wheels: dict[str, Path]
) -> None:
    laptop = home.install("laptop", wheels["client"]) / "bin"
    home.own()
    [commands] = [block for block in BLOCK.findall((ROOT / "README.md").read_text()) if "chat" in block]
    server = home.start(
        "sh", "-c", 'exec "$@" 2>up.log',
        "sh", home.command, "up", "--offline-model", "--data-dir", home.path / "data", "--port", "0",
    )  # fmt: skip
    try:
        assert server.stdout is not None
        started = ""
        for line in server.stdout:
            started += line
            if "Ctrl-C" in line:
                break
        assert "Profile   local" in started, started + (home.path / "up.log").read_text()
        done = home.run("bash", "-euc", commands, PATH=f"{laptop}:{os.environ['PATH']}")
        assert done.returncode == 0, done.stderr
        assert (home.path / "answer.txt").read_text()
        assert (home.path / "out/report.md").is_file()
        assert "What can you do?" in done.stdout
    finally:
        server.terminate()
        server.communicate(timeout=60)
