"""Fuzz targets for data that a sandbox sends to its runner: Pi's frames, control requests, paths, skill archives."""

import dataclasses
import gzip
import io
import json
import os
import shutil
import tarfile
import tempfile
import zipfile
from pathlib import Path
from typing import Any

from agentcontainer import db
from agentcontainer.domain.execution.model import NamedOutput, OutputPolicy
from agentcontainer.domain.tasks.output_policy import Declared, json_faults, refusals
from agentcontainer.runner.agent import pi_frames, pi_framing
from agentcontainer.runner.control_requests import (
    FinishRequest,
    HibernateRequest,
    ShareRequest,
    WakeLinkRequest,
    message_of,
    parse,
    time_of,
)
from agentcontainer.runner.workspace import skill_archive as archives
from agentcontainer.runner.workspace.content_types import content_type_of
from agentcontainer.runner.workspace.outputs import Refused, path_inside, public_path
from agentcontainer.runner.workspace.safe_open import open_safely
from tests.fuzz.target import Target, pieces

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"total": {"type": "number", "maximum": 3}, "rows": {"uniqueItems": True}},
    "additionalProperties": {"pattern": "^a+$"},
}
POLICIES = (
    OutputPolicy("any"),
    OutputPolicy("none"),
    OutputPolicy("at_least_one"),
    OutputPolicy("named", (NamedOutput("report"), NamedOutput("data", required=False))),
)


def pi_stream(data: bytes) -> None:
    chunks, stream = pieces(data)
    splitter = pi_framing.FrameSplitter()
    frames = [frame for chunk in chunks for frame in splitter.feed(chunk)]
    *ended, _ = stream.split(b"\n")
    assert frames == pi_framing.FrameSplitter().feed(stream)
    assert set(frames) <= set(ended)
    for frame in frames:
        try:
            event = pi_frames.parse(frame)
        except ValueError:
            continue
        if event is not None:
            fields = dataclasses.asdict(event)
            assert db.storable(fields) == fields
            assert len(json.dumps(fields, allow_nan=False)) < 8 * len(frame) + 1000


def control_request(data: bytes) -> None:
    for kind, command in ((ShareRequest, "share"), (WakeLinkRequest, "hibernate")):
        _read(kind, data, command)
    parsed = _read(HibernateRequest, data, "hibernate")
    if parsed is not None:
        try:
            assert message_of(parsed.message, "say why").strip()
            assert parsed.until is None or time_of(parsed.until).utcoffset() is not None
        except Refused:
            pass
    finish = _read(FinishRequest, data, "finish")
    if finish is not None:
        assert FinishRequest.model_validate_json(finish.model_dump_json()) == finish
        declared = [Declared(path) for path in finish.files] + [
            Declared(o.path, o.name) for o in finish.outputs
        ]
        _declaration(declared, finish.cwd)


def _read(kind: Any, data: bytes, command: Any) -> Any:
    try:
        return parse(kind, data, command)
    except Refused:
        return None


def _declaration(declared: list[Declared], cwd: str) -> None:
    for policy in POLICIES:
        assert all(sentence.endswith((".", "PATH.")) for sentence in refusals(policy, declared))
    for entry in declared:
        try:
            inside = path_inside(entry.path, cwd)
        except Refused:
            continue
        assert not inside.startswith("/")
        assert not {"", ".", ".."} & set(inside.split("/"))
        assert "\0" not in inside
        assert "/" in content_type_of(inside)
        assert not public_path(inside).startswith("/")
        assert ".." not in public_path(inside).split("/")


def json_output(data: bytes) -> None:
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return
    assert all(isinstance(fault, str) for fault in json_faults(SCHEMA, document))


class _Workspace:
    """A workspace with many kinds of files in it and a secret beside it, created once for each process."""

    def __init__(self) -> None:
        self.top = Path(tempfile.mkdtemp(prefix="ac-fuzz-", dir="/tmp"))
        (self.top / "secret").write_text("secret")
        task = self.top / "workspace/task"
        task.mkdir(parents=True)
        (task / "file").write_text("inside")
        (task / "up").symlink_to("../..")
        (task / "link").symlink_to("../../secret")
        (task / "root").symlink_to("/proc/self/root")
        os.link(self.top / "secret", task / "hard")
        self.folder = os.open(self.top / "workspace", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def close(self) -> None:
        os.close(self.folder)
        shutil.rmtree(self.top)


def opened_path(data: bytes) -> None:
    path = data.decode(errors="surrogateescape")
    workspace = _Workspace()
    try:
        descriptor = open_safely(workspace.folder, path)
    except OSError:
        return
    else:
        where = os.readlink(f"/proc/self/fd/{descriptor}")
        os.close(descriptor)
        assert Path(where).is_relative_to(workspace.top / "workspace")
    finally:
        workspace.close()


def skill_archive(data: bytes) -> None:
    with tempfile.TemporaryDirectory(prefix="ac-fuzz-", dir="/tmp") as folder:
        top = Path(folder)
        scratch, target = top / "scratch", top / "target"
        scratch.mkdir()
        target.mkdir()
        archive = scratch / "skill.archive"
        archive.write_bytes(data)
        try:
            archives.install(archive, "skill.zip", scratch, target)
        except archives.BadArchive:
            assert not list(target.iterdir())
        assert sorted(os.listdir(top)) == ["scratch", "target"]
        assert os.listdir(scratch) == ["skill.archive"]
        unpacked = [path for path in target.rglob("*") if not path.is_dir()]
        assert all(path.is_file() and not path.is_symlink() for path in unpacked)
        assert sum(path.stat().st_size for path in unpacked) <= archives.MAX_UNPACKED_BYTES


def _zip(**files: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name.replace("__", "/").replace("_md", ".md"), content)
    return buffer.getvalue()


def _tar(form: int, kind: bytes = tarfile.REGTYPE) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as archive:
        for name, type_ in (("s/SKILL.md", tarfile.REGTYPE), ("s/" + "long/" * 30 + "x", kind)):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = type_, "../../secret"
            member.size = 5 if type_ == tarfile.REGTYPE else 0
            archive.addfile(member, io.BytesIO(b"hello"))
    return buffer.getvalue()


def _frame(**fields: object) -> bytes:
    return json.dumps(fields).encode() + b"\n"


DELTA = {"type": "text_delta", "delta": "Hé\ud800", "contentIndex": 1}
MESSAGE = {"role": "assistant", "content": [{"type": "text", "text": "a"}], "usage": {"input": 1}}
FRAMES = b"\x05" + b"".join(
    (
        _frame(type="turn_start"),
        _frame(type="message_update", assistantMessageEvent=DELTA),
        _frame(type="message_end", message=MESSAGE),
        _frame(type="tool_execution_start", toolCallId="c", toolName="bash", args={"a": [{}]}),
        _frame(
            type="tool_execution_end", toolCallId="c", toolName="bash", isError=True, result={"content": "x"}
        ),
        _frame(type="auto_retry_start", attempt=1, maxAttempts=3, delayMs=1e3, errorMessage="e"),
        _frame(type="agent_end", messages=[]),
        _frame(type="response", id="c1", command="prompt", success=True, data={"disposition": "started"}),
    )
)

TARGETS = (
    Target("pi-frames", pi_stream, (FRAMES, b"\x00{}\n", b'\x02{"type":"agent_settled","aborted":true}\n')),
    Target(
        "control-requests",
        control_request,
        (
            b'{"completion":"complete","message":"Done.","files":["a.txt","../b"],"cwd":"/workspace/task"}',
            b'{"completion":"incomplete","message":"x","outputs":[{"name":"report","path":"/workspace/r"}],"cwd":"/"}',
            b'{"message":"Waiting.","forSeconds":90}',
            b'{"message":"Waiting.","until":"2026-04-14T15:00:00+02:00"}',
            b'{"files":["a/../../b","./c"],"cwd":"../workspace"}',
            b"{}",
        ),
    ),
    Target(
        "json-outputs",
        json_output,
        (b'{"total": 1.5, "rows": [1, "a"], "x": "aaa"}', b'{"total": "\\ud83d"}'),
    ),
    Target(
        "opened-paths",
        opened_path,
        (b"task/file", b"task/up/secret", b"task/root/etc/passwd", b"task/hard", b"task/link"),
    ),
    Target(
        "skill-archives",
        skill_archive,
        (
            _zip(SKILL_md=b"# Skill", a__b_md=b"b"),
            _zip(top__SKILL_md=b"x" * 1000),
            _tar(tarfile.USTAR_FORMAT),
            _tar(tarfile.GNU_FORMAT, tarfile.SYMTYPE),
            _tar(tarfile.PAX_FORMAT, tarfile.LNKTYPE),
            gzip.compress(_tar(tarfile.PAX_FORMAT), mtime=0),
        ),
    ),
)
