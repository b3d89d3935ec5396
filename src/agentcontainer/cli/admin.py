"""`agentcontainer admin`: lets the operator manage accounts, credit and API keys."""

import asyncio
import json
import os
import pwd
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from agentcontainer.cli.admin_settings import adopt_settings, rotate_secret_key
from agentcontainer.cli.error_lines import CommandGroup, one_line
from agentcontainer.cli.money import micro_usd, usd
from agentcontainer.cli.options import DataDir, load
from agentcontainer.errors import SettingsError, ValidationError

if TYPE_CHECKING:
    from agentcontainer.db import Pool
    from agentcontainer.domain.audit.model import Actor

MAX_NAME = 200
ACCOUNTS = """
SELECT id, name, email, billing_mode, balance_micro_usd FROM accounts WHERE deleted_at IS NULL ORDER BY created_at, id
"""
Result = TypeVar("Result")
Json = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")]

app = typer.Typer(
    cls=CommandGroup, no_args_is_help=True,
    help="Accounts, credit, API keys, and the settings that all processes share.",
)  # fmt: skip


@app.command("create-account")
def create_account(
    name: Annotated[str, typer.Option(help="Name of the account.")],
    email: Annotated[str | None, typer.Option(help="Email address of its owner.")] = None,
    credit: Annotated[str, typer.Option(metavar="USD", help="Prepaid credit to start with.")] = "0",
    is_unlimited: Annotated[
        bool, typer.Option("--unlimited", help="Never charged, and never blocked for lack of credit.")
    ] = False,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Create an account and print its first API key, which is not shown again."""
    _check("--name", name)
    if email is not None:
        _check("--email", email)
    amount = micro_usd(credit)
    from agentcontainer.domain.accounts import service

    account_id, key = run(
        lambda pool: service.create_account(
            pool, name=name, email=email, is_unlimited=is_unlimited, credit_micro_usd=amount, by=actor()
        ),
        data_dir,
    )
    answer = {"accountId": account_id, "apiKey": key}
    print_answer(answer, f"Account {account_id}\nAPI key {key} (not shown again)", as_json)


@app.command("credit", context_settings={"ignore_unknown_options": True})
def credit(
    account_id: Annotated[str, typer.Argument(metavar="ACCOUNT_ID")],
    amount_usd: Annotated[str, typer.Argument(metavar="USD")],
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Add prepaid credit to an account."""
    amount = micro_usd(amount_usd)
    if amount == 0:
        raise ValidationError("The credit must be more than 0 USD.")

    from agentcontainer.domain.accounts import administration

    balance = run(lambda pool: administration.credit(pool, account_id, amount, by=actor()), data_dir)
    answer = {"accountId": account_id, "creditBalance": usd(balance)}
    print_answer(answer, f"Account {account_id} now has ${balance / 1_000_000:.2f}.", as_json)


@app.command("create-key")
def create_key(
    account_id: Annotated[str, typer.Argument(metavar="ACCOUNT_ID")],
    name: Annotated[str, typer.Option(help="What the key is for.")],
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Create another API key for an account and print it; it is not shown again."""
    _check("--name", name)
    from agentcontainer.domain.accounts import service

    key_id, key = run(lambda pool: service.create_key(pool, account_id, name, by=actor()), data_dir)
    answer = {"keyId": key_id, "apiKey": key}
    print_answer(answer, f"Key {key_id}\nAPI key {key} (not shown again)", as_json)


@app.command("login-link")
def login_link(
    account_id: Annotated[
        str | None, typer.Option("--account", metavar="ACCOUNT_ID", help="Its account; else the first one.")
    ] = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Print a link that logs one browser in, once, with all rights of an account. It works for 10 minutes."""
    from agentcontainer.domain.audit.model import COMMAND_LINE
    from agentcontainer.domain.installation import store as installation
    from agentcontainer.domain.sessions import service

    settings = load(data_dir=data_dir)
    if not settings.dashboard:
        raise SettingsError("AGENTCONTAINER_DASHBOARD is false, so there is nothing to log in to.")

    async def create(pool: "Pool") -> dict[str, str]:
        base = settings.public_url or await installation.public_url(pool)
        account, code, expires_at = await service.create_code_of_operator(pool, account_id, COMMAND_LINE)
        url = f"{base or settings.api_url}/login#{code}"
        return {"accountId": account, "url": url, "expiresAt": expires_at.isoformat(timespec="seconds")}

    answer = run(create, data_dir)
    print_answer(
        answer,
        f"{answer['url']}\nfor the account {answer['accountId']}, until {answer['expiresAt']}",
        as_json,
    )


@app.command("list-accounts")
def list_accounts(data_dir: DataDir = None, as_json: Json = False) -> None:
    """List every account with its balance."""
    rows = run(lambda pool: pool.fetch(ACCOUNTS), data_dir)
    answer = [
        {
            "id": row["id"],
            "name": row["name"],
            "email": row["email"],
            "billingMode": row["billing_mode"],
            "creditBalance": usd(row["balance_micro_usd"]),
        }
        for row in rows
    ]
    lines = [
        f"{row['id']}  {row['billing_mode']}  ${row['balance_micro_usd'] / 1e6:.2f}  {one_line(row['name'])}"
        for row in rows
    ]
    print_answer(answer, "\n".join(lines) or "There are no accounts.", as_json)


@app.command("purge")
def purge(
    is_dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only count what would be removed, and its bytes.")
    ] = False,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Remove what is older than its AGENTCONTAINER_RETENTION_…_DAYS setting, as the platform does every hour."""
    from agentcontainer.domain.files.blobs import Blobs
    from agentcontainer.domain.retention import service
    from agentcontainer.domain.retention.model import Amount, Kind

    settings = load(data_dir=data_dir)

    async def work(pool: "Pool") -> "dict[Kind, Amount]":
        if is_dry_run:
            return await service.due(pool, settings)
        storage_url = settings.storage_url or (settings.data_dir / "blobs").as_uri()
        return await service.purge(pool, Blobs(storage_url), settings)

    amounts = run(work, data_dir)
    verb = "would remove" if is_dry_run else "removed"
    lines = [
        f"{verb} {part.rows} {kind.replace('_', ' ')}, {part.bytes} bytes" for kind, part in amounts.items()
    ]
    answer = {kind: {"rows": part.rows, "bytes": part.bytes} for kind, part in amounts.items()}
    print_answer(answer, "\n".join(lines) or "Everything is kept for ever.", as_json)


@app.command("set-operator")
def set_operator(
    account_id: Annotated[str, typer.Argument(metavar="ACCOUNT_ID")],
    is_off: Annotated[bool, typer.Option("--off", help="It operates the installation no longer.")] = False,
    data_dir: DataDir = None,
) -> None:
    """Let the API keys of an account operate the installation: accounts, credit, its state."""
    from agentcontainer.domain.accounts import administration

    run(
        lambda pool: administration.set_operator(pool, account_id, is_operator=not is_off, by=actor()),
        data_dir,
    )
    typer.echo(f"Account {account_id} {'does not operate' if is_off else 'operates'} the installation.")


app.command("adopt-settings")(adopt_settings)
app.command("rotate-secret-key")(rotate_secret_key)


def actor() -> "Actor":
    """Who runs the command, for the audit log."""
    from agentcontainer.domain.audit.model import Actor

    try:
        user = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        user = str(os.getuid())
    return Actor(None, "cli", os.environ.get("SUDO_USER", user)[:100])


def run(work: "Callable[[Pool], Awaitable[Result]]", data_dir: str | None) -> Result:
    """Call `work` with a pool on the installation's database."""
    from agentcontainer import db
    from agentcontainer.cli.database import database

    async def main() -> Result:
        async with database(load(data_dir=data_dir)) as url, db.pool(url, max_size=2) as pool:
            return await work(pool)

    return asyncio.run(main())


def _check(option: str, value: str) -> None:
    if not value.strip() or len(value) > MAX_NAME or not value.isprintable():
        raise ValidationError(f"{option} must be 1 to {MAX_NAME} printable characters.")


def print_answer(answer: object, text: str, as_json: bool) -> None:
    """Print the answer as JSON, or the text."""
    typer.echo(json.dumps(answer) if as_json else text)
