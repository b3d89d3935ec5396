"""`keys`, `provider-keys`, `whoami`, `ledger`, `usage`, `audit`."""

import sys
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal

import typer

from agentcontainer_client import inputs, models
from agentcontainer_client.cli import prompting, text
from agentcontainer_client.cli.run import Count, Fields, IsJson, IsSure
from agentcontainer_client.cli.state import State, state_of
from agentcontainer_client.errors import ConfigurationError
from agentcontainer_client.models import UsageEntry

Bound = Literal["agent_ids", "expires_at", "limits"]
BOUNDS: dict[str, Bound] = {"agents": "agent_ids", "expiry": "expires_at", "limits": "limits"}

keys = typer.Typer(help="API keys of the account.", invoke_without_command=True)
provider_keys = typer.Typer(help="The account's own keys for model providers.", invoke_without_command=True)


def add_commands(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.add_typer(keys, name="keys")
    app.add_typer(provider_keys, name="provider-keys")
    app.command("whoami")(whoami)
    app.command("ledger")(ledger)
    app.command("usage")(usage)
    app.command("audit")(audit)


def secret_from(prompt: str) -> str:
    """A secret, from a hidden prompt or from stdin; never from an argument, which other users can see.

    Raises:
        ConfigurationError: nothing was given.
    """
    text_ = prompting.read_secret(prompt) if sys.stdin.isatty() else sys.stdin.readline()
    if not text_.strip():
        raise ConfigurationError(f"No {prompt} was given.")
    return text_.strip()


@keys.callback()
def list_keys(ctx: typer.Context, is_json: IsJson = False, fields: Fields = None) -> None:
    """List API keys."""
    if ctx.invoked_subcommand is not None:
        return
    state = state_of(ctx)
    found = state.client.api_keys.list().to_list()
    if is_json:
        state.json([key.to_wire() for key in found], fields)
        return
    now = datetime.now(UTC)
    state.table(
        [
            [
                key.id,
                key.name,
                key.role,
                "all" if key.agent_ids is None else ",".join(key.agent_ids),
                "never" if key.expires_at is None else f"{key.expires_at:%Y-%m-%d}",
                text.age_text(key.created_at, now),
                text.age_text(key.last_used_at, now),
            ]
            for key in found
        ],
        ["ID", "NAME", "ROLE", "AGENTS", "EXPIRES", "CREATED", "USED"],
    )


@keys.command("create")
def create_key(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME")],
    is_viewer: Annotated[bool, typer.Option("--viewer", help="It reads and changes nothing.")] = False,
    agents: Annotated[
        list[str] | None,
        typer.Option("--agent", metavar="AGENT_ID", help="Only these agents exist for it. Repeatable."),
    ] = None,
    days: Annotated[int | None, typer.Option(min=1, max=3650, help="It expires after so many days.")] = None,
    tasks_per_day: Annotated[
        int | None, typer.Option(min=0, help="Tasks and turns that it may begin.")
    ] = None,
    usd_per_day: Annotated[
        float | None, typer.Option(min=0, metavar="USD", help="What its tasks may cost on a day.")
    ] = None,
    max_priority: Annotated[int | None, typer.Option(min=0, max=10, help="Its highest priority.")] = None,
) -> None:
    """Make an API key and print it. It is not shown again."""
    state = state_of(ctx)
    limits = inputs.KeyLimitsInput(
        costUsdPerDay=usd_per_day, tasksPerDay=tasks_per_day, maxPriority=max_priority
    )
    made = state.client.api_keys.create(
        name,
        role="viewer" if is_viewer else None,
        agent_ids=agents or None,
        expires_at=datetime.now(UTC) + timedelta(days=days) if days else None,
        limits=limits if any(value is not None for value in limits.values()) else None,
    )
    state.line(made.key)


@keys.command("change")
def change_key(
    ctx: typer.Context,
    key: Annotated[str, typer.Argument(metavar="ID")],
    name: Annotated[str | None, typer.Option(metavar="NAME")] = None,
    role: Annotated[str | None, typer.Option(metavar="viewer|member")] = None,
    agents: Annotated[
        list[str] | None,
        typer.Option("--agent", metavar="AGENT_ID", help="Only these agents exist for it. Repeatable."),
    ] = None,
    days: Annotated[int | None, typer.Option(min=1, max=3650, help="It expires after so many days.")] = None,
    tasks_per_day: Annotated[
        int | None, typer.Option(min=0, help="Its limits are this and the next two.")
    ] = None,
    usd_per_day: Annotated[
        float | None, typer.Option(min=0, metavar="USD", help="What its tasks may cost on a day.")
    ] = None,
    max_priority: Annotated[int | None, typer.Option(min=0, max=10, help="Its highest priority.")] = None,
    unbound: Annotated[
        list[str] | None,
        typer.Option("--without", metavar="agents|expiry|limits", help="Remove this bound. Repeatable."),
    ] = None,
) -> None:
    """Change another API key, at once. A key cannot change itself."""
    limits = inputs.KeyLimitsInput(
        costUsdPerDay=usd_per_day, tasksPerDay=tasks_per_day, maxPriority=max_priority
    )
    if set(unbound or ()) - BOUNDS.keys() or role not in (None, "viewer", "member"):
        raise ConfigurationError("--without takes agents, expiry or limits, and --role viewer or member.")
    state = state_of(ctx)
    changed = state.client.api_keys.update(
        key,
        name=name,
        role=role,
        agent_ids=agents or None,
        expires_at=datetime.now(UTC) + timedelta(days=days) if days else None,
        limits=limits if any(value is not None for value in limits.values()) else None,
        unbound=[BOUNDS[bound] for bound in unbound or ()],
    )
    state.say(f"changed {changed.id}")


@keys.command("revoke")
def revoke_key(
    ctx: typer.Context,
    key: Annotated[str, typer.Argument(metavar="ID")],
    is_sure: IsSure = False,
) -> None:
    """Revoke an API key for good."""
    state = state_of(ctx)
    state.confirm(f"Revoke {text.one_line(key)} for good?", is_sure=is_sure)
    state.client.api_keys.revoke(key)


@provider_keys.callback()
def list_provider_keys(ctx: typer.Context, is_json: IsJson = False, fields: Fields = None) -> None:
    """List stored provider keys."""
    if ctx.invoked_subcommand is not None:
        return
    state = state_of(ctx)
    found = state.client.provider_keys.list().to_list()
    if is_json:
        state.json([key.to_wire() for key in found], fields)
        return
    state.table(
        [[key.provider, f"…{key.last4}" if key.last4 else "", key.base_url or ""] for key in found],
        ["PROVIDER", "KEY", "URL"],
    )


@provider_keys.command("set")
def set_provider_key(
    ctx: typer.Context,
    provider: Annotated[
        str, typer.Argument(metavar="NAME", help="anthropic, openai, openrouter, or an own name.")
    ],
    base_url: Annotated[str | None, typer.Option(help="Of an endpoint of your own.")] = None,
    api: Annotated[str | None, typer.Option(help="Protocol of an endpoint of your own.")] = None,
    has_no_key: Annotated[bool, typer.Option("--no-key", help="The endpoint needs no key.")] = False,
) -> None:
    """Store a provider's key, from a hidden prompt or from stdin."""
    state = state_of(ctx)
    key = None if has_no_key else secret_from("provider key")
    stored = state.client.provider_keys.set(provider, key, base_url=base_url, api=api)
    state.say(f"stored for {stored.provider}")


@provider_keys.command("test")
def try_provider_key(
    ctx: typer.Context,
    provider: Annotated[str, typer.Argument(metavar="NAME")],
    model: Annotated[str | None, typer.Option(help="Ask this model for a few tokens.")] = None,
) -> None:
    """Ask a provider whether the key works."""
    state = state_of(ctx)
    outcome = state.client.provider_keys.test(provider, model=model)
    state.line("works" if outcome.is_working else f"does not work: {outcome.error}")
    raise typer.Exit(0 if outcome.is_working else 1)


@provider_keys.command("delete")
def delete_provider_key(
    ctx: typer.Context, provider: Annotated[str, typer.Argument(metavar="NAME")], is_sure: IsSure = False
) -> None:
    """Remove a provider's key."""
    state = state_of(ctx)
    state.confirm(f"Remove the key of {text.one_line(provider)}?", is_sure=is_sure)
    state.client.provider_keys.delete(provider)


def usage(
    ctx: typer.Context,
    by: Annotated[
        str,
        typer.Option(help="One or two of day, agent, agentVersion, model, key, metadata.KEY, with a comma."),
    ] = "day",
    first: Annotated[
        datetime | None, typer.Option("--from", formats=["%Y-%m-%d"], help="First day, UTC.")
    ] = None,
    last: Annotated[
        datetime | None, typer.Option("--to", formats=["%Y-%m-%d"], help="Last day, UTC.")
    ] = None,
    is_csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
    is_json: IsJson = False,
    fields: Fields = None,
) -> None:
    """Show what the account used, by day, agent, model, key or metadata."""
    state = state_of(ctx)
    account, first_day, last_day = state.client.account, first and first.date(), last and last.date()
    if is_csv:
        state.line(
            account.usage_csv(by=by, first_day=first_day, last_day=last_day)
            .replace("\r\n", "\n")
            .rstrip("\n")
        )
        return
    found = account.usage(by=by, first_day=first_day, last_day=last_day).to_list()
    if is_json:
        state.json([row.to_wire() for row in found], fields)
        return
    names = by.split(",")
    state.table(
        [
            [
                *(_value_of(row, name) for name in names),
                str(row.tasks.finished + row.tasks.failed + row.tasks.cancelled + row.tasks.expired),
                f"{row.container_minutes:.1f}",
                f"${row.cost_usd:.2f}",
                f"${row.model_cost_usd:.2f}",
                str(row.tokens.input + row.tokens.output),
            ]
            for row in found
        ],
        [*(name.upper() for name in names), "ENDED", "MINUTES", "COST", "MODEL COST", "TOKENS"],
    )


def _value_of(row: UsageEntry, name: str) -> str:
    if name.startswith("metadata."):
        return (row.metadata or {}).get(name.removeprefix("metadata."), "")
    if name == "model":
        return f"{row.provider}/{row.model}"
    values = {"day": row.day, "agent": row.agent_id, "agentVersion": row.agent_version_id, "key": row.key_id}
    return values.get(name) or ""


def whoami(ctx: typer.Context, is_json: IsJson = False, fields: Fields = None) -> None:
    """Show the account, its balance, and where it is."""
    state = state_of(ctx)
    account = state.client.account.get()
    if is_json:
        state.json(account.to_wire(), fields)
        return
    state.line(f"account    {account.name} ({account.id})")
    unlimited = account.billing_mode == "unlimited_grant"
    state.line(f"balance    {'unlimited' if unlimited else f'${account.credit_balance:.2f}'}")
    state.line(f"url        {state.client.base_url}")
    state.line(f"server     {state.client.server_version or 'unknown'}")


def ledger(ctx: typer.Context, count: Count = 20, is_json: IsJson = False, fields: Fields = None) -> None:
    """List the movements of money, the newest first."""
    state = state_of(ctx)
    found = state.client.account.ledger(limit=count).to_list()
    if is_json:
        state.json([entry.to_wire() for entry in found], fields)
        return
    now = datetime.now(UTC)
    rows = [
        [
            text.age_text(entry.created_at, now),
            entry.kind,
            f"{entry.amount_usd:+.4f}",
            f"{entry.balance_after_usd:.4f}",
            entry.task_id or "",
        ]
        for entry in found
    ]
    state.table(rows, ["WHEN", "KIND", "USD", "BALANCE", "TASK"])


def audit(ctx: typer.Context, count: Count = 20, is_json: IsJson = False, fields: Fields = None) -> None:
    """List who changed what in the account, the newest first."""
    state = state_of(ctx)
    print_audit(state, state.client.account.audit(limit=count).to_list(), fields, is_json=is_json)


def print_audit(state: State, found: list[models.AuditEntry], fields: str | None, *, is_json: bool) -> None:
    """Print entries of an audit log."""
    if is_json:
        state.json([entry.to_wire() for entry in found], fields)
        return
    now = datetime.now(UTC)
    rows = [
        [
            text.age_text(entry.at, now),
            " ".join(part for part in (entry.actor.kind, entry.actor.id) if part),
            entry.action,
            entry.target or "",
            entry.address or "",
        ]
        for entry in found
    ]
    state.table(rows, ["WHEN", "WHO", "DID", "TO", "FROM"])
