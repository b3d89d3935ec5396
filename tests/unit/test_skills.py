"""Archives of skills: what is unpacked, what is refused and why, and that hostile ones cannot escape or expand."""

import contextlib
import gzip
import io
import json
import os
import secrets
import stat
import struct
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agentcontainer.runner.workspace.skill_archive import (
    MAX_ENTRIES,
    MAX_UNPACKED_BYTES,
    BadArchive,
    install,
    unpack,
)
from agentcontainer.runner.workspace.skills import adopt

TEXT = b"---\nname: greet\ndescription: Greets.\n---\nSay hello.\n"
Pack = Callable[[dict[str, bytes]], bytes]


def zip_of(files: dict[str, bytes], **modes: int) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            info = zipfile.ZipInfo(name)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = modes.get("mode", stat.S_IFREG | 0o644) << 16
            archive.writestr(info, content)
    return buffer.getvalue()


def tar_of(files: dict[str, bytes], **fields: object) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            for field, value in fields.items():
                setattr(member, field, value)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def tgz_of(files: dict[str, bytes]) -> bytes:
    return gzip.compress(tar_of(files), 1)


@pytest.fixture
def bench(tmp_path: Path) -> Path:
    (tmp_path / "scratch").mkdir()
    (tmp_path / "skills").mkdir()
    return tmp_path


def installed(bench: Path, content: bytes, filename: str = "greet.zip") -> Path:
    archive = bench / "scratch/archive"
    archive.write_bytes(content)
    return install(archive, filename, bench / "scratch", bench / "skills")


def refusal(bench: Path, content: bytes) -> str:
    with pytest.raises(BadArchive) as caught:
        installed(bench, content)
    assert list((bench / "skills").iterdir()) == []
    assert [entry.name for entry in (bench / "scratch").iterdir()] == ["archive"]
    return str(caught.value)


@pytest.mark.parametrize("pack", [zip_of, tar_of, tgz_of])
def test_a_skill_at_the_top_gets_the_name_of_its_archive(bench: Path, pack: Pack) -> None:
    folder = installed(bench, pack({"SKILL.md": TEXT, "scripts/a.sh": b"echo"}), "pdf-tools.tar.gz")
    assert folder == bench / "skills/pdf-tools"
    assert (folder / "SKILL.md").read_bytes() == TEXT
    assert (folder / "scripts/a.sh").read_bytes() == b"echo"


@pytest.mark.parametrize("pack", [zip_of, tar_of, tgz_of])
def test_a_skill_in_one_folder_keeps_its_name(bench: Path, pack: Pack) -> None:
    folder = installed(bench, pack({"greet/SKILL.md": TEXT, "greet/x/y": b"", "__MACOSX/greet/._x": b"?"}))
    assert folder == bench / "skills/greet"
    assert sorted(path.name for path in folder.rglob("*")) == ["SKILL.md", "x", "y"]


def unpacked(bench: Path, content: bytes) -> tuple[bytes, Path]:
    """What the helper sandbox answers and leaves behind for an archive."""
    folder = bench / secrets.token_hex(4)
    (folder / "skills").mkdir(parents=True)
    (folder / "archive").write_bytes(content)
    name = install(folder / "archive", "greet.zip", folder, folder / "skills").name
    return json.dumps({"name": name}).encode(), folder / "skills"


def test_two_skills_with_the_same_name_get_distinct_folders(bench: Path) -> None:
    for _ in range(2):
        adopt(*unpacked(bench, zip_of({"greet/SKILL.md": TEXT})), bench / "skills")
    assert sorted(path.name for path in (bench / "skills").iterdir()) == ["greet", "greet (2)"]


@pytest.mark.parametrize("harm", ["link", "hard link", "fifo", "no skill", "much"])
def test_what_a_hostile_sandbox_leaves_behind_is_refused(bench: Path, harm: str) -> None:
    answer, folder = unpacked(bench, zip_of({"greet/SKILL.md": TEXT, "greet/x/y": b"y"}))
    inside = folder / "greet/x"
    match harm:
        case "link":
            (inside / "link").symlink_to("/etc/shadow")
        case "hard link":
            (inside / "second").hardlink_to(inside / "y")
        case "fifo":
            os.mkfifo(inside / "fifo")
        case "no skill":
            (folder / "greet/SKILL.md").unlink()
            (folder / "greet/SKILL.md").symlink_to("x/y")
        case _:
            os.truncate(inside / "y", MAX_UNPACKED_BYTES + 1)
    with pytest.raises(BadArchive, match="is broken"):
        adopt(answer, folder, bench / "skills")
    assert list((bench / "skills").iterdir()) == []


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"", "takes too much time or memory"),
        (b"[]", "takes too much time or memory"),
        (b"{}", "is broken"),
        (b'{"name": "../../task"}', "is broken"),
        (b'{"name": 7}', "is broken"),
        (b'{"fault": "holds\\n a link"}', "holds a link"),
        (b'{"fault": "%s"}' % (b"x" * 9999), "x" * 300),
    ],
)
def test_an_answer_of_a_hostile_sandbox_is_not_trusted(bench: Path, answer: bytes, why: str) -> None:
    with pytest.raises(BadArchive) as caught:
        adopt(answer, bench / "scratch", bench / "skills")
    assert why in str(caught.value)
    assert len(str(caught.value)) <= 300


@pytest.mark.parametrize(
    "content",
    [tar_of({"SKILL.md": TEXT}, mode=0o4755), zip_of({"SKILL.md": TEXT}, mode=stat.S_IFREG | 0o6777)],
)
def test_a_script_stays_executable_and_nothing_is_setuid(bench: Path, content: bytes) -> None:
    assert (installed(bench, content) / "SKILL.md").stat().st_mode == stat.S_IFREG | 0o755


@pytest.mark.parametrize("pack", [zip_of, tar_of, tgz_of])
@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("/etc/cron.d/x", "absolute"),
        ("../x", "name"),
        ("a/../../x", "name"),
        ("a\\..\\x", "must be a file name"),
        ("a/\x1b[2J", "control"),
        ("/".join("d" * 40), "deeper"),
    ],
)
def test_paths_that_lead_elsewhere_are_refused(bench: Path, pack: Pack, name: str, why: str) -> None:
    assert why in refusal(bench, pack({"SKILL.md": TEXT, name: b"x"}))


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_in_a_tar_are_refused(bench: Path, kind: bytes) -> None:
    content = tar_of({"SKILL.md": b""}, type=kind, linkname="/etc/passwd")
    assert "link" in refusal(bench, content)


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFIFO])
def test_links_and_devices_in_a_zip_are_refused(bench: Path, kind: int) -> None:
    assert "link" in refusal(bench, zip_of({"SKILL.md": b"/etc/passwd"}, mode=kind | 0o777))


def test_an_archive_that_unpacks_to_too_many_bytes_is_refused(bench: Path) -> None:
    zeros = bytes(MAX_UNPACKED_BYTES // 2)
    for pack in (zip_of, tgz_of):
        assert "unpacks to more" in refusal(bench, pack({"SKILL.md": TEXT, "a": zeros, "b": zeros}))


def test_too_many_files_are_refused(bench: Path) -> None:
    for pack in (zip_of, tgz_of):
        content = pack({"SKILL.md": TEXT} | {f"f{number}": b"" for number in range(MAX_ENTRIES)})
        assert str(MAX_ENTRIES) in refusal(bench, content)


def test_a_zip_whose_directory_alone_is_large_is_refused_before_it_is_parsed(bench: Path) -> None:
    entry = struct.pack(
        "<4s4B4HL2L5H2L", b"PK\x01\x02", 20, 3, 20, 0, 0, 0, 0, 33, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0
    )
    directory = (entry + b"x") * 50_000
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 50_000, 50_000, len(directory), 4, 0)
    assert "too large" in refusal(bench, b"PK\x03\x04" + directory + end)


def test_extended_headers_of_a_tar_are_bounded(bench: Path) -> None:
    header = tarfile.TarInfo("pax")
    header.type, header.size = tarfile.XHDTYPE, 10_000_000
    content = header.tobuf(tarfile.USTAR_FORMAT) + b"1" * 10_000_000
    assert "header" in refusal(bench, gzip.compress(content, 1))


def test_a_negative_size_in_a_tar_is_refused(bench: Path) -> None:
    archive = bytearray(tar_of({"SKILL.md": TEXT}))
    archive[124:136] = b"\xff" * 12  # base-256 for -1
    archive[148:156] = b"%06o\0 " % (sum(archive[:148]) + sum(archive[156:512]) + 8 * 32)
    refusal(bench, bytes(archive))


def test_an_encrypted_zip_is_refused(bench: Path) -> None:
    content = zip_of({"SKILL.md": TEXT})
    flagged = content.replace(b"PK\x01\x02\x14\x03\x14\x00\x00", b"PK\x01\x02\x14\x03\x14\x00\x01")
    assert flagged != content
    assert "encrypted" in refusal(bench, flagged)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"hello",
        b"PK\x03\x04",
        b"\x1f\x8b",
        zip_of({"SKILL.md": TEXT})[:-9],
        tgz_of({"SKILL.md": TEXT})[:60],
    ],
    ids=[
        "empty",
        "text",
        "zip-magic",
        "gzip-magic",
        "cut-zip",
        "cut-tgz",
    ],  # gzip writes the time into its header
)
def test_a_truncated_or_foreign_archive_is_refused(bench: Path, content: bytes) -> None:
    assert refusal(bench, content)


@pytest.mark.parametrize(
    "files", [{"README.md": b""}, {"a/SKILL.md": b"", "b/SKILL.md": b""}, {"SKILL.md/x": b""}]
)
def test_an_archive_without_one_skill_is_refused(bench: Path, files: dict[str, bytes]) -> None:
    assert "SKILL.md" in refusal(bench, zip_of(files))


def test_a_name_given_twice_is_refused(bench: Path) -> None:
    content = zip_of({"SKILL.md": TEXT, "./SKILL.md": b"other"})
    assert "SKILL.md twice" in refusal(bench, content)


PARTS = st.sampled_from(["a", "b", "..", ".", "", "SKILL.md", "\x00", "\\", "c" * 300, "\u202e", "~"])
NAMES = st.lists(PARTS, min_size=1, max_size=5).map("/".join)
FILES = st.dictionaries(NAMES, st.binary(max_size=50), max_size=6)
TYPES = st.sampled_from([bytes([kind]) for kind in b"0123456789ASLKNVMxgX\x00"])


@st.composite
def tars(draw: st.DrawFn) -> bytes:
    blocks = bytearray()
    for name, content in draw(FILES).items():
        member = tarfile.TarInfo("x")
        member.type, member.size = draw(TYPES), draw(st.integers(0, 2**33) | st.just(len(content)))
        member.linkname = draw(NAMES)[:90].replace("\x00", "")
        header = bytearray(member.tobuf(tarfile.GNU_FORMAT, errors="replace"))
        header[:100] = name.encode()[:100].ljust(100, b"\0")
        header[148:156] = b"%06o\0 " % (sum(header[:148]) + sum(header[156:512]) + 8 * 32)
        blocks += header + content.ljust(512, b"\0")
    return bytes(blocks) + bytes(1024)


@st.composite
def broken(draw: st.DrawFn) -> bytes:
    """A good archive with some bytes of it changed."""
    files = {name.replace("\x00", "_") or "x": content for name, content in draw(FILES).items()}
    content = bytearray(draw(st.sampled_from([zip_of, tar_of]))({"SKILL.md": TEXT} | files))
    for position, value in draw(
        st.lists(st.tuples(st.integers(0, len(content) - 1), st.integers(0, 255)), max_size=8)
    ):
        content[position] = value
    return (
        gzip.compress(bytes(content), 1) if draw(st.booleans()) and content[:2] != b"PK" else bytes(content)
    )


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(content=tars() | broken() | st.binary(max_size=600))
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_no_archive_writes_outside_its_target_folder(content: bytes) -> None:
    with tempfile.TemporaryDirectory(prefix="ac-") as folder:
        root = Path(folder)
        (root / "in/target").mkdir(parents=True)
        (root / "archive").write_bytes(content)
        with contextlib.suppress(BadArchive):
            unpack(root / "archive", root / "in/target")
        assert {path.name for path in root.iterdir()} == {"in", "archive"}
        assert [path.name for path in (root / "in").iterdir()] == ["target"]
        for path in (root / "in/target").rglob("*"):
            assert not path.is_symlink()
            assert path.is_dir() or path.is_file()
        assert (
            sum(path.stat().st_size for path in (root / "in/target").rglob("*") if path.is_file())
            <= len(content) * 1100
        )


def test_what_a_mac_adds_to_a_tar_is_ignored(bench: Path) -> None:
    files = {"._greet": b"x", "greet/._SKILL.md": b"x", "greet/SKILL.md": TEXT, "greet/.DS_Store": b"x"}
    folder = installed(bench, tgz_of(files), "greet.tar.gz")
    assert [(folder.name, path.name) for path in folder.iterdir()] == [("greet", "SKILL.md")]


def test_backslashes_of_a_zip_from_windows_are_separators(bench: Path) -> None:
    content = zip_of(
        {"greet\\": b"", "greet\\SKILL.md": TEXT, "greet\\scripts\\run.ps1": b"x", "Thumbs.db": b"x"}
    )
    folder = installed(bench, content)
    paths = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    assert (folder.name, paths) == ("greet", ["SKILL.md", "scripts/run.ps1"])


@pytest.mark.parametrize("name", ["..\\x", "greet\\..\\..\\x", "\\x"])
def test_backslashes_do_not_lead_out(bench: Path, name: str) -> None:
    assert refusal(bench, zip_of({"SKILL.md": TEXT, name: b"x"}))


def test_file_names_of_a_mac_are_composed(bench: Path) -> None:
    folder = installed(bench, zip_of({"greet/SKILL.md": TEXT, "greet/u\u0308.md": b"x"}))
    assert (folder / "\u00fc.md").read_bytes() == b"x"
