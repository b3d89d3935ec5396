"""`webhooks`: URLs that receive events, what was delivered to them, and `listen`, which relays events to a laptop."""

import os
import sys
import time
from datetime import UTC, datetime, timedelta
from typing import Annotated

import httpx2
import typer

from agentcontainer_client import _webhooks, models
from agentcontainer_client.cli import text
from agentcontainer_client.cli.account import secret_from
from agentcontainer_client.cli.run import Fields, IsJson, IsSure
from agentcontainer_client.cli.state import State, state_of
from agentcontainer_client.errors import ConfigurationError

SECRET_VARIABLE = "AGENTCONTAINER_WEBHOOK_SECRET"  # noqa: S105 - its name
FORWARD_SECONDS = 15.0

webhooks = typer.Typer(help="URLs that receive events.", invoke_without_command=True)
Webhook = Annotated[str, typer.Argument(metavar="ID")]
Events = Annotated[
    list[str] | None, typer.Option("--event", metavar="TYPE", help="Only this type; may be repeated.")
]


def add_commands(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.add_typer(webhooks, name="webhooks")


@webhooks.callback()
def list_webhooks(ctx: typer.Context, is_json: IsJson = False, fields: Fields = None) -> None:
    """List webhooks."""
    if ctx.invoked_subcommand is not None:
        return
    state = state_of(ctx)
    found = state.client.webhooks.list().to_list()
    if is_json:
        state.json([webhook.to_wire() for webhook in found], fields)
        return
    state.table(
        [[webhook.id, _state(webhook), webhook.url, " ".join(webhook.events)] for webhook in found],
        ["ID", "STATE", "URL", "EVENTS"],
    )


@webhooks.command("create")
def create_webhook(
    ctx: typer.Context,
    url: Annotated[str, typer.Argument(metavar="URL")],
    events: Events = None,
    description: Annotated[str | None, typer.Option(help="One line for people.")] = None,
    has_own_secret: Annotated[
        bool, typer.Option("--own-secret", help="Take whsec_… from a hidden prompt or stdin.")
    ] = False,
) -> None:
    """Send events to a URL, and print the secret that signs them. It is not shown again."""
    state = state_of(ctx)
    secret = secret_from("Secret") if has_own_secret else None
    webhook = state.client.webhooks.create(url, events=events, description=description, secret=secret)
    state.say(f"created {webhook.id}")
    state.line(webhook.secret)


@webhooks.command("show")
def show_webhook(
    ctx: typer.Context, webhook: Webhook, is_json: IsJson = False, fields: Fields = None
) -> None:
    """Show a webhook, with what its last 7 days say."""
    state = state_of(ctx)
    found = state.client.webhooks.get(webhook)
    if is_json:
        state.json(found.to_wire(), fields)
        return
    stats = found.stats7d
    lines = {"url": found.url, "events": " ".join(found.events), "state": _state(found)}
    if stats is not None and stats.success_share is not None:
        lines["7 days"] = (
            f"{stats.attempts} attempts, {stats.success_share:.0%} succeeded, p95 {stats.p95_ms} ms"
        )
    for name, value in lines.items():
        state.line(f"{name:<10} {text.one_line(value)}")


@webhooks.command("change")
def change_webhook(
    ctx: typer.Context,
    webhook: Webhook,
    url: Annotated[str | None, typer.Option("--new-url", metavar="URL")] = None,
    events: Events = None,
    description: Annotated[str | None, typer.Option(help="Empty: none.")] = None,
    is_enabled: Annotated[bool | None, typer.Option("--enable/--disable")] = None,
) -> None:
    """Change, disable or enable a webhook."""
    state = state_of(ctx)
    changed = state.client.webhooks.update(
        webhook, url=url, events=events or None, description=description, is_enabled=is_enabled
    )
    state.say(f"{changed.id} is {_state(changed)}")


@webhooks.command("delete")
def delete_webhook(
    ctx: typer.Context,
    webhook: Webhook,
    is_sure: IsSure = False,
) -> None:
    """Delete a webhook with its deliveries."""
    state = state_of(ctx)
    state.confirm(f"Delete {text.one_line(webhook)} with its deliveries?", is_sure=is_sure)
    state.client.webhooks.delete(webhook)


@webhooks.command("rotate-secret")
def rotate_secret(
    ctx: typer.Context,
    webhook: Webhook,
    overlap: Annotated[int | None, typer.Option(metavar="SECONDS", help="Default: a day.")] = None,
) -> None:
    """Replace the secret of a webhook, and print the new one."""
    state = state_of(ctx)
    state.line(state.client.webhooks.rotate_secret(webhook, overlap_seconds=overlap).secret)


@webhooks.command("callback-secret")
def callback_secret(
    ctx: typer.Context,
    is_rotated: Annotated[bool, typer.Option("--rotate", help="Replace it first.")] = False,
    overlap: Annotated[
        int | None, typer.Option(metavar="SECONDS", help="With --rotate; default: a day.")
    ] = None,
) -> None:
    """Print the secret that signs the requests to the callback URLs of tasks."""
    state = state_of(ctx)
    hooks = state.client.webhooks
    found = hooks.rotate_callback_secret(overlap_seconds=overlap) if is_rotated else hooks.callback_secret()
    state.line(found.secret)


@webhooks.command("test")
def try_webhook(ctx: typer.Context, webhook: Webhook) -> None:
    """Send a test event."""
    state = state_of(ctx)
    outcome = state.client.webhooks.test(webhook)
    state.line(
        f"delivered in {outcome.duration_ms} ms"
        if outcome.is_delivered
        else f"not delivered: {outcome.error}"
    )
    raise typer.Exit(0 if outcome.is_delivered else 1)


@webhooks.command("deliveries")
def list_deliveries(
    ctx: typer.Context,
    webhook: Webhook,
    status: Annotated[str | None, typer.Option(help="pending, delivered or failed.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 20,
    is_json: IsJson = False,
    fields: Fields = None,
) -> None:
    """List the latest deliveries of a webhook."""
    state = state_of(ctx)
    found: list[models.WebhookDelivery] = []
    for delivery in state.client.webhooks.deliveries(webhook, status=status, limit=min(limit, 100)):
        found.append(delivery)
        if len(found) == limit:
            break
    if is_json:
        state.json([delivery.to_wire() for delivery in found], fields)
        return
    now = datetime.now(UTC)
    rows = [
        [each.id, each.status, each.event_type, str(each.attempt_count), text.age_text(each.created_at, now)]
        for each in found
    ]
    state.table(rows, ["ID", "STATUS", "EVENT", "ATTEMPTS", "CREATED"])


@webhooks.command("resend")
def resend(
    ctx: typer.Context,
    webhook: Webhook,
    delivery: Annotated[str | None, typer.Argument(metavar="[DELIVERY]")] = None,
    hours: Annotated[float, typer.Option(help="Without DELIVERY: of events of the last hours.")] = 72,
    are_all: Annotated[bool, typer.Option("--all", help="Also those that were delivered.")] = False,
) -> None:
    """Send one delivery again, or those that failed."""
    state = state_of(ctx)
    if delivery is not None:
        state.client.webhooks.resend(webhook, delivery)
        return
    since: datetime | None = datetime.now(UTC) - timedelta(hours=hours)
    total = 0
    while since is not None:
        resent = state.client.webhooks.resend_since(webhook, since, status="all" if are_all else "failed")
        total, since = total + resent.count, resent.next_since
    state.say(f"{total} deliveries are sent again")


@webhooks.command("listen")
def listen(
    ctx: typer.Context,
    forward: Annotated[str, typer.Option("--forward", metavar="URL", help="Where to send the events.")],
    events: Events = None,
    after: Annotated[
        int | None,
        typer.Option(min=0, help="Begin after this position. Default: with what happens from now on."),
    ] = None,
) -> None:
    """Relay events to a server on this machine, signed like those of a webhook, until Ctrl-C.

    The secret is that of AGENTCONTAINER_WEBHOOK_SECRET, or a new one, which is printed.
    """
    state = state_of(ctx)
    _check_target(forward)
    own_secret = os.environ.get(SECRET_VARIABLE)
    if own_secret:
        _webhooks.check_secret(own_secret)
    position = _last_position(state) if after is None else after
    state.say(f"forwarding to {forward}, from position {position}")
    secret = own_secret or _webhooks.new_secret()
    if not own_secret:
        state.line(secret)
        sys.stdout.flush()  # into a pipe, too: whoever reads it knows that what happens from now on is relayed
    with httpx2.Client(timeout=FORWARD_SECONDS, trust_env=False, follow_redirects=False) as http:
        for entry in state.client.feed.stream(after=position):
            if events and entry.type not in events:
                continue
            state.say(f"{entry.position}  {entry.type}  {_forwarded(http, forward, entry, secret)}")


def _check_target(url: str) -> None:
    """Refuse what no event could be sent to.

    Raises:
        ConfigurationError: it is no URL with a host.
    """
    try:
        target = httpx2.URL(url)
        is_usable = target.scheme in ("http", "https") and bool(target.host)
    except httpx2.InvalidURL:
        is_usable = False
    if not is_usable:
        raise ConfigurationError(f"{text.one_line(url, 80)} is not a URL such as http://127.0.0.1:3000/hook.")


def _last_position(state: State) -> int:
    newest = next(iter(state.client.feed.list(order="desc", limit=1)), None)
    return 0 if newest is None else newest.position


def _forwarded(http: httpx2.Client, url: str, entry: models.FeedEntry, secret: str) -> str:
    body = _webhooks.body_of(entry)
    began = time.monotonic()
    try:
        answer = http.post(url, content=body, headers=_webhooks.headers_of(entry.id, body, secret))
    except httpx2.HTTPError as error:
        return f"failed: {str(error) or type(error).__name__}"
    return f"{answer.status_code}  {round((time.monotonic() - began) * 1000)} ms"


def _state(webhook: models.Webhook) -> str:
    if webhook.disabled_at is not None:
        return f"disabled ({webhook.disabled_reason})"
    return "failing" if webhook.failing_since is not None else "enabled"
