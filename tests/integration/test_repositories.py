"""Repositories, cloned by real git in a real sandbox from a real git server."""

import asyncio
import base64
import os
import secrets
import stat
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from agentcontainer.domain.tasks.repositories import Repository
from agentcontainer.runner.workspace import repositories
from agentcontainer.runner.workspace.inputs import InputUnavailable
from agentcontainer.runner.workspace.repositories import Cloning
from agentcontainer.runtime.install import check, runtime_dir
from agentcontainer.sandbox import procfs
from agentcontainer.sandbox.bubblewrap import Bubblewrap
from agentcontainer.sandbox.contract import Limits
from agentcontainer.sandbox.destinations import Destinations
from tests import certificates
from tests.git_server import TOKEN, GitServer
from tests.uids import UID_BASE

NAME = f"tsk_test{os.getpid()}-1"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GitServer]:
    with GitServer(tmp_path_factory.mktemp("remote")).running() as server:
        server.make("app", {"README.md": b"Hello.\n", "src/main.py": b"print(1)\n"})
        yield server


class Bed:
    """A runner's folder and the workspace for clones."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "runner"
        self.target = folder / "task_files"
        self.folder.mkdir(mode=0o700)
        self.target.mkdir()
        self.sandboxes = Bubblewrap(UID_BASE, folder / "locks")

    async def place(
        self,
        *requested: Repository,
        max_bytes: int = 50 * 1024**2,
        is_private_allowed: bool = True,
        ca_bundle: Path | None = None,
    ) -> list[Path]:
        cloning = Cloning(
            self.sandboxes, runtime_dir(), Limits(512 * 1024**2, 64, 2), self.folder, NAME, max_bytes,
            Destinations(is_private_allowed=is_private_allowed), ca_bundle,
        )  # fmt: skip
        await repositories.place(cloning, requested, self.target)
        return sorted(self.target.iterdir())

    async def refusal(self, repository: Repository, **limits: int) -> str:
        with pytest.raises(InputUnavailable) as caught:
            await self.place(repository, **limits)
        assert list(self.target.iterdir()) == []
        return str(caught.value)


@pytest.fixture
async def bed(short_dir: Path) -> AsyncIterator[Bed]:
    check()
    bed = Bed(short_dir)
    yield bed
    assert list(bed.folder.iterdir()) == [], "a clone's own folder must be gone"
    assert not [name for name in procfs.sandbox_ids() if name.startswith(f"{NAME}-clone")]


def head(clone: Path) -> str:
    return (clone / ".git/HEAD").read_text().strip()


async def test_a_repository_is_cloned_one_commit_deep_on_its_default_branch(
    bed: Bed, server: GitServer
) -> None:
    server.commit("app", {"more.txt": b"x"})
    (clone,) = await bed.place(Repository(server.url("git", "app/.git"), path="app"))
    assert (clone.name, (clone / "src/main.py").read_bytes()) == ("app", b"print(1)\n")
    assert head(clone) == "ref: refs/heads/main"
    assert (clone / ".git/shallow").exists()
    assert not (clone / ".git/hooks").exists()
    config = (clone / ".git/config").read_text()
    assert server.url("git", "app/.git") in config
    assert "8090" not in config and "hooksPath" not in config


async def test_a_server_with_a_certificate_of_the_companys_ca_is_trusted_by_its_bundle(
    bed: Bed, tmp_path: Path
) -> None:
    ca_file, tls = certificates.make(tmp_path)
    with GitServer(tmp_path, tls).running() as server:
        server.make("app", {"README.md": b"Hello."})
        repository = Repository(server.url("git", "app"))
        assert "certificate" in await bed.refusal(repository)
        (clone,) = await bed.place(repository, ca_bundle=ca_file)
    assert (clone / "README.md").read_bytes() == b"Hello."


async def test_branches_tags_and_commits_can_be_named(bed: Bed, server: GitServer) -> None:
    folder = server.make("refs", {"f": b"1"})
    first = server.git("rev-parse", "HEAD", folder=folder)
    server.git("tag", "v1", folder=folder)
    server.commit("refs", {"f": b"2"})
    server.git("checkout", "--quiet", "-b", "feature/x", folder=folder)
    server.commit("refs", {"f": b"3"})
    server.git("checkout", "--quiet", "main", folder=folder)
    url = server.url("git", "refs")
    await bed.place(
        *(
            Repository(url, ref, path)
            for path, ref in {"t": "v1", "b": "feature/x", "c": first, "d": None}.items()
        )
    )
    assert {path.name: (path / "f").read_bytes() for path in bed.target.iterdir()} == {
        "t": b"1", "b": b"3", "c": b"1", "d": b"2",
    }  # fmt: skip
    assert head(bed.target / "b") == "ref: refs/heads/feature/x"
    assert head(bed.target / "c") == first


async def test_full_names_of_refs_are_exact(bed: Bed, server: GitServer) -> None:
    folder = server.make("full", {"f": b"tag"})
    server.git("tag", "x", folder=folder)
    server.git("update-ref", "refs/pull/7/head", "HEAD", folder=folder)
    server.commit("full", {"f": b"main"})
    server.git("branch", "main-2", folder=folder)
    server.git("checkout", "--quiet", "-b", "x", folder=folder)
    server.commit("full", {"f": b"branch"})
    server.git("checkout", "--quiet", "main", folder=folder)
    url = server.url("git", "full")
    refs = {
        "d": "HEAD",
        "b": "refs/heads/x",
        "t": "refs/tags/x",
        "p": "refs/pull/7/head",
        "m": "refs/heads/main",
    }
    await bed.place(*(Repository(url, ref, path) for path, ref in refs.items()))
    assert {path.name: (path / "f").read_bytes() for path in bed.target.iterdir()} == {
        "d": b"main", "b": b"branch", "t": b"tag", "p": b"tag", "m": b"main",
    }  # fmt: skip
    assert [head(bed.target / name) for name in "dbm"] == [
        "ref: refs/heads/main", "ref: refs/heads/x", "ref: refs/heads/main",
    ]  # fmt: skip
    assert '[branch "x"]' in (bed.target / "b/.git/config").read_text(), "it follows the remote's branch"


async def test_equal_names_get_numbers_beside_the_input_files(bed: Bed, server: GitServer) -> None:
    (bed.target / "app").write_text("an input file")
    url = server.url("git", "app")
    names = [path.name for path in await bed.place(Repository(url), Repository(url))]
    assert names == ["app", "app (2)", "app (3)"]
    assert (bed.target / "app").read_text() == "an input file"


async def test_a_missing_repository_or_ref_is_reported_in_a_sentence(bed: Bed, server: GitServer) -> None:
    missing_ref = await bed.refusal(Repository(server.url("git", "app"), "nope"))
    assert "The repository app of 127.0.0.1 could not be cloned: " in missing_ref
    assert "it has no branch or tag nope" in missing_ref
    assert "nope" in await bed.refusal(Repository(server.url("git", "app"), "refs/heads/nope"))
    assert str(server.port) not in missing_ref
    assert "not found" in await bed.refusal(Repository(server.url("git", "nothing")))
    unknown = await bed.refusal(Repository(server.url("git", "app"), "ab" * 20))
    assert "not our ref" in unknown or "unadvertised" in unknown, unknown


async def test_a_host_off_the_public_internet_is_refused_unless_allowed(bed: Bed, server: GitServer) -> None:
    before = len(server.requests)
    for host in ("127.0.0.1", "localhost", "[::1]", "2130706433", "0x7f.1", "169.254.169.254"):
        url = f"http://{host}:{server.port}/git/app"
        refusal = await bed.refusal(Repository(url), is_private_allowed=False)
        assert "not on the public internet" in refusal or "another host" in refusal, refusal
    assert len(server.requests) == before


async def test_redirects_are_followed_on_the_same_host_only(bed: Bed, server: GitServer) -> None:
    before = len(server.requests)
    assert "another host" in await bed.refusal(Repository(server.url("elsewhere", "app"), token=TOKEN))
    assert [path for path, _ in server.requests[before:]] == ["/elsewhere/app/info/refs"]
    assert [path.name for path in await bed.place(Repository(server.url("moved", "app")))] == ["app"]


async def test_the_token_reaches_the_server_and_nothing_else(
    bed: Bed, server: GitServer, capfd: pytest.CaptureFixture[str]
) -> None:
    (clone,) = await bed.place(Repository(server.url("private", "app"), token=TOKEN))
    assert (clone / "README.md").exists()
    encoded = base64.b64encode(f"x-access-token:{TOKEN}".encode())
    for path in clone.rglob("*"):
        if path.is_file():
            assert TOKEN.encode() not in path.read_bytes() and encoded not in path.read_bytes(), path
    assert TOKEN not in "".join(capfd.readouterr())


async def test_a_wrong_token_is_not_repeated(bed: Bed, server: GitServer) -> None:
    wrong_token = "wrong" + secrets.token_hex(8)
    for token in (wrong_token, None):
        refusal = await bed.refusal(Repository(server.url("private", "app"), token=token))
        assert "needs a token" in refusal
        assert wrong_token not in refusal


async def test_the_token_shows_in_no_process(bed: Bed, server: GitServer) -> None:
    cloning = asyncio.create_task(bed.place(Repository(server.url("slow", "app"), token=TOKEN)))
    secrets_ = (TOKEN.encode(), base64.b64encode(f"x-access-token:{TOKEN}".encode()))
    has_seen_git = False
    while not cloning.done():
        for pid in [entry for entry in os.listdir("/proc") if entry.isdigit()]:
            try:
                command = Path(f"/proc/{pid}/cmdline").read_bytes()
                visible = command + Path(f"/proc/{pid}/environ").read_bytes()
            except OSError:
                continue
            has_seen_git |= b"/slow/app" in command and command.startswith(b"git\0")
            assert not any(secret in visible for secret in secrets_), command
        await asyncio.sleep(0.1)
    await cloning
    assert has_seen_git


async def test_git_runs_unprivileged_and_without_a_network(bed: Bed, server: GitServer) -> None:
    cloning = asyncio.create_task(bed.place(Repository(server.url("slow", "app"))))
    observed: set[tuple[int, str]] = set()
    while not cloning.done():
        for pid in [entry for entry in os.listdir("/proc") if entry.isdigit()]:
            try:
                if Path(f"/proc/{pid}/comm").read_text().startswith("git"):
                    command = Path(f"/proc/{pid}/cmdline").read_bytes()
                    if server.url("slow", "app").encode() in command:
                        observed.add((os.stat(f"/proc/{pid}").st_uid, os.readlink(f"/proc/{pid}/ns/net")))
            except OSError:
                continue
        await asyncio.sleep(0.1)
    await cloning
    assert observed
    for uid, network in observed:
        assert UID_BASE <= uid < UID_BASE + 1000 or os.geteuid() != 0
        assert network != os.readlink("/proc/self/ns/net")


async def test_a_repository_is_refused_by_the_bytes_received(bed: Bed, server: GitServer) -> None:
    server.make("large", {"noise": os.urandom(8 * 1024**2)})
    assert "more than 2000000 bytes" in await bed.refusal(
        Repository(server.url("git", "large")), max_bytes=2_000_000
    )


async def test_a_repository_is_refused_by_its_unpacked_size(bed: Bed, server: GitServer) -> None:
    server.make("bomb", {f"{number}": bytes(500_000) for number in range(60)})
    assert "more than 5000000 bytes" in await bed.refusal(
        Repository(server.url("git", "bomb")), max_bytes=5_000_000
    )


async def test_empty_files_count_towards_the_size_limit(bed: Bed, server: GitServer) -> None:
    server.make("many", {f"{number}": b"" for number in range(2500)})
    assert "more than" in await bed.refusal(Repository(server.url("git", "many")), max_bytes=1_500_000)


async def test_submodules_are_not_fetched(bed: Bed, server: GitServer) -> None:
    folder = server.make(
        "parent", {".gitmodules": f'[submodule "s"]\npath = s\nurl = {server.url("git", "app")}\n'.encode()}
    )
    commit = server.git("rev-parse", "HEAD", folder=server.folder / "app")
    server.git("update-index", "--add", "--cacheinfo", f"160000,{commit},s", folder=folder)
    server.git("commit", "--quiet", "--message", "s", folder=folder)
    before = len(server.requests)
    (clone,) = await bed.place(Repository(server.url("git", "parent")))
    assert list((clone / "s").iterdir()) == []
    assert not any("/app/" in path for path, _ in server.requests[before:])


async def test_links_stay_links_and_hooks_are_not_cloned(bed: Bed, server: GitServer) -> None:
    folder = server.make("links", {"f": b"x"})
    (folder / "out").symlink_to("/etc")
    (folder / "hooks").symlink_to(".git/hooks")
    (folder / ".git/hooks/post-checkout").write_text("#!/bin/sh\ntouch /workspace/clone/hooked\n")
    (folder / ".git/hooks/post-checkout").chmod(0o755)
    server.git("add", "--all", folder=folder)
    server.git("commit", "--quiet", "--message", "links", folder=folder)
    (clone,) = await bed.place(Repository(server.url("git", "links")))
    assert os.readlink(clone / "out") == "/etc"
    assert sorted(path.name for path in clone.iterdir()) == [".git", "f", "hooks", "out"]
    assert stat.S_ISDIR((clone / ".git").lstat().st_mode)


@pytest.mark.parametrize("name", [b".git", b".GIT", b"..", b"git~1"])
async def test_a_tree_that_writes_into_git_itself_is_refused(
    bed: Bed, server: GitServer, name: bytes
) -> None:
    repository = f"evil-{secrets.token_hex(4)}"
    folder = server.make(repository, {"config": b"[core]\n\tfsmonitor = touch /tmp/hooked\n"})
    tree = server.git("rev-parse", "HEAD^{tree}", folder=folder)
    server.commit_tree(repository, b"40000 " + name + b"\0" + bytes.fromhex(tree))
    refusal = await bed.refusal(Repository(server.url("git", repository)))
    assert "invalid path" in refusal or "'.git/config' would be overwritten" in refusal


async def test_a_cancelled_clone_leaves_nothing(bed: Bed, server: GitServer) -> None:
    cloning = asyncio.create_task(bed.place(Repository(server.url("slow", "app"))))
    await asyncio.sleep(0.7)
    cloning.cancel()
    with pytest.raises(asyncio.CancelledError):
        await cloning
    assert list(bed.target.iterdir()) == []
