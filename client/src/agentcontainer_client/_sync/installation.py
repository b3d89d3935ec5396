"""What operators see and do: the state of the installation, its accounts, the audit log."""

# Written by scripts/render_sync.py from _async. Do not edit.

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from agentcontainer_client import inputs, models
from agentcontainer_client._calls import Call, body_of, camel, operation, query_of, segment
from agentcontainer_client._sync import downloading
from agentcontainer_client._sync.paging import Pager
from agentcontainer_client._sync.transport import Transport


@dataclass(frozen=True)
class Installation:
    """`client.installation`: for API keys of an account that operates the installation."""

    transport: Transport = field(repr=False)

    @operation("getInstallationHealth")
    def health(self) -> models.InstallationHealth:
        """Its state, and what needs attention."""
        call = Call(method="GET", path="/installation/health")
        return self.transport.send(call, models.InstallationHealth.from_wire)

    @operation("listRunners")
    def runners(self) -> models.RunnerList:
        """The runners that have not stopped."""
        call = Call(method="GET", path="/installation/runners")
        return self.transport.send(call, models.RunnerList.from_wire)

    @operation("changeRunner", runnerId="runner")
    def update_runner(
        self, runner: str, *, is_draining: bool, idempotency_key: str | None = None
    ) -> models.Runner:
        """Drain a runner by its id, or let it take tasks again."""
        path = f"/installation/runners/{segment(runner)}"
        body = body_of(is_draining=is_draining)
        call = Call(method="PATCH", path=path, body=body, idempotency_key=idempotency_key)
        return self.transport.send(call, models.Runner.from_wire)

    @operation("getQueue")
    def queue(self) -> models.InstallationQueue:
        """What waits, by region and by account."""
        call = Call(method="GET", path="/installation/queue")
        return self.transport.send(call, models.InstallationQueue.from_wire)

    @operation("listSettings")
    def settings(self) -> models.SettingList:
        """The settings of the API process that answers, without secrets."""
        call = Call(method="GET", path="/installation/settings")
        return self.transport.send(call, models.SettingList.from_wire)

    @operation("listAllAuditEntries")
    def audit(
        self, *, limit: int | None = None, cursor: str | None = None, order: models.Order | None = None
    ) -> Pager[models.AuditEntry]:
        """The audit log of all accounts, the newest first."""
        return Pager(
            self.transport,
            "/installation/audit",
            models.AuditEntry.from_wire,
            limit=limit,
            cursor=cursor,
            order=order,
        )

    @operation("listAccounts")
    def accounts(
        self, *, limit: int | None = None, cursor: str | None = None, order: models.Order | None = None
    ) -> Pager[models.InstalledAccount]:
        """All accounts, the newest first."""
        return Pager(
            self.transport,
            "/installation/accounts",
            models.InstalledAccount.from_wire,
            limit=limit,
            cursor=cursor,
            order=order,
        )

    @operation("createAccount")
    def create_account(
        self,
        name: str,
        *,
        email: str | None = None,
        credit_usd: float | None = None,
        is_unlimited: bool | None = None,
        idempotency_key: str | None = None,
    ) -> models.NewInstalledAccount:
        """Make an account. Its first `api_key` is shown this once."""
        body = body_of(name=name, email=email, credit_usd=credit_usd, is_unlimited=is_unlimited)
        call = Call(method="POST", path="/installation/accounts", body=body, idempotency_key=idempotency_key)
        return self.transport.send(call, models.NewInstalledAccount.from_wire)

    @operation("changeInstalledAccount", accountId="account")
    def update_account(
        self,
        account: str,
        *,
        name: str | None = None,
        limits: inputs.AccountLimitsInput | None = None,
        suspended_at: str | None = None,
        unset: Sequence[Literal["suspended_at"]] = (),
        idempotency_key: str | None = None,
    ) -> models.InstalledAccount:
        """Change an account by its id. Any time in `suspended_at` suspends it from now on; `unset` ends that."""
        body = body_of(name=name, limits=limits, suspended_at=suspended_at)
        body |= {camel(field_name): None for field_name in unset}
        path = f"/installation/accounts/{segment(account)}"
        call = Call(method="PATCH", path=path, body=body, idempotency_key=idempotency_key)
        return self.transport.send(call, models.InstalledAccount.from_wire)

    @operation("creditAccount", accountId="account")
    def credit(
        self, account: str, amount_usd: float, *, idempotency_key: str | None = None
    ) -> models.Balance:
        """Add prepaid credit to an account."""
        path = f"/installation/accounts/{segment(account)}/credit"
        body = body_of(amount_usd=amount_usd)
        call = Call(method="POST", path=path, body=body, idempotency_key=idempotency_key)
        return self.transport.send(call, models.Balance.from_wire)

    @operation("cancelAccountTasks", accountId="account")
    def cancel_tasks(self, account: str, *, idempotency_key: str | None = None) -> models.CancelledTasks:
        """Cancel tasks of a suspended account, 1,000 at most. Repeat it until none is `remaining`."""
        path = f"/installation/accounts/{segment(account)}/cancel-tasks"
        call = Call(method="POST", path=path, idempotency_key=idempotency_key)
        return self.transport.send(call, models.CancelledTasks.from_wire)

    @operation("exportAccount", accountId="account")
    def export_account(self, account: str, target: str | os.PathLike[str]) -> Path:
        """Write all that an account has into a tar archive at `target`, which appears when it is whole."""
        path = f"/installation/accounts/{segment(account)}/export"
        return downloading.download(self.transport, path, f"{account}.tar", target)

    @operation("deleteAccount", accountId="account")
    def delete_account(self, account: str, *, without_export: bool | None = None) -> None:
        """Delete a suspended account for good, once its tasks have ended and it has been exported."""
        query = query_of(without_export=without_export)
        path = f"/installation/accounts/{segment(account)}"
        self.transport.request(Call(method="DELETE", path=path, query=query))
