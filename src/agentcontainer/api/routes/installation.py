"""The routes for operators: the state of the installation, its accounts, and the whole audit log."""

from typing import Annotated, Self

from fastapi import Query
from pydantic import Field
from starlette.responses import Response, StreamingResponse

from agentcontainer import __version__, db
from agentcontainer.api.http import browser, paging
from agentcontainer.api.http.access import inspects, operates
from agentcontainer.api.http.auth import Acting
from agentcontainer.api.http.file_bytes import disposition
from agentcontainer.api.http.idempotency import repeatable
from agentcontainer.api.http.paging import PageQuery
from agentcontainer.api.http.request import NO_FIELDS, NoFields
from agentcontainer.api.http.routing import authenticated
from agentcontainer.api.http.services import Provided
from agentcontainer.api.schemas.accounts import (
    AccountRequest,
    Balance,
    CancelledTasks,
    CreditRequest,
    DeletionQuery,
    InstalledAccount,
    InstalledAccountChange,
    InstalledAccountPage,
    NewInstalledAccount,
    micro_usd,
)
from agentcontainer.api.schemas.audit import AuditPage
from agentcontainer.api.schemas.ids import AccountIdInPath, RunnerId
from agentcontainer.api.wire import Incoming, Outgoing, usd
from agentcontainer.domain.accounts import administration, service
from agentcontainer.domain.audit import service as audit_log
from agentcontainer.domain.audit import store as audit
from agentcontainer.domain.deletion import accounts as deletion
from agentcontainer.domain.export import service as export
from agentcontainer.domain.installation import shown_settings
from agentcontainer.domain.processes import model
from agentcontainer.domain.processes import service as processes
from agentcontainer.domain.tasks import runners
from agentcontainer.errors import NotFound, ValidationError

router = authenticated("Installation")


class ApiProcess(Outgoing):
    """An API process."""

    host: str
    port: int
    version: str
    is_alive: bool
    silent_seconds: Annotated[float, Field(description="Since it was heard of last.")]


class InstallationHealth(Outgoing):
    """The state of the installation. `problems`: what an operator should look at, as sentences."""

    version: str
    database_schema: Annotated[str, Field(validation_alias="schema")]
    postgres_version: Annotated[str, Field(validation_alias="postgres")]
    connections: int
    max_connections: int
    is_paused: bool
    api_processes: list[ApiProcess]
    problems: list[str]


class Runner(Outgoing):
    """A runner that has not stopped."""

    id: str
    name: str | None
    host: str
    version: str | None
    region: str
    capacity: int
    tasks: Annotated[int, Field(validation_alias="claims", description="How many tasks it has.")]
    is_alive: bool
    is_draining: bool
    silent_seconds: float
    clock_skew_seconds: float | None

    @classmethod
    def of_runner(cls, runner: model.Runner, lost_after_seconds: float) -> Self:
        """The runner as it is sent."""
        return cls.of(runner, is_alive=runner.is_alive(lost_after_seconds))


class RunnerList(Outgoing):
    """All runners."""

    data: list[Runner]


class RunnerChange(Incoming):
    """A change of a runner."""

    is_draining: Annotated[
        bool,
        Field(description="True: it gives back its tasks and takes no others. False: it takes tasks again."),
    ]


class QueueRegion(Outgoing):
    """The tasks of one region that wait for a runner."""

    region: str
    waiting: int
    oldest_seconds: float


class QueueAccount(Outgoing):
    """The tasks of one account in the queue."""

    account_id: str
    waiting: int
    running: int
    max_running: int | None


class InstallationQueue(Outgoing):
    """The queue. `accounts`: those with most waiting tasks."""

    is_paused: bool
    tasks: Annotated[dict[str, int], Field(description="Live tasks by status.")]
    regions: list[QueueRegion]
    accounts: list[QueueAccount]


class Setting(Outgoing):
    """A setting of the API process that answers. Secrets are not shown."""

    name: str
    value: Annotated[str | None, Field(description="Null: unset.")]
    source: Annotated[str, Field(description="`environment`, `default`, or the file.")]


class SettingList(Outgoing):
    """All settings."""

    data: list[Setting]


@router.get("/installation/health")
@inspects
async def get_installation_health(services: Provided) -> InstallationHealth:
    """Get the state of the installation, as `agentcontainer status` shows it."""
    state = await processes.read(services.pool)
    return InstallationHealth.of(
        state,
        version=__version__,
        problems=state.problems(services.settings.runner_lost_after_seconds),
    )


@router.get("/installation/runners")
@inspects
async def list_runners(services: Provided) -> RunnerList:
    """List the runners that have not stopped."""
    state = await processes.read(services.pool)
    seconds = services.settings.runner_lost_after_seconds
    return RunnerList(data=[Runner.of_runner(runner, seconds) for runner in state.runners])


@router.patch("/installation/runners/{runnerId}")
@operates
async def change_runner(runner_id: RunnerId, actor: Acting, services: Provided, body: RunnerChange) -> Runner:
    """Drain a runner, or let it take tasks again. Its tasks go on with another runner from their checkpoints."""
    async with db.transaction(services.pool) as connection:
        if not await runners.set_draining(connection, runner_id, is_draining=body.is_draining):
            raise NotFound(f"Runner {runner_id} is not running.")
        action = "runner.drained" if body.is_draining else "runner.undrained"
        await audit_log.record(connection, actor, action, runner_id)
    seconds = services.settings.runner_lost_after_seconds
    listed = (await processes.read(services.pool)).runners
    changed = next((runner for runner in listed if runner_id in (runner.id, runner.name)), None)
    if changed is None:
        raise NotFound(f"Runner {runner_id} is not running.")
    return Runner.of_runner(changed, seconds)


@router.get("/installation/queue")
@inspects
async def get_queue(services: Provided) -> InstallationQueue:
    """Get the queue: live tasks by status, and what waits, by region and by account."""
    state = await processes.read(services.pool)
    return InstallationQueue(
        is_paused=state.is_paused,
        tasks=state.tasks,
        regions=[QueueRegion.of(region) for region in state.queues],
        accounts=[QueueAccount.of(account) for account in state.accounts],
    )


@router.get("/installation/settings")
@inspects
async def list_settings(services: Provided) -> SettingList:
    """List the settings of the API process that answers, without secrets."""
    return SettingList(data=[Setting.of(setting) for setting in shown_settings.all_of(services.settings)])


@router.get("/installation/audit")
@inspects
async def list_all_audit_entries(services: Provided, query: Annotated[PageQuery, Query()]) -> AuditPage:
    """List the audit log of the whole installation."""
    page = await audit.list_page(
        services.pool, None, after_id=paging.position("installation-audit", query), limit=query.limit,
        is_descending=query.order == "desc",
    )  # fmt: skip
    return AuditPage.of_page("installation-audit", page)


@router.get("/installation/accounts")
@inspects
async def list_accounts(services: Provided, query: Annotated[PageQuery, Query()]) -> InstalledAccountPage:
    """List all accounts, with their balance and limits."""
    page = await administration.list_page(
        services.pool,
        after_id=paging.position("accounts", query),
        limit=query.limit,
        is_descending=query.order == "desc",
    )
    info = paging.page_info("accounts", page, lambda account: account.id)
    return InstalledAccountPage(
        data=[InstalledAccount.of_state(account) for account in page.rows], page_info=info
    )


@router.post("/installation/accounts", status_code=201)
@operates
async def create_account(actor: Acting, services: Provided, body: AccountRequest) -> NewInstalledAccount:
    """Create an account with its first API key, which is shown this once."""
    account_id, key = await service.create_account(
        services.pool,
        name=body.name,
        email=body.email,
        is_unlimited=body.is_unlimited,
        credit_micro_usd=micro_usd(body.credit_usd) or 0,
        by=actor,
    )
    state = await administration.get_state(services.pool, account_id)
    return NewInstalledAccount(account=InstalledAccount.of_state(state), api_key=key)


@router.patch("/installation/accounts/{accountId}", responses={409: {}})
@operates
async def change_installed_account(
    account_id: AccountIdInPath, actor: Acting, services: Provided, body: InstalledAccountChange
) -> InstalledAccount:
    """Change the name and limits of an account, suspend it, or end that.

    409 for the last account that operates the installation, which cannot be suspended.
    """
    if not body.model_fields_set:
        raise ValidationError.at("body", "must say what to change")
    state = await administration.change(services.pool, account_id, body.change(), by=actor)
    return InstalledAccount.of_state(state)


@router.post("/installation/accounts/{accountId}/credit", status_code=201)
@operates
async def credit_account(
    account_id: AccountIdInPath, actor: Acting, services: Provided, body: CreditRequest
) -> Balance:
    """Add prepaid credit to an account."""
    amount = micro_usd(body.amount_usd)
    assert amount is not None
    return Balance(
        credit_balance=usd(await administration.credit(services.pool, account_id, amount, by=actor))
    )


@router.post("/installation/accounts/{accountId}/cancel-tasks", responses={409: {}})
@repeatable
@operates
async def cancel_account_tasks(
    account_id: AccountIdInPath, actor: Acting, services: Provided, _body: NoFields = NO_FIELDS
) -> CancelledTasks:
    """Cancel the tasks of a suspended account that have not ended, 1,000 at most.

    Repeat it until `remaining` is 0. 409 if the account is not suspended.
    """
    return CancelledTasks.of(
        await deletion.cancel_tasks(services.pool, services.settings, account_id, by=actor)
    )


@router.get(
    "/installation/accounts/{accountId}/export",
    response_class=Response,
    responses={
        200: {
            "description": "A tar archive.",
            "content": {"application/x-tar": {"schema": {"type": "string", "format": "binary"}}},
        }
    },
)
@operates
async def export_account(account_id: AccountIdInPath, actor: Acting, services: Provided) -> Response:
    """Export all that an account has, without secrets: rows as lines of JSON, and its files.

    A connection that breaks is the only sign of an export that is not whole.
    """
    began_at = await export.begin(services.pool, account_id, by=actor)
    return StreamingResponse(
        export.archive(services.pool, services.blobs, account_id, began_at),
        media_type="application/x-tar",
        headers={
            "Content-Disposition": disposition("attachment", f"{account_id}.tar"),
            "Cache-Control": "no-store",
        },
    )


browser.mark_download(export_account)


@router.delete(
    "/installation/accounts/{accountId}", status_code=204, response_class=Response, responses={409: {}}
)
@operates
async def delete_account(
    account_id: AccountIdInPath, actor: Acting, services: Provided, query: Annotated[DeletionQuery, Query()]
) -> None:
    """Delete a suspended account for good, once its tasks have ended and it has been exported.

    Nobody sees it from now on. All that it had is removed within minutes, except its ledger, its usage by day and the
    audit log. 409 if it is not suspended, has tasks that have not ended, or was not exported since.
    """
    await deletion.delete(services.pool, account_id, needs_export=not query.without_export, by=actor)
