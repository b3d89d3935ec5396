"""`download`, `upload`, `files`, `rm`."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from agentcontainer_client._targets import distinct, safe_name
from agentcontainer_client.cli import text
from agentcontainer_client.cli.run import Count, Fields, IsJson, IsSure
from agentcontainer_client.cli.state import state_of
from agentcontainer_client.errors import ConfigurationError


def add_commands(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command("download")(download)
    app.command("upload")(upload)
    app.command("files")(list_files)
    app.command("rm")(rm)


def download(
    ctx: typer.Context,
    source: Annotated[str, typer.Argument(metavar="ID", help="A task, its beginning, @last, or a file.")],
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME…]", help="Only these outputs.")] = None,
    folder: Annotated[str, typer.Option("--output-dir", "-o", metavar="DIR", help="Where to.")] = ".",
    is_stdout: Annotated[
        bool, typer.Option("--stdout", help="Write the bytes of one file to stdout.")
    ] = False,
) -> None:
    """Download the outputs of a task, or a file."""
    state = state_of(ctx)
    if source.startswith("file_"):
        if is_stdout:
            state.raw(state.client.files.read(source))
        else:
            state.say(f"saved {state.client.files.download(source, f'{folder}/')}")
        return
    files = state.task(source).files(order="asc").to_list()
    if names:
        files = [file for file in files if {file.filename, file.output_name, file.id} & {*names}]
        known = {name for file in files for name in (file.filename, file.output_name, file.id)}
        if missing := [name for name in names if name not in known]:
            raise ConfigurationError(f"The task has no output {text.one_line(missing[0], 80)}.")
    if is_stdout:
        if len(files) != 1:
            raise ConfigurationError(f"--stdout takes one file; the task has {len(files)}. Name one.")
        state.raw(files[0].read())
        return
    for file, name in zip(files, distinct([safe_name(file.filename) for file in files]), strict=True):
        state.say(f"saved {file.download(f'{folder}/{name}')}")
    if not files:
        state.say("The task has no outputs.")


def upload(ctx: typer.Context, paths: Annotated[list[str], typer.Argument(metavar="FILE…")]) -> None:
    """Upload files and print their ids."""
    state = state_of(ctx)
    for file_id in state.client.files.upload_all(paths):
        state.line(file_id)


def list_files(
    ctx: typer.Context,
    count: Count = 20,
    is_json: IsJson = False,
    fields: Fields = None,
) -> None:
    """List stored files, the newest first."""
    state = state_of(ctx)
    files = state.client.files.list(limit=count).to_list()
    if is_json:
        state.json([file.to_wire() for file in files], fields)
        return
    now = datetime.now(UTC)
    rows = [
        [
            file.id,
            text.bytes_text(file.size_bytes),
            text.age_text(file.created_at, now),
            file.task_id or "",
            file.filename,
        ]
        for file in files
    ]
    state.table(rows, ["ID", "SIZE", "CREATED", "TASK", "NAME"])


def rm(
    ctx: typer.Context,
    files: Annotated[list[str], typer.Argument(metavar="FILE…", help="Ids of files.")],
    is_sure: IsSure = False,
) -> None:
    """Delete stored files for good."""
    state = state_of(ctx)
    state.confirm(f"Delete {len(files)} file(s) for good?", is_sure=is_sure)
    for file in files:
        state.client.files.delete(file)
        state.say(f"{text.one_line(file)} is deleted")
