"""The named queries whose cost must not grow with the history: each calls the product's own function."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from agentcontainer import db
from agentcontainer.db import Connection, Page
from agentcontainer.domain.agents import store as agents
from agentcontainer.domain.batches import store as batches
from agentcontainer.domain.checkpoints import service as checkpoints
from agentcontainer.domain.conversations import store as conversations
from agentcontainer.domain.deletion import service as deletion
from agentcontainer.domain.feed import store as feed
from agentcontainer.domain.files import cleanup, quota
from agentcontainer.domain.files import service as files
from agentcontainer.domain.files import store as file_store
from agentcontainer.domain.ledger import store as ledger
from agentcontainer.domain.retention import service as retention
from agentcontainer.domain.retention import store as retention_store
from agentcontainer.domain.tasks import creation, events, glance, listing, queue, service, store
from agentcontainer.domain.tasks.model import Claim, Dispatch, TaskFilter
from agentcontainer.domain.tasks.reconcile import reconcile
from agentcontainer.domain.tasks.state import EndReason, Status
from agentcontainer.domain.uploads import service as uploads
from tests.scale import history
from tests.scale.platform import Platform

# Of a file with more than MAX_USES uses, the account's live tasks are read, of which both databases have the same.
POPULAR_FILE = "purge: is a popular file used"
# A search for words that many titles have, but not many of the newest, reads at most MAX_ROWS_READ tasks.
MANY_MATCHES = "list tasks by words, many matches"


async def _list(platform: Platform, **filters: Any) -> None:
    is_descending = filters.pop("is_descending", True)
    page = await listing.list_page(
        platform.pool, platform.account_id, TaskFilter(**filters), after=None, limit=20,
        is_descending=is_descending,
    )  # fmt: skip
    assert page.rows


def _listed(**filters: Any) -> Callable[[Platform], Awaitable[None]]:
    return lambda platform: _list(platform, **filters)


async def _around_the_middle(platform: Platform) -> None:
    task = await store.get(platform.pool, platform.middle)
    assert task is not None
    await _list(platform, created_before=task.created_at)


async def _completed(platform: Platform) -> None:
    task = await store.get(platform.pool, platform.middle)
    assert task is not None and task.completed_at is not None
    await _list(platform, completed_before=task.completed_at)


async def _by_id(platform: Platform) -> None:
    await _list(platform, text=platform.middle)


async def _dispatch(platform: Platform) -> str:
    task = await creation.dispatch(
        platform.pool, platform.settings, platform.vault, platform.account_id, "agt_standard_data",
        Dispatch("Count the rows."),
    )  # fmt: skip
    return task.id


async def _claim_in(connection: Connection) -> Claim | None:
    for name in (
        "enable_sort",
        "enable_seqscan",
        "enable_bitmapscan",
    ):  # as `queue.prepare`, for this claim only
        await connection.execute(f"SET LOCAL {name} = off")
    return await queue.claim(connection, "rnr_1", "any", 86_400.0)


async def _claim(platform: Platform) -> None:
    """A claim that is rolled back."""
    async with platform.pool.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        assert await _claim_in(connection)
        await transaction.rollback()


async def dispatch_claim_end(platform: Platform) -> None:
    await _dispatch(platform)
    async with db.transaction(platform.pool) as connection:
        claim = await _claim_in(connection)
    if claim is None:  # others are claiming the tasks that there are
        return
    async with db.transaction(platform.pool) as connection:
        assert await service.end(
            connection,
            platform.settings,
            claim.task_id,
            EndReason.COMPLETE,
            attempt=claim.attempt,
            message="Done.",
        )


async def _cancel(platform: Platform) -> None:
    await service.cancel(platform.pool, platform.settings, platform.account_id, await _dispatch(platform))


async def prepare(platform: Platform) -> None:
    await uploads.prepare(
        platform.pool, platform.settings, platform.vault, platform.blobs, platform.account_id, "a.csv",
        "text/csv", 10,
    )  # fmt: skip


async def _delete_file(platform: Platform) -> None:
    file_id = await platform.pool.fetchval(
        "SELECT id FROM files WHERE account_id = $1 AND task_id IS NULL AND deleted_at IS NULL ORDER BY id LIMIT 1",
        platform.account_id,
    )
    await files.delete(platform.pool, platform.blobs, platform.account_id, file_id)


async def _delete_task(platform: Platform) -> None:
    task_id = await platform.pool.fetchval(
        "SELECT id FROM tasks WHERE account_id = $1 AND status = 'finished' ORDER BY id LIMIT 1",
        platform.account_id,
    )
    await deletion.delete(platform.pool, platform.blobs, platform.account_id, task_id)


async def _purge_batch_of_tasks(platform: Platform) -> None:
    due = await retention_store.old_tasks(platform.pool, timedelta(0), retention.BEGINNING, 20)
    async with db.transaction(platform.pool) as connection:
        task_ids = await retention_store.lock_deletable(connection, [position.id for position in due])
        await deletion.store.mark(connection, task_ids)
    assert len(task_ids) == 20
    await deletion.remove(platform.pool, platform.blobs, task_ids)


async def _purge_batch_of_events(platform: Platform) -> None:
    due = await retention_store.old_logs(platform.pool, timedelta(0), retention.BEGINNING, 20)
    task_ids = [position.id for position in due]
    await retention_store.begin_purge_of_events(platform.pool, task_ids)
    async with db.transaction(platform.pool) as connection:
        assert (await retention_store.delete_events(connection, task_ids, 1000)).rows
    await retention_store.end_purge_of_events(platform.pool, task_ids)


async def _purge_batch_of_files(platform: Platform) -> None:
    due = await retention_store.old_files(
        platform.pool, timedelta(0), retention.BEGINNING, 20, are_partial=False
    )
    async with db.transaction(platform.pool) as connection:
        unused = await retention_store.lock_unused(connection, [position.id for position in due])
        assert len(unused) == 20
        await file_store.set_deleted(connection, [file.id for file in unused])
    await cleanup.delete_unowned(platform.pool, platform.blobs, [file.blob_key for file in unused])


def _page(
    function: Callable[..., Awaitable[Any]], *arguments: str, **options: Any
) -> Callable[[Platform], Awaitable[Any]]:
    return lambda platform: function(
        platform.pool, *(getattr(platform, name) for name in arguments), **options
    )


def _of_account(
    list_page: Callable[..., Awaitable[Page[Any]]], prefix: str = "", **options: Any
) -> Callable[[Platform], Awaitable[None]]:
    """A page of a list of the account. With the prefix of its ids: the page after the middle of the history."""

    async def call(platform: Platform) -> None:
        after_id = None
        if prefix:
            table = {"bat": "batches", "agt": "agents", "file": "files", "led": "ledger_entries"}[prefix]
            after_id = await platform.pool.fetchval(
                f"SELECT max(id) FROM {table} WHERE account_id = $1 AND id < $2", platform.account_id,
                f"{prefix}_{platform.middle.removeprefix('tsk_')}",
            )  # fmt: skip
        page = await list_page(
            platform.pool,
            platform.account_id,
            after_id=after_id,
            limit=20,
            **({"is_descending": True} | options),
        )
        assert len(page.rows) == 20

    return call


def _activities(
    from_turn: float | None = None,
    to_turn: float | None = None,
    after: float | None = None,
    *,
    is_descending: bool = True,
) -> Callable[[Platform], Awaitable[None]]:
    """A page of activities. Turns and `after` are parts of the conversation's turns."""

    async def call(platform: Platform) -> None:
        turns = [None if part is None else int(platform.turns * part) for part in (from_turn, to_turn, after)]
        page = await conversations.list_activities(
            platform.pool, platform.conversation, from_turn=turns[0], to_turn=turns[1],
            after=None if turns[2] is None else 4 * turns[2] + history.EVENTS_OF_A_TASK, limit=20,
            is_descending=is_descending,
        )  # fmt: skip
        assert page.rows

    return call


async def _of_middle_batch(platform: Platform) -> None:
    batch_id = await platform.pool.fetchval("SELECT batch_id FROM tasks WHERE id = $1", platform.middle)
    await _list(platform, batch_id=batch_id)


async def _of_middle_version(platform: Platform) -> None:
    version_id = await platform.pool.fetchval(
        "SELECT agent_version_id FROM tasks WHERE id = $1", platform.middle
    )
    await _list(platform, agent_version_id=version_id)


async def _lock_unused(platform: Platform, file_id: str) -> None:
    async with db.transaction(platform.pool) as connection:
        assert len(await retention_store.lock_unused(connection, [file_id])) == 1


CALLS: dict[str, Callable[[Platform], Awaitable[Any]]] = {
    "get task": _page(store.get, "middle"),
    "list tasks": _listed(),
    "list tasks, oldest first": _listed(is_descending=False),
    "list tasks, summary": _listed(is_summary=True),
    "glance at tasks": lambda platform: glance.read(platform.pool, [platform.middle, platform.conversation]),
    "list tasks by status pending": _listed(statuses=frozenset({Status.PENDING})),
    "list tasks by status failed": _listed(statuses=frozenset({Status.FAILED})),
    "list tasks by two statuses": _listed(statuses=frozenset({Status.PENDING, Status.FAILED})),
    "list tasks by error code": _listed(error_code="agent_stopped"),
    "list tasks by agent": _listed(agent_id="agt_standard_data"),
    "list tasks by agent and status": _listed(
        agent_id="agt_standard_data", statuses=frozenset({Status.FINISHED})
    ),
    "list tasks by mode": _listed(mode="conversation"),
    "list tasks by metadata": _listed(metadata={"customer": "c-17"}),
    "list tasks by createdBefore": _around_the_middle,
    "list tasks by completedBefore": _completed,
    "list tasks by id": _by_id,
    "list tasks by words, few matches": _listed(text="report c000017"),
    MANY_MATCHES: _listed(text="report 17"),
    "list tasks by words, all match": _listed(text="rep customer"),
    "list tasks by words and status": _listed(text="c000017", statuses=frozenset({Status.FINISHED})),
    "list tasks by batch": _of_middle_batch,
    "list tasks by agent version": _of_middle_version,
    "list events": _page(events.list_page, "middle", limit=20),
    "list events, summary": _page(events.list_page, "middle", limit=20, is_summary=True),
    "list events, in the middle": lambda platform: events.list_page(
        platform.pool, platform.conversation, after=2 * platform.turns, limit=20
    ),
    "list events, back from the middle": lambda platform: events.list_page(
        platform.pool, platform.conversation, before=2 * platform.turns, limit=20, is_descending=True
    ),
    "list messages": _page(conversations.list_page, "conversation", after=None, limit=20, is_descending=True),
    "list messages, oldest first": _page(
        conversations.list_page, "conversation", after=None, limit=20, is_descending=False
    ),
    "list messages, from the middle": lambda platform: conversations.list_page(
        platform.pool,
        platform.conversation,
        after=4 * (platform.turns // 2) + history.EVENTS_OF_A_TASK,
        limit=20,
        is_descending=True,
    ),
    "list activities": _activities(),
    "list activities, oldest first": _activities(is_descending=False),
    "list activities of a turn": _activities(from_turn=0.5, to_turn=0.5),
    "list activities from a turn on": _activities(from_turn=0.5, is_descending=False),
    "list activities up to a turn": _activities(to_turn=0.5),
    "list activities, from the middle": _activities(after=0.5),
    "list batches": _of_account(batches.list_page),
    "list batches, from the middle": _of_account(batches.list_page, "bat"),
    "list batches, oldest first": _of_account(batches.list_page, is_descending=False),
    "list agents": _of_account(agents.list_page),
    "list agents, from the middle": _of_account(agents.list_page, "agt"),
    "list agents, oldest first": _of_account(agents.list_page, is_descending=False),
    "list agent versions": _page(
        agents.list_versions, "agent", after_number=None, limit=20, is_descending=True
    ),
    "list agent versions, from the middle": lambda platform: agents.list_versions(
        platform.pool, platform.agent, after_number=platform.turns * 10, limit=20, is_descending=True
    ),
    "list files": _of_account(file_store.list_page, task_id=None),
    "list files, from the middle": _of_account(file_store.list_page, "file", task_id=None),
    "list files of a task": lambda platform: file_store.list_page(
        platform.pool,
        platform.account_id,
        task_id=platform.middle,
        after_id=None,
        limit=20,
        is_descending=True,
    ),
    "list ledger": _of_account(ledger.list_page),
    "list ledger, from the middle": _of_account(ledger.list_page, "led"),
    "list feed": _page(feed.list_page, "account_id", limit=20, is_descending=True),
    "list feed, from the middle": lambda platform: feed.list_page(
        platform.pool, platform.account_id, before=platform.turns * 10, limit=20, is_descending=True
    ),
    POPULAR_FILE: lambda platform: _lock_unused(platform, platform.popular),
    "quota check": _page(quota.used_bytes, "account_id"),
    "dispatch": _dispatch,
    "claim": _claim,
    "dispatch, claim and end": dispatch_claim_end,
    "dispatch and cancel": _cancel,
    "prepare upload": prepare,
    "housekeeping: reconcile": lambda platform: reconcile(platform.pool, platform.settings),
    "housekeeping: blobs": lambda platform: cleanup.clean_up(platform.pool, platform.blobs),
    "housekeeping: checkpoints": lambda platform: checkpoints.clean_up(
        platform.pool, platform.blobs, timedelta(0)
    ),
    "housekeeping: deleted tasks": lambda platform: deletion.remove_marked(platform.pool, platform.blobs),
    "housekeeping: feed": lambda platform: feed.number(platform.pool, 100),
    "delete file": _delete_file,
    "delete task": _delete_task,
    "purge of 20 tasks": _purge_batch_of_tasks,
    "purge of the events of 20 tasks": _purge_batch_of_events,
    "purge of 20 files": _purge_batch_of_files,
    "purge of 20 feed entries": lambda platform: feed.purge(
        platform.pool, platform.account_id, datetime.now(UTC), 20
    ),
    "purge of 20 stored responses": lambda platform: retention_store.delete_answers(
        platform.pool,
        timedelta(0),
        20,
    ),
}
