"""Image names and the documents of registries are parsed strictly."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentcontainer import settings
from agentcontainer.errors import SettingsError
from agentcontainer.images import manifest
from agentcontainer.images.access import Access
from agentcontainer.images.faults import ImageRefused
from agentcontainer.images.reference import parse
from agentcontainer.images.starting import Image

DIGEST = "sha256:" + "0123456789abcdef" * 4
OTHER = "sha256:" + "f" * 64
LAYER = {"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": DIGEST, "size": 10}
CONFIG = {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": OTHER, "size": 5}


@pytest.mark.parametrize(
    ("text", "completed"),
    [
        ("python", "docker.io/library/python:latest"),
        ("python:3.12-slim", "docker.io/library/python:3.12-slim"),
        ("someone/tool", "docker.io/someone/tool:latest"),
        ("index.docker.io/python", "docker.io/library/python:latest"),
        ("docker://ghcr.io/x/y:1", "ghcr.io/x/y:1"),
        (f"ghcr.io/x/y@{DIGEST}", f"ghcr.io/x/y@{DIGEST}"),
        (f"ghcr.io/x/y:1@{DIGEST}", f"ghcr.io/x/y:1@{DIGEST}"),
        ("localhost/x", "localhost/x:latest"),
        ("127.0.0.1:5000/a/b-c__d.e:t", "127.0.0.1:5000/a/b-c__d.e:t"),
        ("oci:/srv/images/tool", "oci:/srv/images/tool"),
        (f"oci:/srv/images/tool:1.0@{DIGEST}", f"oci:/srv/images/tool:1.0@{DIGEST}"),
        ("docker-archive:/srv/tool.tar:team/tool:1", "docker-archive:/srv/tool.tar:team/tool:1"),
    ],
)  # fmt: skip
def test_an_image_name_is_completed_with_registry_and_tag(text: str, completed: str) -> None:
    assert str(parse(text)) == completed
    assert str(parse(completed)) == completed


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "a b", "a\nb", "Python", "python:", "python:ü", "python@sha256:123", "python@md5:" + "0" * 32,
        "/python",
        "http://ghcr.io/x", "https://ghcr.io/x/y", "ghcr.io/", "ghcr.io/../x", "ghcr.io/x//y", "-x",
        "x" * 250, "x" * 1001,
        "--help", "user:pass@ghcr.io/x/y", "[::1]:5000/x", "oci:x", "oci:", "oci:/srv/../etc", "oci:/srv/./x", "oci://x",
        "oci:/srv/x:t@", "oci:/srv/x:$(id)", "docker-archive:x.tar", "docker-daemon:x:1", "dir:/srv/x", "python\u202e",
        "oci-archive:/srv/x", "tarball:/srv/x", "docker.io/library/python:1@sha256:" + "G" * 64,
    ],
)  # fmt: skip
def test_an_invalid_image_name_is_refused(text: str) -> None:
    with pytest.raises(ImageRefused):
        allow_nothing(text)


def allow_nothing(text: str) -> None:
    """Some of them are parsed as names in a registry that is not allowed."""
    Access({"docker.io": "internet", "ghcr.io": "internet"}, ()).check(parse(text))


@given(st.text())
def test_any_text_is_parsed_or_refused(text: str) -> None:
    try:
        reference = parse(text)
    except ImageRefused:
        return
    assert parse(str(reference)) == reference


def test_only_allowed_registries_and_folders_are_used(tmp_path: Path) -> None:
    inside, outside = tmp_path / "images", tmp_path / "private"
    for folder in (inside / "tool", outside / "tool"):
        folder.mkdir(parents=True)
    (inside / "link").symlink_to(outside / "tool")
    (inside / "tool.tar").write_text("x")
    access = Access({"ghcr.io": "internet", "127.0.0.1:5000": "host"}, (inside,))
    for allowed_name in (
        "ghcr.io/x/y",
        "127.0.0.1:5000/x",
        f"oci:{inside}/tool",
        f"docker-archive:{inside}/tool.tar",
    ):
        access.check(parse(allowed_name))
    for refused_name in (
        "python", "ghcr.io:444/x/y", "127.0.0.1:5001/x", "127.0.0.1/x", "169.254.169.254/latest/x", "localhost/x",
        f"oci:{outside}/tool", f"oci:{inside}/link", f"oci:{inside}/missing", f"oci:{inside}/tool.tar",
        f"docker-archive:{inside}/tool", f"oci:{inside}x", "oci:/", "docker-archive:/etc/passwd",
    ):  # fmt: skip
        with pytest.raises(ImageRefused, match=r"AGENTCONTAINER_IMAGE_(REGISTRIES|FOLDERS)"):
            access.check(parse(refused_name))


def test_the_settings_decide_which_images_are_allowed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AGENTCONTAINER_IMAGE_REGISTRIES", "ghcr.io, http://127.0.0.1:5000,https://inside")
    monkeypatch.setenv("AGENTCONTAINER_IMAGE_FOLDERS", f"{tmp_path},/srv/images")
    access = Access.of(settings.load())
    assert access.registries == {
        "ghcr.io": "internet",
        "127.0.0.1:5000": "host without TLS",
        "inside": "host",
    }
    assert access.folders == (tmp_path, Path("/srv/images"))
    monkeypatch.setenv("AGENTCONTAINER_IMAGE_REGISTRIES", "")
    assert Access.of(settings.load()).registries == {}
    for entry in ("ghcr.io/x", "ftp://x", "Ghcr.io", "user:pass@x"):
        monkeypatch.setenv("AGENTCONTAINER_IMAGE_REGISTRIES", entry)
        with pytest.raises(SettingsError, match="AGENTCONTAINER_IMAGE_REGISTRIES"):
            settings.load()
    monkeypatch.setenv("AGENTCONTAINER_IMAGE_REGISTRIES", "")
    monkeypatch.setenv("AGENTCONTAINER_IMAGE_FOLDERS", "images")
    with pytest.raises(SettingsError, match="AGENTCONTAINER_IMAGE_FOLDERS"):
        settings.load()


def raw(**changes: Any) -> bytes:
    return json.dumps({"schemaVersion": 2, "config": CONFIG, "layers": [LAYER]} | changes).encode()


@pytest.mark.parametrize(
    "hostile",
    [
        b"", b"[]", b"null", b"\xff", b"[" * 100_000, b'{"schemaVersion": 2}', raw(schemaVersion=1), raw(layers={}),
        raw(layers=[LAYER | {"urls": ["http://169.254.169.254/"]}]), raw(config=CONFIG | {"urls": ["http://10.0.0.1/"]}),
        raw(layers=[LAYER | {"digest": "sha256:../../x"}]), raw(layers=[LAYER | {"digest": 1}]),
        raw(layers=[LAYER] * 501),
        raw(layers=[LAYER | {"size": -1}]), raw(layers=[LAYER | {"size": "1"}]), raw(layers=[1]), raw(config=None),
        raw(layers=[LAYER | {"mediaType": "application/vnd.oci.image.layer.v1.tar+zstd"}]), raw(pad="x" * 4 * 1024**2),
        raw(layers=[LAYER | {"mediaType": "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"}]),
        json.dumps({"manifests": [1]}).encode(), json.dumps({"manifests": {}}).encode(),
    ],
    ids=range(22),
)  # fmt: skip
def test_a_hostile_manifest_is_refused(hostile: bytes) -> None:
    with pytest.raises(ImageRefused):
        manifest.read(hostile)


@given(st.recursive(st.none() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(
    st.sampled_from(["manifests", "config", "layers", "Env", "schemaVersion", "digest"]), inner)))  # fmt: skip
def test_any_json_is_read_or_refused(document: Any) -> None:
    for read in (manifest.read, manifest.check_config, manifest.variables):
        try:
            read(json.dumps(document).encode())
        except ImageRefused:
            continue


def test_an_index_names_the_image_of_this_platform() -> None:
    system, architecture = manifest.own_platform().split("/")
    entries = [
        {"digest": OTHER, "size": 1, "platform": {"os": "linux", "architecture": "s390x"}},
        {"digest": DIGEST, "size": 1, "platform": {"os": system, "architecture": architecture}},
        {"digest": OTHER, "size": 1, "platform": {"os": "unknown", "architecture": "unknown"}},
    ]
    index = manifest.read(json.dumps({"manifests": entries}).encode())
    assert isinstance(index, manifest.Index)
    assert manifest.digest_for_host(index) == DIGEST
    other = manifest.read(json.dumps({"manifests": entries[::2]}).encode())
    assert isinstance(other, manifest.Index)
    with pytest.raises(ImageRefused, match=r"it has: linux/s390x$"):
        manifest.digest_for_host(other)


@pytest.mark.parametrize(
    ("variables", "no_proxy"),
    [
        ({"FOO": "x"}, None),
        ({"http_proxy": "http://10.0.0.1:3128"}, "127.0.0.1,localhost,::1"),
        ({"HTTPS_PROXY": "http://p", "NO_PROXY": ".corp"}, ".corp,127.0.0.1,localhost,::1"),
        ({"ALL_PROXY": "x", "no_proxy": "a", "NO_PROXY": "b"}, "a,b,127.0.0.1,localhost,::1"),
    ],
)
def test_a_proxy_of_the_image_does_not_apply_to_the_gateway(
    variables: dict[str, str], no_proxy: str | None
) -> None:
    env = Image(Path("/x"), variables).env({})
    assert (env.get("no_proxy"), env.get("NO_PROXY")) == (no_proxy, no_proxy)


def test_our_environment_overrides_that_of_the_image() -> None:
    entries = [
        "PATH=/opt/x:/usr/bin",
        "LANG=de",
        "A=1=2",
        "NODE_OPTIONS=--inspect",
        "PI_OFFLINE=0",
        "B\n=1",
        "=x",
        7,
        "C=\0",
    ]
    variables = manifest.variables(json.dumps({"config": {"Env": [*entries, "D=\ud800"]}}).encode())
    assert variables == {"PATH": "/opt/x:/usr/bin", "LANG": "de", "A": "1=2"}
    assert Image(Path("/x"), variables).env({"PATH": "ours", "LANG": "C.UTF-8"}) == {
        "PATH": "/opt/agentcontainer/bin:/opt/x:/usr/bin:/usr/local/bin:/usr/sbin:/sbin:/bin", "LANG": "C.UTF-8",
        "A": "1=2",
    }  # fmt: skip
    assert manifest.variables(b"{}") == {}
    with pytest.raises(ImageRefused, match="environment"):
        manifest.variables(json.dumps({"config": {"Env": ["A=" + "x" * 70_000]}}).encode())
