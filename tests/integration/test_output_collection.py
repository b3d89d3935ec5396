"""Collecting declared files from a hostile workspace: only its own files, read once, byte for byte."""

import asyncio
import hashlib
import os
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agentcontainer.domain.execution.model import NamedOutput, OutputPolicy
from agentcontainer.domain.files.blobs import Blobs
from agentcontainer.domain.tasks.model import Output
from agentcontainer.domain.tasks.output_policy import Declared
from agentcontainer.errors import Unavailable
from agentcontainer.runner.workspace.outputs import Refused, collect

CWD = "/workspace/task"
ANY = OutputPolicy("any")


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    (tmp_path / "workspace/task").mkdir(parents=True)
    (tmp_path / "secret").write_text("the host's secret")
    return tmp_path / "workspace"


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    return Blobs(f"file://{tmp_path}/blobs")


async def take(
    workspace: Path, blobs: Blobs, *paths: str, policy: OutputPolicy = ANY, limit: int = 10**9
) -> list[Output]:
    declared = [Declared(path) for path in paths]
    return await collect(workspace, CWD, declared, policy, blobs, "tsk_test", limit)


async def read(blobs: Blobs, key: str) -> bytes:
    async def chunks() -> AsyncIterator[bytes]:
        async for chunk in blobs.stream(key):
            yield chunk

    return b"".join([chunk async for chunk in chunks()])


async def test_files_arrive_byte_for_byte(workspace: Path, blobs: Blobs) -> None:
    content = os.urandom(3_000_000)
    (workspace / "task/data.bin").write_bytes(content)
    (workspace / "task/empty.md").touch()
    big, empty = await take(workspace, blobs, "data.bin", f"{CWD}/empty.md")
    assert await read(blobs, big.blob_key) == content
    assert (big.size_bytes, big.sha256) == (len(content), hashlib.sha256(content).hexdigest())
    assert (big.filename, big.content_type) == ("data.bin", "application/octet-stream")
    assert (empty.size_bytes, empty.content_type) == (0, "text/markdown")


async def test_sparse_files_count_with_their_apparent_size(
    workspace: Path, blobs: Blobs, tmp_path: Path
) -> None:
    for name in ("a.bin", "b.bin"):
        with (workspace / "task" / name).open("wb") as file:
            file.truncate(600)
    declared = [Declared("a.bin"), Declared("b.bin")]
    with pytest.raises(Refused, match=r"b\.bin: with it, the files are larger than a workspace may be"):
        await collect(workspace, CWD, declared, ANY, blobs, "tsk_test", 10**6, 1000)
    assert not [path for path in (tmp_path / "blobs").rglob("*") if path.is_file()]
    assert len(await collect(workspace, CWD, declared, ANY, blobs, "tsk_test", 10**6, 1200)) == 2


async def test_a_file_that_is_too_large_is_refused_before_a_byte_is_sent_to_the_store(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    unreachable = Blobs("s3://bucket?endpoint=http://127.0.0.1:9&region=eu-central-1")
    with (workspace / "task/a.bin").open("wb") as file:
        file.truncate(10**12)
    with pytest.raises(Refused, match="larger than 1000000 bytes"):
        await collect(workspace, CWD, [Declared("a.bin")], ANY, unreachable, "tsk_test", 10**6)
    (workspace / "task/b.bin").write_text("small")
    with pytest.raises(Unavailable):  # the store really cannot be reached
        await collect(workspace, CWD, [Declared("b.bin")], ANY, unreachable, "tsk_test", 10**6)


async def test_hostile_files_are_refused_and_nothing_is_stored(
    workspace: Path, blobs: Blobs, tmp_path: Path
) -> None:
    task = workspace / "task"
    (task / "real.md").write_text("real")
    (task / "link.md").symlink_to(tmp_path / "secret")
    (task / "inner-link.md").symlink_to("real.md")
    (task / "up").symlink_to(tmp_path)
    (task / "proc").symlink_to("/proc/self/root/etc")
    os.mkfifo(task / "pipe.md")
    (task / "folder").mkdir()
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(task / "socket.md"))
    listener.close()
    hints = {
        "link.md": "symbolic link", "inner-link.md": "symbolic link", "up/secret": "symbolic link",
        "proc/passwd": "symbolic link", "pipe.md": "not a regular file",
        "folder": "is a folder", "socket.md": "not a regular file", "missing.md": "does not exist",
        "real.md/x": "does not exist", "../../secret": "within /workspace", "/etc/passwd": "within /workspace",
        "a\nb": "control characters", "a\x1b[31m": "control characters", "a\u2028b": "control characters",
        "\x9b31m": "control characters", "a\\b": "not a path", "é" * 128: "at most 255 bytes",
        "real.md\0": "within /workspace", "x" * 5000 + "/a": "does not exist", "a/" * 3000 + "a": "does not exist",
        ".": "is a folder", "..": "within /workspace", "": "is a folder",
    }  # fmt: skip
    for path, hint in hints.items():
        with pytest.raises(Refused, match=hint):
            await take(workspace, blobs, path)
    with pytest.raises(Refused, match="declared twice"):
        await take(workspace, blobs, "real.md", "./real.md")
    assert not [path for path in (tmp_path / "blobs").rglob("*") if path.is_file()]


async def test_files_with_hard_links_in_the_workspace_are_stored(workspace: Path, blobs: Blobs) -> None:
    (workspace / "cache").mkdir()
    (workspace / "cache/tool").write_text("built")
    os.link(workspace / "cache/tool", workspace / "task/tool")
    [output] = await take(workspace, blobs, "tool")
    assert output.size_bytes == 5


async def test_a_file_is_found_under_either_spelling_of_its_name(workspace: Path, blobs: Blobs) -> None:
    (workspace / "task/u\u0308").mkdir()
    (workspace / "task/u\u0308/a\u0308.md").write_text("decomposed")
    (workspace / "task/o\u0308.md").write_text("decomposed")
    (workspace / "task/\u00f6.md").write_text("composed")
    outputs = await take(workspace, blobs, "\u00fc/\u00e4.md", "o\u0308.md")
    assert [await read(blobs, output.blob_key) for output in outputs] == [b"decomposed"] * 2
    [output] = await take(workspace, blobs, "\u00f6.md")
    assert await read(blobs, output.blob_key) == b"composed"


async def test_outputs_with_one_name_have_different_paths(workspace: Path, blobs: Blobs) -> None:
    for folder in ("north", "south"):
        (workspace / "task" / folder).mkdir()
        (workspace / "task" / folder / "report.md").write_text(folder)
    outputs = await take(workspace, blobs, "north/report.md", f"{CWD}/south/report.md")
    assert [(output.filename, output.path) for output in outputs] == [
        ("report.md", "north/report.md"), ("report.md", "south/report.md"),
    ]  # fmt: skip


async def test_a_hostile_working_folder_is_refused(workspace: Path, blobs: Blobs) -> None:
    (workspace / "task/real.md").write_text("real")
    for cwd in (f"{CWD}/real.md\0", "/etc", "/workspace/../etc", "\0", "../..", "/workspace/task\0/../../.."):
        with pytest.raises(Refused, match="within /workspace"):
            await collect(workspace, cwd, [Declared("real.md")], ANY, blobs, "tsk_test", 10**6)


async def test_a_file_above_the_limit_is_refused(workspace: Path, blobs: Blobs, tmp_path: Path) -> None:
    (workspace / "task/big.bin").write_bytes(b"x" * 1001)
    with pytest.raises(Refused, match="larger than 1000 bytes"):
        await take(workspace, blobs, "big.bin", limit=1000)
    assert not [path for path in (tmp_path / "blobs").rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    ("content", "hint"),
    [
        ('{"total": 1}', None),
        ('{"a": [' + "1," * 400_000 + "1]}", None),
        ('{"total": "1"}', "total"),
        ("{", "not valid JSON, which the output out must be: Expecting property name"),
        ("[" * 100_000, "not valid JSON"),
        ('{"total": NaN}', "must be: NaN is not JSON: line 1 column 11"),
        ('{"a": ' + "9" * 10_000 + "}", "not valid JSON"),
        ('{"total": ' + "[" * 400 + "]" * 400 + "}", "nests too deep"),
        ('{"total": "\\ud800"}', "half a surrogate pair"),
        ('{"\\ud800": 1}', "half a surrogate pair"),
        ('{"a": [' + "[]," * 1_000_000 + "1]}", "too many values"),
    ],
    ids=lambda value: str(value)[:24],
)
async def test_a_named_output_is_checked_against_its_json_schema(
    workspace: Path, blobs: Blobs, content: str, hint: str | None
) -> None:
    (workspace / "task/out.json").write_text(content)
    schema = {"type": "object", "properties": {"total": {"type": "number"}}}
    policy = OutputPolicy("named", (NamedOutput("out", content_type="application/json", json_schema=schema),))
    declared = [Declared("out.json", "out")]
    if hint is None:
        [output] = await collect(workspace, CWD, declared, policy, blobs, "tsk_test", 10**6)
        assert output.output_name == "out"
    else:
        with pytest.raises(Refused, match=hint):
            await collect(workspace, CWD, declared, policy, blobs, "tsk_test", 10**7)


async def test_the_stored_bytes_are_those_that_were_checked(workspace: Path, blobs: Blobs) -> None:
    file = workspace / "task/out.json"
    file.write_text("1")
    policy = OutputPolicy("named", (NamedOutput("out", json_schema={"type": "number"}),))
    collecting = asyncio.create_task(
        collect(workspace, CWD, [Declared("out.json", "out")], policy, blobs, "tsk_test", 10**6)
    )
    await asyncio.sleep(0.05)  # the check is a process of its own, which takes longer to start
    file.write_text('"no number"')
    try:
        [output] = await collecting
    except Refused:  # this machine was slow: it has read the second content
        return
    assert await read(blobs, output.blob_key) == b"1"


async def test_a_slow_schema_check_times_out_without_blocking_the_runner(
    workspace: Path, blobs: Blobs
) -> None:
    (workspace / "task/out.json").write_text("1")
    twice = {f"a{n}": {"anyOf": [{"$ref": f"#/$defs/a{n + 1}"}] * 2} for n in range(60)}
    schema = {"$ref": "#/$defs/a0", "$defs": twice | {"a60": {"type": "string"}}}
    policy = OutputPolicy("named", (NamedOutput("out", json_schema=schema),))
    beats = 0

    async def beat() -> None:
        nonlocal beats
        while True:
            await asyncio.sleep(0.01)
            beats += 1

    beating = asyncio.create_task(beat())
    with pytest.raises(
        Refused, match=r"out.json: takes too long to be checked against the JSON Schema of out\."
    ):
        await collect(workspace, CWD, [Declared("out.json", "out")], policy, blobs, "tsk_test", 10**6)
    beating.cancel()
    assert beats > 20
