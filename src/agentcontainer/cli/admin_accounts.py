"""The commands of `agentcontainer admin` that limit, suspend, export and delete accounts."""

import contextlib
import os
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO

import typer

from agentcontainer.cli.admin import Json, actor, print_answer, run
from agentcontainer.cli.options import DataDir, load
from agentcontainer.errors import ValidationError

if TYPE_CHECKING:
    from agentcontainer.db import Pool
    from agentcontainer.domain.files.blobs import Blobs
    from agentcontainer.domain.unset import Unset
    from agentcontainer.settings import Settings

AccountId = Annotated[str, typer.Argument(metavar="ACCOUNT_ID")]
Limit = Annotated[str | None, typer.Option(metavar="N|none", help="`none`: no limit. Default: unchanged.")]
MAX_LIMIT = 2**31 - 1
MAX_PRIORITY = 10


def add_commands(app: typer.Typer) -> None:
    """Add the commands to those of `agentcontainer admin`."""
    app.command("set-limits")(set_limits)
    app.command("suspend")(suspend)
    app.command("cancel-tasks")(cancel_tasks)
    app.command("export-account")(export_account)
    app.command("delete-account")(delete_account)


def set_limits(
    account_id: AccountId,
    running_tasks: Limit = None,
    queued_tasks: Limit = None,
    max_priority: Limit = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Limit how many tasks of an account run at the same time, how many may be pending, and their priority."""
    from agentcontainer.domain.accounts import administration

    change = administration.LimitChange(
        running_tasks=_limit("--running-tasks", running_tasks),
        queued_tasks=_limit("--queued-tasks", queued_tasks),
        max_priority=_limit("--max-priority", max_priority, MAX_PRIORITY),
    )
    state = run(
        lambda pool: administration.change(
            pool, account_id, administration.AccountChange(limits=change), by=actor()
        ),
        data_dir,
    )
    limits = {
        "runningTasks": state.limits.running_tasks,
        "queuedTasks": state.limits.queued_tasks,
        "maxPriority": state.limits.max_priority,
    }
    values = ["no limit" if limit is None else str(limit) for limit in limits.values()]
    text = "Account {}: running tasks {}, queued tasks {}, priority {}.".format(account_id, *values)
    print_answer({"accountId": account_id} | limits, text, as_json)


def suspend(
    account_id: AccountId,
    is_off: Annotated[bool, typer.Option("--off", help="It is suspended no longer.")] = False,
    data_dir: DataDir = None,
) -> None:
    """Refuse the requests of an account, and begin none of its tasks. Those that run go on."""
    from agentcontainer.domain.accounts import administration

    change = administration.AccountChange(is_suspended=not is_off)
    run(lambda pool: administration.change(pool, account_id, change, by=actor()), data_dir)
    typer.echo(f"Account {account_id} is {'not ' if is_off else ''}suspended.")


def cancel_tasks(account_id: AccountId, data_dir: DataDir = None) -> None:
    """Cancel all tasks of a suspended account that have not ended."""
    from agentcontainer.domain.deletion import accounts

    settings = load(data_dir=data_dir)

    async def work(pool: "Pool") -> int:
        count = 0
        while True:
            outcome = await accounts.cancel_tasks(pool, settings, account_id, by=actor())
            count += outcome.cancelled
            if not outcome.cancelled or not outcome.remaining:
                return count

    typer.echo(f"Cancelled {run(work, data_dir)} tasks of account {account_id}.")


def export_account(
    account_id: AccountId,
    path: Annotated[Path, typer.Argument(metavar="FILE", help="A tar archive that does not exist yet.")],
    data_dir: DataDir = None,
) -> None:
    """Write all that an account has into a tar archive: rows as lines of JSON, and its files, without secrets."""
    from agentcontainer.domain.export import service

    settings = load(data_dir=data_dir)

    async def work(pool: "Pool") -> None:
        began_at = await service.begin(pool, account_id, by=actor())
        await _write(path, service.archive(pool, _blobs(settings), account_id, began_at))

    run(work, data_dir)
    typer.echo(f"Account {account_id} is exported to {path}.")


def delete_account(
    account_id: AccountId,
    without_export: Annotated[
        bool, typer.Option("--without-export", help="Although no export has all that it has.")
    ] = False,
    data_dir: DataDir = None,
) -> None:
    """Delete a suspended account for good, once its tasks have ended and it is exported."""
    from agentcontainer.domain.deletion import accounts

    run(lambda pool: accounts.delete(pool, account_id, needs_export=not without_export, by=actor()), data_dir)
    typer.echo(f"Account {account_id} is deleted. An API process removes what it had, within minutes.")


async def _write(path: Path, chunks: AsyncGenerator[bytes]) -> None:
    """Write a new file. If a chunk is missing, nothing is left.

    Raises:
        ValidationError: the file exists.
    """
    try:
        with _new_file(path) as file:
            async with contextlib.aclosing(chunks):
                async for chunk in chunks:
                    file.write(chunk)
    except FileExistsError:
        raise ValidationError(f"{path} exists already.") from None
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def _new_file(path: Path) -> BinaryIO:
    """A new file that only its owner may read."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")


def _blobs(settings: "Settings") -> "Blobs":
    from agentcontainer.domain.files.blobs import Blobs

    return Blobs(settings.storage_url or (settings.data_dir / "blobs").as_uri())


def _limit(option: str, value: str | None, maximum: int = MAX_LIMIT) -> "int | Unset | None":
    from agentcontainer.domain.unset import UNSET

    if value is None:
        return UNSET
    if value == "none":
        return None
    if not value.isascii() or not value.isdecimal() or int(value) > maximum:
        raise ValidationError(f"{option} must be a whole number from 0 to {maximum}, or none.")
    return int(value)
