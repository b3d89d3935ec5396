"""Which of the host's settings in /etc a sandbox sees."""

from pathlib import Path

from agentcontainer.sandbox.host_settings import visible_paths


def write(path: Path, mode: int = 0o644) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("x")
    path.chmod(mode)


def inside(etc: Path) -> list[str]:
    return [str(Path(path).relative_to(etc)) for path in visible_paths(etc)]


def test_a_folder_without_secrets_is_shown_whole(tmp_path: Path) -> None:
    write(tmp_path / "services")
    write(tmp_path / "java-21-openjdk/security/java.security")
    write(tmp_path / "fonts/fonts.conf")
    (tmp_path / "fonts/dead").symlink_to("/nowhere")
    assert inside(tmp_path) == ["services", "java-21-openjdk", "fonts"]


def test_secrets_beside_what_is_shown_are_left_out(tmp_path: Path) -> None:
    for name in (
        "jmxremote.password", "server.key", "store.jks", "apikeys", "API_KEY", "my-token.txt", "credentials", "key.pem",
    ):  # fmt: skip
        write(tmp_path / "java" / name)
    write(tmp_path / "java/java.security")
    write(tmp_path / "java/private/deep/file")
    write(tmp_path / "java/readable-by-root", mode=0o600)
    write(tmp_path / "java/below/keyboard.conf")
    (tmp_path / "java/closed").mkdir(mode=0o700)
    assert inside(tmp_path) == ["java/below", "java/java.security"]


def test_nothing_else_is_shown(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    write(elsewhere / "fonts.conf")
    etc = tmp_path / "etc"
    for name in (
        "shadow", "ssh/ssh_config", "sudoers.d/x", "ssl/private/x", "hostname", "hosts", "resolv.conf", "gitconfig",
        "npmrc", "pip.conf", "maven/settings.xml", "chromium/policies/x", "R/Renviron.site",
    ):  # fmt: skip
        write(etc / name)
    (etc / "fonts").symlink_to(elsewhere)
    assert inside(etc) == []
    assert visible_paths(tmp_path / "missing") == ()
