"""Which data folders of killed processes are removed."""

from pathlib import Path

from agentcontainer.cli.data_dir import remove_if_abandoned, up_lock


def test_only_the_folder_of_a_process_that_was_killed_is_removed(tmp_path: Path) -> None:
    running, starting, killed, other = (
        tmp_path / name for name in ("running", "starting", "killed", "other")
    )
    for folder in (running, starting, killed, other):
        folder.mkdir()
        (folder / "secret_key").touch()
    (starting / "up.lock").touch()
    with up_lock(killed):
        pass
    link = tmp_path / "link"
    link.symlink_to(other)
    with up_lock(running):
        for folder in (running, starting, killed, other, link, tmp_path / "missing"):
            remove_if_abandoned(folder)
    assert {path.name for path in tmp_path.iterdir()} == {"running", "starting", "other", "link"}
    assert (running / "secret_key").exists() and (other / "secret_key").exists()
