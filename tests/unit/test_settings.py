"""Settings: unknown names, messages about wrong values, and what `agentcontainer config` prints."""

import json
from pathlib import Path

import pytest
import typer.main
from typer.testing import CliRunner

from agentcontainer.cli import data_dir
from agentcontainer.cli.installation import environment_of
from agentcontainer.cli.main import app
from agentcontainer.cli.options import unknown_names
from agentcontainer.errors import SettingsError
from agentcontainer.settings import Settings, load

PASSWORD = "hunter2hunter2"


@pytest.fixture(autouse=True)
def short_data_dir(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENTCONTAINER_DATA_DIR", "/tmp/ac-of-no-test")


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("AGENTCONTAINER_DATADIR", "did you mean AGENTCONTAINER_DATA_DIR?"),
        ("AGENTCONTAINER_PROT", "did you mean AGENTCONTAINER_PORT?"),
        ("agentcontainer_capcity", "did you mean AGENTCONTAINER_CAPACITY?"),
        ("AGENTCONTAINER_XYZZY_QUUX", "`agentcontainer config` lists all settings."),
        ("AGENTCONTAINER_MODE", "`agentcontainer config` lists all settings."),
        ("AGENTCONTAINER_", "`agentcontainer config` lists all settings."),
    ],
)
def test_an_unknown_name_is_answered_with_the_nearest(name: str, hint: str) -> None:
    known = {"AGENTCONTAINER_PORT": "1", "agentcontainer_host": "x", "PATH": "/bin"}
    assert unknown_names({name: "1", **known}) == [f"{name} is not a setting and has no effect; {hint}"]


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("PORT", "http", "must be a whole number"),
        ("PORT", "70000", "must be at most 65535"),
        ("PORT", "", "must be a whole number"),
        ("CAPACITY", "1.5", "must be a whole number"),
        ("CAPACITY", "9" * 5000, "must be a smaller number"),
        ("HOLD_USD", "0.1234567", "must have at most 6 digits after the point"),
        ("HOLD_USD", "cheap", "must be a number"),
        ("HOLD_USD", "NaN", "must be a finite number"),
        ("WARM_SECONDS", "inf", "must be a finite number"),
        ("INTERNET_ACCESS", "perhaps", "must be true or false"),
        ("REGION", "mars", "must be one of 'eu' or 'any'"),
        ("OFFLINE_MODEL", "yes", "must be one of 'off', 'on' or 'all'"),
        ("DATA_DIR", "", "must name a folder"),
        ("DATA_DIR", "  ", "must name a folder"),
        ("SECRET_KEY", "short", "must have at least 32 characters"),
        ("PREVIEW_URL", "https://a.example/x", "must have no path, such as https://previews.example.com"),
        (
            "OPENAI_BASE_URL",
            "https://:secret@host/v1",
            "must be an http:// or https:// URL: a host, a port from 1 to 65535, a path, and no more",
        ),
    ],
)
def test_a_wrong_value_is_refused_in_plain_words(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, sentence: str
) -> None:
    monkeypatch.setenv(f"AGENTCONTAINER_{name}", value)
    with pytest.raises(SettingsError) as refused:
        load()
    assert str(refused.value) == f"AGENTCONTAINER_{name} is wrong: {sentence}."


@pytest.mark.parametrize("password", ["hunter/2", "hunter#2", "hunter?2", "hunter@2"])
def test_a_password_that_is_not_encoded_is_explained_and_not_repeated(password: str) -> None:
    with pytest.raises(SettingsError, match="in a password, write / as %2F") as refused:
        load(database_url=f"postgresql://me:{password}@db:5432/x")
    assert "hunter" not in str(refused.value)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:hunter%2F2@[::1]:5432/x",
        "postgresql://me@a:5432,b:5433/x",
        "postgres://me@/x?host=/run/pg",
    ],
)
def test_a_database_is_named_by_hosts_or_a_socket(url: str) -> None:
    assert load(database_url=url).database_url == url


def test_every_kind_of_setting_has_a_plain_message(monkeypatch: pytest.MonkeyPatch) -> None:
    """No value of any setting leads to a message in pydantic's own words."""
    for name in Settings.model_fields:
        for value in ("\x01", "-9e99", "[", "{}"):
            monkeypatch.setenv(f"AGENTCONTAINER_{name.upper()}", value)
            try:
                load()
            except SettingsError as error:
                message = str(error)
                assert "nput should" not in message and "is not valid" not in message, message
            monkeypatch.delenv(f"AGENTCONTAINER_{name.upper()}")


def config(*arguments: str) -> str:
    done = CliRunner().invoke(app, ["config", *arguments])
    assert done.exit_code == 0, done.output
    return done.output


def test_config_prints_each_setting_with_its_source_and_no_secret(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AGENTCONTAINER_PORT", "4711")
    monkeypatch.setenv("AGENTCONTAINER_SECRET_KEY", PASSWORD * 3)
    monkeypatch.setenv("AGENTCONTAINER_METRICS_TOKEN", PASSWORD * 2)
    monkeypatch.setenv("AGENTCONTAINER_DATABASE_URL", f"postgresql://me:{PASSWORD}@db/x?password={PASSWORD}")
    monkeypatch.setenv(
        "AGENTCONTAINER_STORAGE_URL", f"s3://bucket/p?region=x&endpoint=http://me:{PASSWORD}@h:9/{PASSWORD}"
    )
    monkeypatch.setenv("AGENTCONTAINER_OPENAI_BASE_URL", f"https://models.example:8443/{PASSWORD}/v1")
    monkeypatch.setenv("AGENTCONTAINER_PROT", "1")
    text = config("--data-dir", "/tmp/ac-somewhere")
    assert "AGENTCONTAINER_DATA_DIR = /tmp/ac-somewhere   # option --data-dir\n" in text
    assert "AGENTCONTAINER_PORT = 4711   # environment\n" in text
    assert "AGENTCONTAINER_HOST = 127.0.0.1   # default\n" in text
    assert "AGENTCONTAINER_DATABASE_URL = postgresql://me@db/x?(hidden)   # environment\n" in text
    assert (
        "AGENTCONTAINER_STORAGE_URL = s3://bucket/p?region=x&endpoint=http://h:9/(hidden)   # environment\n"
        in text
    )
    assert "AGENTCONTAINER_OPENAI_BASE_URL = https://models.example:8443/(hidden)   # environment\n" in text
    assert "AGENTCONTAINER_OPENROUTER_BASE_URL = https://openrouter.ai/api/v1   # default\n" in text
    assert "AGENTCONTAINER_SECRET_KEY = (hidden)   # environment\n" in text
    assert "AGENTCONTAINER_METRICS_TOKEN = (hidden)   # environment\n" in text
    assert "did you mean AGENTCONTAINER_PORT?" in text
    assert PASSWORD not in text


def test_config_names_the_file_of_the_secret_key(tmp_path: Path) -> None:
    folder = Path("/tmp") / f"ac-{tmp_path.name[-8:]}"
    folder.mkdir(mode=0o700)
    try:
        data_dir.ensure_secret_key(folder)
        entries = json.loads(config("--json", "--data-dir", str(folder)))
        [entry] = [entry for entry in entries if entry["name"] == "AGENTCONTAINER_SECRET_KEY"]
        assert entry == {**entry, "value": "(hidden)", "source": f"file {folder}/secret_key"}
    finally:
        (folder / "secret_key").unlink()
        folder.rmdir()


def test_secrets_are_read_from_files_and_config_shows_the_file_only(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "url").write_text(f"postgresql://me:{PASSWORD}@db/x\n")
    (tmp_path / "key").write_text(f"{PASSWORD * 3}\n{'o' * 32}\n")
    (tmp_path / "headers").write_text(f"x-key={PASSWORD}\n")
    monkeypatch.setenv("AGENTCONTAINER_DATABASE_URL_FILE", str(tmp_path / "url"))
    monkeypatch.setenv("AGENTCONTAINER_SECRET_KEY_FILE", str(tmp_path / "key"))
    monkeypatch.setenv("AGENTCONTAINER_OTEL_HEADERS_FILE", str(tmp_path / "headers"))
    chosen = load()
    assert chosen.database_url == f"postgresql://me:{PASSWORD}@db/x"
    assert chosen.otel_headers is not None
    assert chosen.otel_headers.get_secret_value() == f"x-key={PASSWORD}"
    assert chosen.secret_key is not None
    assert chosen.secret_key.get_secret_value().splitlines() == [PASSWORD * 3, "o" * 32]
    text = config()
    assert f"AGENTCONTAINER_OTEL_HEADERS = (hidden)   # file {tmp_path}/headers\n" in text
    assert f"AGENTCONTAINER_DATABASE_URL = postgresql://me@db/x   # file {tmp_path}/url\n" in text
    assert f"AGENTCONTAINER_SECRET_KEY = (hidden)   # file {tmp_path}/key\n" in text
    assert PASSWORD not in text
    passed_on = environment_of(chosen, {})
    assert PASSWORD not in str(passed_on)
    assert passed_on["AGENTCONTAINER_SECRET_KEY_FILE"] == str(tmp_path / "key")


def test_the_direct_url_is_a_secret_too_and_makes_no_sense_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENTCONTAINER_DATABASE_DIRECT_URL", f"postgresql://me:{PASSWORD}@db/x")
    with pytest.raises(SettingsError, match="DATABASE_DIRECT_URL is set, but AGENTCONTAINER_DATABASE_URL"):
        load()
    monkeypatch.setenv("AGENTCONTAINER_DATABASE_URL", f"postgresql://me:{PASSWORD}@pooler/x")
    chosen = load()
    assert (chosen.is_database_pooled, chosen.session_url) == (True, f"postgresql://me:{PASSWORD}@db/x")
    assert "AGENTCONTAINER_DATABASE_DIRECT_URL = postgresql://me@db/x" in config()
    assert PASSWORD not in config()


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "SECRET_KEY_FILE {path} cannot be read: No such file or directory."),
        (b"\xff" * 40, "SECRET_KEY_FILE {path} cannot be read: it is not text."),
        (b"x" * 65537, "SECRET_KEY_FILE {path} has more than 65536 characters."),
        (b" \n", "SECRET_KEY_FILE {path} is empty."),
        (b"s" * 32 + b"\nshort\n", "SECRET_KEY_FILE {path} is wrong: must have at least 32 characters."),
    ],
)
def test_a_secret_file_that_cannot_be_used_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: bytes | None, sentence: str
) -> None:
    path = tmp_path / "key"
    if content is not None:
        path.write_bytes(content)
    monkeypatch.setenv("AGENTCONTAINER_SECRET_KEY_FILE", str(path))
    with pytest.raises(SettingsError) as error:
        load()
    assert str(error.value) == f"AGENTCONTAINER_{sentence.format(path=path)}"


def test_a_secret_in_the_environment_and_in_a_file_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AGENTCONTAINER_SECRET_KEY", "s" * 32)
    monkeypatch.setenv("AGENTCONTAINER_SECRET_KEY_FILE", str(tmp_path / "key"))
    with pytest.raises(SettingsError, match=r"AGENTCONTAINER_SECRET_KEY_FILE are both set\."):
        load()


def test_every_command_takes_a_data_folder() -> None:
    group = typer.main.get_command(app)
    commands = [*group.commands.values(), *group.commands["admin"].commands.values()]  # type: ignore[attr-defined]
    without = [
        command.name
        for command in commands
        if not hasattr(command, "commands") and "--data-dir" not in str([p.opts for p in command.params])
    ]
    assert without == []


@pytest.mark.parametrize("entry", ["Documents", ".bashrc", "data.csv"])
def test_a_folder_with_other_data_is_not_taken(tmp_path: Path, entry: str) -> None:
    tmp_path.chmod(0o700)
    (tmp_path / entry).touch()
    with pytest.raises(SettingsError, match="is not empty and holds no data of AgentContainer"):
        data_dir.prepare(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [entry]


@pytest.mark.parametrize("entries", [[], ["lost+found"], ["up.lock"], ["runners", "notes.txt"]])
def test_a_new_folder_and_our_own_are_taken(tmp_path: Path, entries: list[str]) -> None:
    tmp_path.chmod(0o700)
    for entry in entries:
        (tmp_path / entry).touch()
    data_dir.prepare(tmp_path)


def test_previews_need_another_host_than_the_dashboard() -> None:
    """Another port would not do: cookies ignore ports."""
    urls = {"preview_url": "https://agents.example.com:8443", "public_url": "https://agents.example.com"}
    with pytest.raises(
        SettingsError, match="AGENTCONTAINER_PUBLIC_URL is wrong: must have another host than"
    ):
        load(**urls)
    assert (
        load(**urls | {"preview_url": "https://previews.example/"}).preview_url == "https://previews.example"
    )
