"""`installation`: the state of an installation, and its accounts, for the API keys of its operators."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from agentcontainer_client import inputs, models
from agentcontainer_client.cli import text
from agentcontainer_client.cli.account import print_audit
from agentcontainer_client.cli.run import Count, Fields, IsJson, IsSure
from agentcontainer_client.cli.state import State, state_of
from agentcontainer_client.errors import ConfigurationError

NO_LIMIT = "none"
UNLIMITED = "unlimited_grant"

installation = typer.Typer(help="The installation, for its operators.", invoke_without_command=True)
accounts = typer.Typer(help="Accounts of the installation.", invoke_without_command=True)
AccountId = Annotated[str, typer.Argument(metavar="ACCOUNT_ID")]
Limit = Annotated[str | None, typer.Option(metavar="N|none", help="`none`: no limit.")]


def add_commands(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.add_typer(installation, name="installation")
    app.add_typer(accounts, name="accounts")


@installation.callback()
def show_health(ctx: typer.Context, is_json: IsJson = False, fields: Fields = None) -> None:
    """Show the state of the installation, and what needs attention."""
    if ctx.invoked_subcommand is not None:
        return
    state = state_of(ctx)
    health = state.client.installation.health()
    if is_json:
        state.json(health.to_wire(), fields)
        return
    state.line(
        f"version      {health.version}, schema {health.database_schema}, PostgreSQL {health.postgres_version}"
    )
    state.line(f"connections  {health.connections} of {health.max_connections}")
    state.line(f"queue        {'paused' if health.is_paused else 'open'}")
    for process in health.api_processes:
        alive = "" if process.is_alive else f", silent for {process.silent_seconds:.0f} s"
        state.line(f"API          {text.one_line(process.host)}:{process.port} {process.version}{alive}")
    for problem in health.problems:
        state.line(f"problem      {text.one_line(problem)}")


@installation.command("runners")
def list_runners(ctx: typer.Context, is_json: IsJson = False, fields: Fields = None) -> None:
    """List the runners."""
    state = state_of(ctx)
    found = state.client.installation.runners().data
    if is_json:
        state.json([runner.to_wire() for runner in found], fields)
        return
    rows = [
        [
            runner.name or runner.id,
            "draining" if runner.is_draining else "alive" if runner.is_alive else "silent",
            runner.region,
            f"{runner.tasks}/{runner.capacity}",
            runner.host,
            runner.version or "",
        ]
        for runner in found
    ]
    state.table(rows, ["RUNNER", "STATE", "REGION", "TASKS", "HOST", "VERSION"])


@installation.command("queue")
def show_queue(ctx: typer.Context, is_json: IsJson = False, fields: Fields = None) -> None:
    """Show how many tasks wait and run, by region and by account."""
    state = state_of(ctx)
    queue = state.client.installation.queue()
    if is_json:
        state.json(queue.to_wire(), fields)
        return
    rows = [
        ["region", each.region, str(each.waiting), "", f"{each.oldest_seconds:.0f} s"]
        for each in queue.regions
    ]
    rows += [
        ["account", each.account_id, str(each.waiting), str(each.running), ""] for each in queue.accounts
    ]
    state.table(rows, ["", "ID", "WAITING", "RUNNING", "OLDEST"])


@installation.command("settings")
def list_settings(ctx: typer.Context, is_json: IsJson = False, fields: Fields = None) -> None:
    """List the settings in force, without secrets."""
    state = state_of(ctx)
    found = state.client.installation.settings().data
    if is_json:
        state.json([setting.to_wire() for setting in found], fields)
        return
    state.table(
        [[setting.name, setting.value or "", setting.source] for setting in found],
        ["NAME", "VALUE", "SOURCE"],
    )


@installation.command("audit")
def list_audit(ctx: typer.Context, count: Count = 20, is_json: IsJson = False, fields: Fields = None) -> None:
    """List who changed what in all accounts, the newest first."""
    state = state_of(ctx)
    print_audit(state, state.client.installation.audit(limit=count).to_list(), fields, is_json=is_json)


@accounts.callback()
def list_accounts(ctx: typer.Context, is_json: IsJson = False, fields: Fields = None) -> None:
    """List the accounts of the installation."""
    if ctx.invoked_subcommand is not None:
        return
    state = state_of(ctx)
    found = state.client.installation.accounts().to_list()
    if is_json:
        state.json([account.to_wire() for account in found], fields)
        return
    now = datetime.now(UTC)
    rows = [
        [
            account.id,
            account.name,
            "unlimited" if account.billing_mode == UNLIMITED else f"${account.credit_balance:.2f}",
            "suspended" if account.suspended_at else "operator" if account.is_operator else "",
            f"{account.running_tasks}/{account.queued_tasks}",
            text.age_text(account.created_at, now),
        ]
        for account in found
    ]
    state.table(rows, ["ID", "NAME", "BALANCE", "STATE", "RUNNING/QUEUED", "CREATED"])


@accounts.command("create")
def create_account(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME")],
    email: Annotated[str | None, typer.Option(metavar="ADDRESS")] = None,
    credit: Annotated[float | None, typer.Option(metavar="USD", help="Prepaid credit to start with.")] = None,
    is_unlimited: Annotated[bool, typer.Option("--unlimited", help="Never charged.")] = False,
) -> None:
    """Make an account, and print its first API key. It is not shown again."""
    state = state_of(ctx)
    made = state.client.installation.create_account(
        name, email=email, credit_usd=credit, is_unlimited=is_unlimited or None
    )
    state.say(f"created {made.account.id}")
    state.line(made.api_key)


@accounts.command("credit")
def credit_account(
    ctx: typer.Context, account: AccountId, amount_usd: Annotated[float, typer.Argument(metavar="USD")]
) -> None:
    """Add prepaid credit to an account."""
    state = state_of(ctx)
    state.say(f"it has ${state.client.installation.credit(account, amount_usd).credit_balance:.2f} now")


@accounts.command("change")
def change_account(
    ctx: typer.Context,
    account: AccountId,
    name: Annotated[str | None, typer.Option(metavar="NAME")] = None,
    running_tasks: Limit = None,
    queued_tasks: Limit = None,
    max_priority: Limit = None,
) -> None:
    """Change the name or the limits of an account."""
    limits = inputs.AccountLimitsInput()
    if running_tasks is not None:
        limits["runningTasks"] = _limit(running_tasks)
    if queued_tasks is not None:
        limits["queuedTasks"] = _limit(queued_tasks)
    if max_priority is not None:
        limits["maxPriority"] = _limit(max_priority)
    state = state_of(ctx)
    _say(state, state.client.installation.update_account(account, name=name, limits=limits or None))


@accounts.command("suspend")
def suspend_account(
    ctx: typer.Context,
    account: AccountId,
    is_off: Annotated[bool, typer.Option("--off", help="It is suspended no longer.")] = False,
) -> None:
    """Refuse the requests of an account, and begin none of its tasks. Those that run go on."""
    state = state_of(ctx)
    update = state.client.installation.update_account
    if is_off:
        _say(state, update(account, unset=["suspended_at"]))
        return
    _say(state, update(account, suspended_at=datetime.now(UTC).isoformat()))


@accounts.command("cancel-tasks")
def cancel_tasks(ctx: typer.Context, account: AccountId, is_sure: IsSure = False) -> None:
    """Cancel all tasks of a suspended account that have not ended."""
    state = state_of(ctx)
    state.confirm(f"Cancel all tasks of {text.one_line(account)}?", is_sure=is_sure)
    total = 0
    while True:
        outcome = state.client.installation.cancel_tasks(account)
        total += outcome.cancelled
        if not outcome.remaining or not outcome.cancelled:
            break
    state.say(f"{total} tasks are cancelled")


@accounts.command("export")
def export_account(
    ctx: typer.Context, account: AccountId, path: Annotated[Path, typer.Argument(metavar="FILE|FOLDER")]
) -> None:
    """Write all that an account has into a tar archive, without secrets."""
    state = state_of(ctx)
    state.line(str(state.client.installation.export_account(account, path)))


@accounts.command("delete")
def delete_account(
    ctx: typer.Context,
    account: AccountId,
    without_export: Annotated[
        bool, typer.Option("--without-export", help="Although no export has all that it has.")
    ] = False,
    is_sure: IsSure = False,
) -> None:
    """Delete a suspended account for good, once its tasks have ended and it is exported."""
    state = state_of(ctx)
    state.confirm(f"Delete {text.one_line(account)} with all that it has, for good?", is_sure=is_sure)
    state.client.installation.delete_account(account, without_export=without_export or None)


def _limit(value: str) -> int | None:
    if value == NO_LIMIT:
        return None
    if not value.isascii() or not value.isdecimal():
        raise ConfigurationError(
            f"A limit is a whole number or {NO_LIMIT}, not {text.one_line(value, 40)!r}."
        )
    return int(value)


def _say(state: State, account: models.InstalledAccount) -> None:
    limits = account.limits.to_wire()
    said = ", ".join(f"{name} {NO_LIMIT if value is None else value}" for name, value in limits.items())
    state.say(f"{account.id} is {'suspended' if account.suspended_at else 'active'}: {said}")
