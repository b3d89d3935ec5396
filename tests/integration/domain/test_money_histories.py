"""Random histories of one account: the ledger entries sum to the balance, no hold outlives its task, and the rows of
usage sum to what the tasks used, deleted ones included."""

import asyncio
import contextlib
import secrets
from collections.abc import Coroutine
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import asyncpg
import hypothesis
import pytest
from hypothesis import HealthCheck, Phase
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from agentcontainer import db
from agentcontainer.db import Pool
from agentcontainer.domain.accounts import service as accounts
from agentcontainer.domain.accounts.vault import Vault
from agentcontainer.domain.agents import standard
from agentcontainer.domain.deletion import service as deletion
from agentcontainer.domain.execution.model import Budget, Overrides
from agentcontainer.domain.files.blobs import Blobs
from agentcontainer.domain.hibernation import changing
from agentcontainer.domain.hibernation import service as hibernation
from agentcontainer.domain.ledger import service as ledger
from agentcontainer.domain.tasks import budgets, creation, reconcile, runners, service, store
from agentcontainer.domain.tasks.model import Claim, Dispatch, Hibernation, TaskChange, TaskUsage
from agentcontainer.domain.tasks.state import TERMINAL, EndReason
from agentcontainer.errors import Conflict, InsufficientBalance, NotFound
from agentcontainer.ids import new_id
from agentcontainer.settings import Settings
from tests import claims

T = TypeVar("T")
HOLD = 500_000
ENTRIES = """
SELECT kind, amount_micro_usd AS amount, balance_after_micro_usd AS after, task_id
FROM ledger_entries WHERE account_id = $1 ORDER BY position
"""
BALANCE = "SELECT balance_micro_usd FROM accounts WHERE id = $1"
TASKS = "SELECT id, status, attempt, hold_micro_usd AS held, cost_micro_usd AS cost FROM tasks WHERE account_id = $1"
MISCOUNTED = """
SELECT * FROM account_queues AS queue, LATERAL (
    SELECT count(*) FILTER (WHERE status = 'running'), count(*) FILTER (WHERE status = 'pending'),
        count(*) FILTER (WHERE status = 'pending' AND not_before IS NULL)
    FROM tasks WHERE account_id = queue.account_id
) AS counted (running, queued, ready) WHERE account_id = $1 AND (queue.running, queue.queued, queue.ready_any) <>
    (counted.running, counted.queued, counted.ready)
"""
USED = """
SELECT ARRAY[coalesce(sum(finished), 0), coalesce(sum(failed), 0), coalesce(sum(cancelled), 0),
    coalesce(sum(expired), 0), coalesce(sum(container_micro_seconds), 0), coalesce(sum(cost_micro_usd), 0),
    coalesce(sum(model_cost_micro_usd), 0),
    coalesce(sum(input_tokens), 0), coalesce(sum(cached_input_tokens), 0), coalesce(sum(output_tokens), 0)]::bigint[]
FROM usage WHERE account_id = $1
"""
COUNTED = """
SELECT ARRAY[count(*) FILTER (WHERE status = 'finished'), count(*) FILTER (WHERE status = 'failed'),
    count(*) FILTER (WHERE status = 'cancelled'), count(*) FILTER (WHERE status = 'expired'),
    coalesce(sum(counted_micro_seconds), 0), coalesce(sum(counted_cost_micro_usd), 0),
    coalesce(sum(counted_model_cost_micro_usd), 0), coalesce(sum(counted_input_tokens), 0),
    coalesce(sum(counted_cached_input_tokens), 0), coalesce(sum(counted_output_tokens), 0)]::bigint[]
FROM tasks WHERE account_id = $1 AND ($2::text IS NULL OR id = $2)
"""
NOT_COUNTED = """
SELECT id FROM tasks WHERE account_id = $1 AND status IN ('finished', 'failed', 'cancelled', 'expired')
    AND (container_micro_seconds, cost_micro_usd, model_cost_micro_usd, input_tokens, cached_input_tokens,
        output_tokens)
    <> (counted_micro_seconds, counted_cost_micro_usd, counted_model_cost_micro_usd, counted_input_tokens,
    counted_cached_input_tokens, counted_output_tokens)
"""
LIVE_COST = """
SELECT coalesce(sum(counted_cost_micro_usd), 0)::bigint FROM tasks
WHERE account_id = $1 AND status NOT IN ('finished', 'failed', 'cancelled', 'expired')
"""
HELD = "SELECT held_micro_usd FROM accounts WHERE id = $1"
BUDGET = Budget(max_tokens=10**6, on_reached="pause")
HIBERNATING = "SELECT id FROM tasks WHERE account_id = $1 AND status = 'hibernating' ORDER BY id"
TOO_LATE = "UPDATE tasks SET hibernate_until_at = now() WHERE id = $1"
REACHED = "SELECT DISTINCT status, error_code FROM tasks"
WAIT = "UPDATE tasks SET container_started_at = container_started_at - $2 * interval '1 second' WHERE id = $1"


# `service.end` takes neither: a task hibernates through `service.hibernate`, and only a waiting task expires.
NO_ENDS = {EndReason.HIBERNATED, EndReason.EXPIRED}
REASONS = st.sampled_from(
    [EndReason.COMPLETE] * 3 + [reason for reason in EndReason if reason not in NO_ENDS]
)


class Histories(RuleBasedStateMachine):
    """One account and every operation that moves its money. The state is read from the database, not modelled."""

    runner: asyncio.Runner
    pool: Pool
    blobs: Blobs

    def __init__(self) -> None:
        super().__init__()
        self.settings = Settings(database_url="postgresql://unused", runner_lost_after_seconds=3600)
        self.vault = Vault("k" * 32)
        self.credited = 0
        self.tasks: list[str] = []
        """All that were dispatched: which rules can run must not depend on how a race ended, so deleted ones stay."""
        self.of_deleted = [0] * 10
        """What deleted tasks had used, as `COUNTED` has it."""

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    @initialize(
        micro_usd=st.sampled_from([0, HOLD - 1, 3 * HOLD, 6 * HOLD]),
        is_unlimited=st.sampled_from([False] * 4 + [True]),
    )
    def open_account(self, micro_usd: int, is_unlimited: bool) -> None:
        self.credited, self.is_unlimited = micro_usd, is_unlimited
        self.account_id, _ = self.run(
            accounts.create_account(
                self.pool, name="Test", credit_micro_usd=micro_usd, is_unlimited=is_unlimited
            )
        )
        self.runner_id = new_id("rnr")
        self.run(runners.register(self.pool, self.runner_id, "any", "here", 4))

    @rule(micro_usd=st.integers(1, 2 * HOLD))
    def credit(self, micro_usd: int) -> None:
        async def work() -> None:
            async with db.transaction(self.pool) as connection:
                await ledger.credit(connection, self.account_id, micro_usd)

        self.run(work())
        self.credited += micro_usd

    @rule(count=st.integers(1, 3))
    def dispatch(self, count: int) -> None:
        """Dispatch concurrently: only as many tasks are created as the balance covers."""

        async def work() -> list[Any]:
            request = Dispatch(instructions="x", overrides=Overrides(budget=BUDGET))
            agent = "agt_standard_data"
            return await asyncio.gather(
                *(
                    creation.dispatch(self.pool, self.settings, self.vault, self.account_id, agent, request)
                    for _ in range(count)
                ),
                return_exceptions=True,
            )

        before = self.run(self.pool.fetchval(BALANCE, self.account_id))
        results = self.run(work())
        task_ids = [result.id for result in results if not isinstance(result, Exception)]
        assert all(
            isinstance(result, InsufficientBalance) for result in results if isinstance(result, Exception)
        )
        assert len(task_ids) == (count if self.is_unlimited else max(0, min(count, before // HOLD)))
        self.tasks += task_ids

    @precondition(lambda self: self.tasks)
    @rule(seconds=st.sampled_from([None, 0.5, 61, 700, 5000]))
    def claim_pending_tasks(self, seconds: float | None) -> None:
        """A runner claims every pending task. Its containers started `seconds` ago, or not yet if None."""

        async def work() -> None:
            for row in await self.pool.fetch(TASKS, self.account_id):
                async with db.transaction(self.pool) as connection:
                    claim = await claims.claim(connection, row["id"], self.runner_id)
                if claim and seconds is not None:
                    await service.start_container(self.pool, claim)
                    await self.pool.execute(WAIT, claim.task_id, seconds)

        self.run(work())

    @precondition(lambda self: self.tasks)
    @rule(data=st.data(), seconds=st.sampled_from([0, 0.5, 61, 700, 5000]), is_stale=st.booleans())
    def start_container(self, data: st.DataObject, seconds: float, is_stale: bool) -> None:
        task_id = self._any_task(data, "running")
        self.run(service.start_container(self.pool, self._claim(task_id, is_stale)))
        self.run(self.pool.execute(WAIT, task_id, seconds))

    @precondition(lambda self: self.tasks)
    @rule(data=st.data(), reason=REASONS, is_stale=st.sampled_from([False] * 4 + [True]))
    def end(self, data: st.DataObject, reason: EndReason, is_stale: bool) -> None:
        claim = self._claim(self._any_task(data, "running"), is_stale)
        self.run(self._end(claim, reason))

    @rule(reason=REASONS)
    def run_all_to_the_end(self, reason: EndReason) -> None:
        self.dispatch(1)
        self.claim_pending_tasks(700)
        for row in self.run(self.pool.fetch(TASKS, self.account_id)):
            self.run(self._end(Claim(row["id"], row["attempt"]), reason))

    @precondition(lambda self: self.tasks)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        with contextlib.suppress(Conflict, NotFound):
            self.run(service.cancel(self.pool, self.settings, self.account_id, self._any_task(data)))

    @precondition(lambda self: self.tasks)
    @rule(data=st.data(), reason=st.sampled_from([EndReason.COMPLETE, EndReason.RUNNER_LOST]))
    def cancel_and_end_at_once(self, data: st.DataObject, reason: EndReason) -> None:
        claim = self._claim(self._any_task(data, "running"), is_stale=False)

        async def work() -> list[Any]:
            return await asyncio.gather(
                service.cancel(self.pool, self.settings, self.account_id, claim.task_id),
                self._end(claim, reason),
                self._end(claim, reason),
                return_exceptions=True,
            )

        errors = [result for result in self.run(work()) if isinstance(result, Exception)]
        assert all(isinstance(error, Conflict | NotFound) for error in errors), errors

    @precondition(lambda self: self.tasks)
    @rule(data=st.data(), tokens=st.integers(0, 1000), is_late=st.booleans())
    def use_models(self, data: st.DataObject, tokens: int, is_late: bool) -> None:
        """A model request reports its usage, sometimes when its task has ended already."""
        task_id = self._any_task(data, "failed" if is_late else "running")
        used = TaskUsage(2 * tokens, tokens, 0, 3 * tokens, tokens // 2)
        claim = self._claim(task_id, is_stale=False)
        self.run(budgets.count(self.pool, self.settings, claim, used))

    @precondition(lambda self: self.tasks)
    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        task_id = self._any_task(data, "finished")
        counted = self.run(self.pool.fetchval(COUNTED, self.account_id, task_id))
        try:
            self.run(deletion.delete(self.pool, self.blobs, self.account_id, task_id))
        except (Conflict, NotFound):
            return
        self.of_deleted = [sum(pair) for pair in zip(self.of_deleted, counted, strict=True)]

    @precondition(lambda self: self.tasks)
    @rule(data=st.data(), is_raised_before=st.booleans(), is_stale=st.sampled_from([False] * 4 + [True]))
    def pause(self, data: st.DataObject, is_raised_before: bool, is_stale: bool) -> None:
        """A runner hibernates a task whose budget is used up. Its owner may have raised the budget meanwhile."""
        self._pause(self._claim(self._any_task(data, "running"), is_stale), is_raised_before=is_raised_before)

    @rule(is_raised_in_time=st.booleans())
    def pause_all(self, is_raised_in_time: bool) -> None:
        self.dispatch(1)
        self.claim_pending_tasks(700)
        for row in self.run(self.pool.fetch(TASKS, self.account_id)):
            self._pause(Claim(row["id"], row["attempt"]), is_raised_before=False)
        for row in self.run(self.pool.fetch(HIBERNATING, self.account_id)):
            if is_raised_in_time:
                self._raise_budget(row["id"])
            else:
                self.run(self.pool.execute(TOO_LATE, row["id"]))
        self.run(reconcile.reconcile(self.pool, self.settings))

    def _pause(self, claim: Claim, *, is_raised_before: bool) -> None:
        task = self.run(store.get(self.pool, claim.task_id))
        if is_raised_before:
            self._raise_budget(claim.task_id)

        async def work() -> None:
            budget = task.execution.budget if task else None
            until = datetime.now(UTC) + timedelta(days=1)
            async with db.transaction(self.pool) as connection:
                request = Hibernation("Used up.", until, None, "budget", budget)
                await hibernation.begin(connection, self.settings, claim, request)

        self.run(work())

    def _raise_budget(self, task_id: str) -> None:
        task = self.run(store.get(self.pool, task_id))
        limits = task and task.execution.budget and task.execution.budget.max_tokens
        raised = TaskChange(budget=Budget(max_tokens=(limits or 0) + 10**6))
        with contextlib.suppress(Conflict, NotFound):
            self.run(changing.change(self.pool, self.settings, self.account_id, task_id, raised))

    @rule()
    def lose_the_runner(self) -> None:
        self.run(runners.stop(self.pool, [self.runner_id]))
        self.run(reconcile.reconcile(self.pool, self.settings))
        self.runner_id = new_id("rnr")
        self.run(runners.register(self.pool, self.runner_id, "any", "here", 4))

    @rule()
    def lose_every_runner_three_times(self) -> None:
        for _ in range(3):
            self.claim_pending_tasks(700)
            self.lose_the_runner()

    @invariant()
    def the_queue_counts_right(self) -> None:
        assert self.run(self.pool.fetch(MISCOUNTED, self.account_id)) == []

    @invariant()
    def the_usage_adds_up(self) -> None:
        if not hasattr(self, "account_id"):
            return
        counted = self.run(self.pool.fetchval(COUNTED, self.account_id, None))
        used = self.run(self.pool.fetchval(USED, self.account_id))
        assert used == [sum(pair) for pair in zip(counted, self.of_deleted, strict=True)]
        assert self.run(self.pool.fetch(NOT_COUNTED, self.account_id)) == []
        held = sum(row["held"] for row in self.run(self.pool.fetch(TASKS, self.account_id)))
        assert self.run(self.pool.fetchval(HELD, self.account_id)) == held
        if not self.is_unlimited:
            charged = sum(
                -row["amount"]
                for row in self.run(self.pool.fetch(ENTRIES, self.account_id))
                if row["kind"] == "charge"
            )
            live = self.run(self.pool.fetchval(LIVE_COST, self.account_id))
            assert used[5] == charged + live

    @invariant()
    def the_ledger_adds_up(self) -> None:
        if not hasattr(self, "account_id"):
            return
        rows = self.run(self.pool.fetch(ENTRIES, self.account_id))
        tasks = self.run(self.pool.fetch(TASKS, self.account_id))
        total = 0
        for row in rows:
            total += row["amount"]
            assert row["after"] == total, row
        assert self.run(self.pool.fetchval(BALANCE, self.account_id)) == total
        by_task: dict[str, list[tuple[str, int]]] = {}
        for row in rows:
            by_task.setdefault(row["task_id"], []).append((row["kind"], row["amount"]))
        if self.is_unlimited:
            assert all(kind == "credit" for entries in by_task.values() for kind, _ in entries)
            assert all(row["held"] == 0 for row in tasks)
            assert total == self.credited
            return
        expected = self.credited - self.of_deleted[5]
        for row in tasks:
            entries = by_task[row["id"]]
            if row["status"] in TERMINAL:
                charge = [("charge", -row["cost"])] if row["cost"] else []
                assert entries == [("hold", -HOLD), ("release", HOLD), *charge], (dict(row), entries)
                assert row["held"] == 0
                expected -= row["cost"]
            else:
                assert entries == [("hold", -HOLD)], (dict(row), entries)
                assert row["held"] == HOLD
                expected -= HOLD
        assert total == expected

    def _any_task(self, data: st.DataObject, status: str = "") -> str:
        """The id of a task with this status, and sometimes of one with another status."""
        rows = self.run(self.pool.fetch(TASKS, self.account_id))
        fitting = [row["id"] for row in rows if row["status"] == status]
        number = data.draw(
            st.integers(0, 11)
        )  # drawn in any case: the number of draws must not depend on how a race ended
        return self.tasks[-1] if number == 0 or not fitting else fitting[number % len(fitting)]

    def _claim(self, task_id: str, is_stale: bool) -> Claim:
        attempt = self.run(self.pool.fetchval("SELECT attempt FROM tasks WHERE id = $1", task_id))
        return Claim(task_id, (attempt or 0) - is_stale)

    async def _end(self, claim: Claim, reason: EndReason) -> None:
        async with db.transaction(self.pool) as connection:
            await service.end(
                connection, self.settings, claim.task_id, reason, attempt=claim.attempt, message="Because."
            )


@pytest.mark.parametrize("examples", [30, pytest.param(300, marks=pytest.mark.long)])
def test_the_ledger_adds_up_after_random_histories(
    postgres_url: str, migrated_template: str, tmp_path: Path, examples: int
) -> None:
    name = f"histories_{secrets.token_hex(6)}"
    url = postgres_url.replace("@/agentcontainer?", f"@/{name}?")

    async def execute(statement: str) -> None:
        connection = await asyncpg.connect(postgres_url, timeout=10)
        await connection.execute(statement)
        await connection.close()

    with asyncio.Runner() as runner:
        runner.run(execute(f"CREATE DATABASE {name} TEMPLATE {migrated_template} STRATEGY FILE_COPY"))
        opened = db.pool(url)
        try:
            pool = runner.run(opened.__aenter__())
            runner.run(standard.install(pool))
            machine = type(
                "Machine",
                (Histories,),
                {"runner": runner, "pool": pool, "blobs": Blobs(f"file://{tmp_path}")},
            )
            run_state_machine_as_test(
                machine,
                settings=hypothesis.settings(
                    max_examples=examples, stateful_step_count=25, deadline=None, database=None, derandomize=True,
                    phases=[Phase.generate],  # shrinking takes too long with a database
                    suppress_health_check=list(HealthCheck),
                ),
            )  # fmt: skip
            if examples >= 100:  # a few histories may not get so far
                check_coverage(runner, pool)
        finally:
            runner.run(opened.__aexit__(None, None, None))
            runner.run(execute(f"DROP DATABASE {name} WITH (FORCE)"))


def check_coverage(runner: asyncio.Runner, pool: Pool) -> None:
    """The histories have reached what they are about."""
    reached = {(row["status"], row["error_code"]) for row in runner.run(pool.fetch(REACHED))}
    assert reached >= {
        ("pending", None), ("cancelled", None),
        ("failed", "infrastructure_error"), ("failed", "budget_exceeded"),
    }, reached  # fmt: skip
    assert runner.run(pool.fetchval("SELECT max(cost_micro_usd) FROM tasks")) > HOLD
    assert runner.run(pool.fetchval("SELECT sum(finished) FROM usage")) > 0  # most are deleted
    events = {row["type"] for row in runner.run(pool.fetch("SELECT DISTINCT type FROM events"))}
    assert events >= {"budget.reached", "task.hibernated", "task.woken"}, events
    assert runner.run(pool.fetchval("SELECT min(output_tokens) FROM usage WHERE output_tokens > 0")) > 0
