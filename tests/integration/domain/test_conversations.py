"""Conversations without a runner process: fenced turns, the loss of a container, and expiry."""

import asyncio
import json
from dataclasses import dataclass
from datetime import timedelta

import pytest

from agentcontainer import db
from agentcontainer.db import Pool
from agentcontainer.domain.accounts import service as accounts
from agentcontainer.domain.accounts.vault import Vault
from agentcontainer.domain.agents import standard
from agentcontainer.domain.checkpoints import service as checkpoints
from agentcontainer.domain.checkpoints import store as checkpoint_store
from agentcontainer.domain.checkpoints.model import Checkpoint
from agentcontainer.domain.conversations import service, turns
from agentcontainer.domain.conversations.model import Draft, Turn
from agentcontainer.domain.execution.model import Overrides
from agentcontainer.domain.files.blobs import Blobs
from agentcontainer.domain.tasks import deltas, events, overdue, reconcile, runners, store
from agentcontainer.domain.tasks import service as tasks
from agentcontainer.domain.tasks.event_data import MessageCompleted
from agentcontainer.domain.tasks.model import Claim, Dispatch, Task
from agentcontainer.domain.tasks.state import EndReason, Status
from agentcontainer.redaction import encodings_of
from agentcontainer.runner.live_text import LiveText
from agentcontainer.runner.log import EventLog
from agentcontainer.settings import Settings
from tests import claims

AGENT = "agt_standard_data"
RUNNER = "rnr_1"
CREDIT = 10_000_000


@dataclass
class Conversation:
    """A conversation whose test does what its runner would do."""

    pool: Pool
    settings: Settings
    account_id: str
    id: str
    vault: Vault

    async def task(self) -> Task:
        task = await store.get(self.pool, self.id)
        assert task is not None
        return task

    async def send(self, content: str = "More.", **fields: object) -> None:
        draft = Draft(content, **fields)  # pyright: ignore[reportArgumentType]
        await service.send(self.pool, self.settings, self.vault, self.account_id, self.id, draft)

    async def claim(self) -> Claim:
        async with db.transaction(self.pool) as connection:
            claim = await claims.claim(connection, self.id, RUNNER)
        assert claim is not None
        return claim

    async def begin(self, claim: Claim) -> Turn:
        turn = await turns.begin(self.pool, claim)
        assert turn is not None
        return turn

    async def start(self) -> tuple[Claim, Turn]:
        claim = await self.claim()
        turn = await self.begin(claim)
        assert await tasks.start_container(self.pool, claim)
        return claim, turn

    async def end(self, claim: Claim, turn: Turn, reply: str = "Done.") -> str | None:
        blob = await checkpoints.create(self.pool, self.id)
        await checkpoint_store.set_stored(self.pool, Checkpoint(blob.id, blob.key, 1, "0" * 64, 1))
        return await turns.end(
            self.pool, self.settings, claim, turn, checkpoint_id=blob.id, reply=reply, file_ids=()
        )

    async def kinds(self) -> list[str]:
        return [event.type for event in (await events.list_page(self.pool, self.id, limit=1000)).rows]


@pytest.fixture
async def conversation(pool: Pool, database_url: str) -> Conversation:
    settings = Settings(database_url=database_url)
    vault = Vault("k" * 40)
    account_id, _ = await accounts.create_account(pool, name="Test", credit_micro_usd=CREDIT)
    await standard.install(pool)
    await runners.register(pool, RUNNER, "any", "host", 4)
    dispatch = Dispatch(instructions="")
    task, _ = await service.create(pool, settings, vault, account_id, AGENT, dispatch, Draft("Hello."))
    return Conversation(pool, settings, account_id, task.id, vault)


async def test_a_turn_that_lost_its_runner_is_tried_again_with_the_next_number(
    conversation: Conversation,
) -> None:
    claim, turn = await conversation.start()
    assert (turn.number, turn.attempt_number, turn.content) == (1, 1, "Hello.")
    assert await tasks.lose(conversation.pool, conversation.settings, claim, "Gone.")
    assert (await conversation.task()).status is Status.PENDING
    assert await conversation.end(claim, turn) is None, "the attempt number has changed"
    again, turn = await conversation.start()
    assert (turn.number, turn.attempt_number, turn.content) == (1, 2, "Hello.")
    assert await conversation.end(again, turn) == "idle"
    messages = await service.list_messages(
        conversation.pool, conversation.account_id, conversation.id, after=None, limit=10, is_descending=False
    )
    assert [(m.role, m.turn_number, m.attempt_number) for m in messages.rows] == [
        ("user", 1, 2),
        ("assistant", 1, 2),
    ]
    task = await conversation.task()
    assert (task.status, task.turn_status, task.tries) == (Status.AWAITING_INPUT, "completed", 0)


async def test_a_container_lost_between_turns_only_costs_a_cold_start(conversation: Conversation) -> None:
    claim, turn = await conversation.start()
    await conversation.end(claim, turn)
    await runners.stop(conversation.pool, [RUNNER])
    await reconcile.reconcile(conversation.pool, conversation.settings)
    assert (await conversation.task()).status is Status.AWAITING_INPUT
    await conversation.send()
    assert (await conversation.task()).status is Status.PENDING, "it needs a new container"


async def test_a_message_and_an_eviction_at_the_same_time_are_ordered(conversation: Conversation) -> None:
    claim, turn = await conversation.start()
    for number in range(1, 11):
        assert await conversation.end(claim, turn) == "idle"
        _, is_evicted = await asyncio.gather(conversation.send(), store.evict(conversation.pool, claim))
        status = (await conversation.task()).status
        assert status is (Status.PENDING if is_evicted else Status.RUNNING)
        if is_evicted:
            assert await turns.begin(conversation.pool, claim) is None, "not in the old container"
            claim, turn = await conversation.start()
        else:
            turn = await conversation.begin(claim)
        assert turn.number == number + 1


async def test_an_idle_conversation_expires_without_a_runner(conversation: Conversation) -> None:
    claim, turn = await conversation.start()
    await conversation.end(claim, turn)
    await runners.stop(conversation.pool, [RUNNER])
    assert await reconcile.reconcile(conversation.pool, conversation.settings) == 1  # its container
    await conversation.pool.execute("UPDATE tasks SET expires_at = now() - interval '1 second'")
    assert await reconcile.reconcile(conversation.pool, conversation.settings) == 1
    task = await conversation.task()
    assert (task.status, task.error_code) == (Status.EXPIRED, None)
    assert (await conversation.kinds())[-1] == "task.expired"
    balance = await conversation.pool.fetchval(
        "SELECT balance_micro_usd FROM accounts WHERE id = $1", conversation.account_id
    )
    assert balance == CREDIT - task.cost_micro_usd, "the hold is released"


async def test_a_message_postpones_the_expiry_of_a_conversation(conversation: Conversation) -> None:
    claim, turn = await conversation.start()
    await conversation.end(claim, turn)
    await conversation.pool.execute("UPDATE tasks SET expires_at = now() - interval '1 second'")
    await conversation.send()
    assert await reconcile.reconcile(conversation.pool, conversation.settings) == 0
    assert (await conversation.task()).status is Status.RUNNING


async def test_messages_sent_at_once_get_a_turn_each(conversation: Conversation) -> None:
    await asyncio.gather(*(conversation.send(f"Message {number}.") for number in range(100)))
    messages = await service.list_messages(
        conversation.pool,
        conversation.account_id,
        conversation.id,
        after=None,
        limit=200,
        is_descending=False,
    )
    assert [m.turn_number for m in messages.rows] == list(range(1, 102))
    claim, turn = await conversation.start()
    for message in messages.rows:
        assert turn.message_id == message.id
        following = await conversation.end(claim, turn)
        if following == "turn":
            turn = await conversation.begin(claim)
    assert following == "idle"


async def test_changed_overrides_need_a_new_container_and_accumulate(conversation: Conversation) -> None:
    claim, turn = await conversation.start()
    await conversation.send(overrides=Overrides(model="claude-opus-4-5"))
    await conversation.send(overrides=Overrides(max_runtime_seconds=4000))
    assert await conversation.end(claim, turn) == "restart"
    assert (await conversation.task()).status is Status.PENDING
    claim, turn = await conversation.start()
    assert (await conversation.task()).execution.model == "claude-opus-4-5"
    assert await conversation.end(claim, turn) == "restart"
    claim, turn = await conversation.start()
    execution = (await conversation.task()).execution
    assert (execution.model, execution.max_runtime_seconds) == ("claude-opus-4-5", 4000)
    await conversation.send(overrides=Overrides(model="claude-opus-4-5"))  # the model it already has
    assert await conversation.end(claim, turn) == "turn"


async def test_a_message_key_is_kept_for_its_turn_only_and_forgotten_at_the_end(
    conversation: Conversation,
) -> None:
    claim, turn = await conversation.start()
    await conversation.send(provider_api_key="sk-of-the-message")
    assert await conversation.end(claim, turn) == "restart"
    claim, turn = await conversation.start()
    sealed = await store.provider_key_ciphertext(conversation.pool, conversation.id)
    assert sealed is not None
    assert conversation.vault.open(sealed, conversation.id) == "sk-of-the-message"
    await conversation.send(provider_api_key="sk-never-used")
    await service.end(conversation.pool, conversation.settings, conversation.account_id, conversation.id)
    count_keys = "SELECT count(*) FROM messages WHERE provider_key_ciphertext IS NOT NULL"
    assert await conversation.pool.fetchval(count_keys) == 0
    assert await store.provider_key_ciphertext(conversation.pool, conversation.id) is None


async def test_a_lost_container_leaves_what_earlier_turns_cost(conversation: Conversation) -> None:
    claim, turn = await conversation.start()
    await conversation.pool.execute("UPDATE tasks SET container_started_at = now() - interval '90 seconds'")
    await conversation.end(claim, turn)
    await conversation.send()
    await conversation.begin(claim)
    await conversation.pool.execute("UPDATE tasks SET container_started_at = now() - interval '1 hour'")
    await tasks.lose(conversation.pool, conversation.settings, claim, "Gone.")
    assert (await conversation.task()).container_micro_seconds // 1_000_000 == 90


async def test_unused_checkpoints_are_removed(conversation: Conversation, tmp_path: object) -> None:
    blobs = Blobs(f"file://{tmp_path}")
    claim, turn = await conversation.start()
    await conversation.end(claim, turn)
    await conversation.send()
    await conversation.end(claim, await conversation.begin(claim))
    await checkpoints.create(conversation.pool, conversation.id)  # as after a crash before the upload ended
    assert await checkpoints.clean_up(conversation.pool, blobs, timedelta(hours=1)) == 0, "they are too young"
    assert await checkpoints.clean_up(conversation.pool, blobs, timedelta(0)) == 2
    assert await checkpoint_store.get_current(conversation.pool, conversation.id) is not None
    await service.end(conversation.pool, conversation.settings, conversation.account_id, conversation.id)
    assert await checkpoints.clean_up(conversation.pool, blobs, timedelta(0)) == 1
    assert await conversation.pool.fetchval("SELECT count(*) FROM checkpoints") == 0


async def test_a_checkpoint_that_took_long_is_not_cleaned_up_before_it_is_recorded(
    conversation: Conversation, tmp_path: object
) -> None:
    """A save may take longer than leftovers are kept; the newest of a running task may be about to count."""
    await conversation.start()
    blob = await checkpoints.create(conversation.pool, conversation.id)
    await checkpoint_store.set_stored(conversation.pool, Checkpoint(blob.id, blob.key, 1, "0" * 64, 1))
    await conversation.pool.execute("UPDATE checkpoints SET created_at = created_at - interval '20 minutes'")
    assert (
        await checkpoints.clean_up(conversation.pool, Blobs(f"file://{tmp_path}"), timedelta(minutes=10)) == 0
    )


async def test_a_key_goes_to_its_own_provider_only(conversation: Conversation) -> None:
    claim, turn = await conversation.start()
    await conversation.send(overrides=Overrides(provider="anthropic"), provider_api_key="sk-for-anthropic")
    assert await conversation.end(claim, turn) == "restart"
    claim, turn = await conversation.start()
    assert await store.provider_key_ciphertext(conversation.pool, conversation.id) is not None
    await conversation.send(overrides=Overrides(provider="openai", model="gpt-5.2"))
    assert await conversation.end(claim, turn) == "restart"
    await conversation.start()
    assert await store.provider_key_ciphertext(conversation.pool, conversation.id) is None


async def test_answered_turns_are_charged_however_the_next_one_fails(conversation: Conversation) -> None:
    claim, turn = await conversation.start()
    await conversation.pool.execute("UPDATE tasks SET container_started_at = now() - interval '60 seconds'")
    await conversation.end(claim, turn)
    await store.evict(conversation.pool, claim)
    await conversation.send()
    claim = await conversation.claim()
    await conversation.begin(claim)
    async with db.transaction(conversation.pool) as connection:
        reason = EndReason.PROVIDER_KEY_MISSING
        assert await tasks.end(
            connection,
            conversation.settings,
            conversation.id,
            reason,
            attempt=claim.attempt,
            message="No key.",
        )
    task = await conversation.task()
    assert (task.status, task.turn_status) == (Status.FAILED, "failed")
    assert task.cost_micro_usd >= 50_000


async def test_each_turn_has_all_its_tries(conversation: Conversation) -> None:
    for _ in range(3):
        await conversation.send()
    claim, turn = await conversation.start()
    for number in range(1, 5):
        await tasks.lose(conversation.pool, conversation.settings, claim, "Gone.")
        claim, turn = await conversation.start()
        assert (turn.number, turn.attempt_number) == (number, 2)
        if await conversation.end(claim, turn) == "turn":
            turn = await conversation.begin(claim)
    assert (await conversation.task()).status is Status.AWAITING_INPUT


@pytest.mark.parametrize("is_followed", [False, True])
async def test_an_end_may_be_repeated_when_nobody_knows_whether_it_was_committed(
    conversation: Conversation, is_followed: bool
) -> None:
    claim, turn = await conversation.start()
    if is_followed:
        await conversation.send()
    first = await conversation.end(claim, turn)
    assert await conversation.end(claim, turn) == first == ("turn" if is_followed else "idle")
    assert (await conversation.kinds()).count("turn.completed") == 1


async def test_a_turn_that_may_not_continue_releases_its_container(conversation: Conversation) -> None:
    claim, turn = await conversation.start()
    await conversation.send("Second.")
    assert await turns.end(
        conversation.pool, conversation.settings, claim, turn, checkpoint_id=None, reply="", file_ids=(),
        failure=turns.Failure("checkpoint_failed", "Too large."), may_go_on=False,
    ) == "restart"  # fmt: skip
    task = await conversation.task()
    assert (task.status, task.turn_number, task.turn_status) == (Status.PENDING, 2, "queued")
    _, turn = await conversation.start()
    assert (turn.number, turn.attempt_number, turn.content) == (2, 1, "Second.")


async def test_a_conversation_that_was_just_answered_does_not_expire(conversation: Conversation) -> None:
    claim, turn = await conversation.start()
    await conversation.end(claim, turn)
    await conversation.pool.execute("UPDATE tasks SET expires_at = now() - interval '1 second'")
    [overdue_task] = await overdue.expired(conversation.pool)
    await conversation.send()
    await conversation.end(claim, await conversation.begin(claim))  # again awaiting input
    assert not await tasks.expire(conversation.pool, conversation.settings, overdue_task)
    assert (await conversation.task()).status is Status.AWAITING_INPUT


async def test_only_older_checkpoints_are_dropped(conversation: Conversation, tmp_path: object) -> None:
    claim, turn = await conversation.start()
    await conversation.end(claim, turn)
    await conversation.send()
    await conversation.end(claim, await conversation.begin(claim))
    blob = await checkpoints.create(conversation.pool, conversation.id)  # of a later attempt
    await checkpoint_store.set_stored(conversation.pool, Checkpoint(blob.id, blob.key, 1, "0" * 64, 1))
    await checkpoints.delete_superseded(conversation.pool, Blobs(f"file://{tmp_path}"), conversation.id)
    remaining = await conversation.pool.fetch("SELECT id FROM checkpoints ORDER BY created_at")
    assert [row["id"] for row in remaining] == [(await conversation.task()).checkpoint_id, blob.id]


async def test_a_key_split_over_several_deltas_is_redacted(
    conversation: Conversation, database_url: str
) -> None:
    claim, _ = await conversation.start()
    payloads: list[str] = []
    listening = asyncio.create_task(db.listen(database_url, {deltas.CHANNEL: payloads.append}))
    live_text = LiveText(conversation.pool)
    live_text.on_announcement(conversation.id)
    sending = asyncio.create_task(live_text.run())
    while not payloads:  # "" when it has connected
        await asyncio.sleep(0.01)
    log = EventLog(conversation.pool, claim, events.LogSize(100, 10**6), live_text)
    log.begin(await events.log_size(conversation.pool, conversation.id), encodings_of("sk-test-0123456789"))
    for piece in ("The key is sk-te", "st-0123", "456789, I", " think."):
        log.add_delta(piece)
        await log.flush()
        await asyncio.sleep(0.1)
    log.add(MessageCompleted("The key is sk-test-0123456789, I think."))
    await log.flush()
    while len(payloads) < 3:
        await asyncio.sleep(0.01)
    for task in (listening, sending):
        task.cancel()
    spoken = "".join(json.loads(payload)["data"]["content"] for payload in payloads[1:])
    assert spoken.startswith("The key is ")
    assert spoken.endswith(", I think.")
    assert "0123" not in spoken
    log = await events.list_page(conversation.pool, conversation.id, limit=100)
    [completed] = [event for event in log.rows if event.type == "message.completed"]
    assert "0123" not in completed.data["content"]
