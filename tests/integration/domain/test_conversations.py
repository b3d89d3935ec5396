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
from agentcontainer.domain.tasks import events, overdue, reconcile, runners, store
from agentcontainer.domain.tasks import service as tasks
from agentcontainer.domain.tasks.event_data import MessageCompleted
from agentcontainer.domain.tasks.model import Claim, Dispatch, Task
from agentcontainer.domain.tasks.state import EndReason, Status
from agentcontainer.redaction import encodings_of
from agentcontainer.runner.log import EventLog
from agentcontainer.settings import Settings

AGENT = "agt_standard_data"
RUNNER = "rnr_1"
CREDIT = 10_000_000


@dataclass
class Talk:
    """One conversation; the test does what its runner would do."""

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
            claim = await store.claim(connection, self.id, RUNNER)
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
async def talk(pool: Pool, database_url: str) -> Talk:
    settings = Settings(database_url=database_url)
    vault = Vault("k" * 40)
    account_id, _ = await accounts.create_account(pool, name="Test", credit_micro_usd=CREDIT)
    await standard.install(pool)
    await runners.register(pool, RUNNER, "any", "host", 4)
    dispatch = Dispatch(instructions="")
    task, _ = await service.create(pool, settings, vault, account_id, AGENT, dispatch, Draft("Hello."))
    return Talk(pool, settings, account_id, task.id, vault)


async def test_a_turn_that_lost_its_runner_is_tried_again_with_the_next_number(talk: Talk) -> None:
    claim, turn = await talk.start()
    assert (turn.number, turn.attempt_number, turn.content) == (1, 1, "Hello.")
    assert await tasks.lose(talk.pool, talk.settings, claim, "Gone.")
    assert (await talk.task()).status is Status.PENDING
    assert await talk.end(claim, turn) is None, "the fence moved"
    again, turn = await talk.start()
    assert (turn.number, turn.attempt_number, turn.content) == (1, 2, "Hello.")
    assert await talk.end(again, turn) == "idle"
    messages = await service.list_messages(
        talk.pool, talk.account_id, talk.id, after=None, limit=10, is_descending=False
    )
    assert [(m.role, m.turn_number, m.attempt_number) for m in messages.rows] == [
        ("user", 1, 2),
        ("assistant", 1, 2),
    ]
    task = await talk.task()
    assert (task.status, task.turn_status, task.tries) == (Status.AWAITING_INPUT, "completed", 0)


async def test_a_container_lost_between_turns_only_costs_a_cold_start(talk: Talk) -> None:
    claim, turn = await talk.start()
    await talk.end(claim, turn)
    await runners.stop(talk.pool, [RUNNER])
    await reconcile.reconcile(talk.pool, talk.settings)
    assert (await talk.task()).status is Status.AWAITING_INPUT
    await talk.send()
    assert (await talk.task()).status is Status.PENDING, "it needs a new container"


async def test_a_message_and_an_eviction_at_the_same_time_are_ordered(talk: Talk) -> None:
    claim, turn = await talk.start()
    for number in range(1, 11):
        assert await talk.end(claim, turn) == "idle"
        _, is_put_away = await asyncio.gather(talk.send(), store.evict(talk.pool, claim))
        status = (await talk.task()).status
        assert status is (Status.PENDING if is_put_away else Status.RUNNING)
        if is_put_away:
            assert await turns.begin(talk.pool, claim) is None, "not in the old container"
            claim, turn = await talk.start()
        else:
            turn = await talk.begin(claim)
        assert turn.number == number + 1


async def test_an_idle_conversation_expires_without_a_runner(talk: Talk) -> None:
    claim, turn = await talk.start()
    await talk.end(claim, turn)
    await runners.stop(talk.pool, [RUNNER])
    assert await reconcile.reconcile(talk.pool, talk.settings) == 1  # its container
    await talk.pool.execute("UPDATE tasks SET expires_at = now() - interval '1 second'")
    assert await reconcile.reconcile(talk.pool, talk.settings) == 1
    task = await talk.task()
    assert (task.status, task.error_code) == (Status.EXPIRED, None)
    assert (await talk.kinds())[-1] == "task.expired"
    balance = await talk.pool.fetchval(
        "SELECT balance_micro_usd FROM accounts WHERE id = $1", talk.account_id
    )
    assert balance == CREDIT - task.cost_micro_usd, "the hold is given back"


async def test_a_message_postpones_the_expiry_of_a_conversation(talk: Talk) -> None:
    claim, turn = await talk.start()
    await talk.end(claim, turn)
    await talk.pool.execute("UPDATE tasks SET expires_at = now() - interval '1 second'")
    await talk.send()
    assert await reconcile.reconcile(talk.pool, talk.settings) == 0
    assert (await talk.task()).status is Status.RUNNING


async def test_messages_sent_at_once_get_a_turn_each(talk: Talk) -> None:
    await asyncio.gather(*(talk.send(f"Message {number}.") for number in range(100)))
    messages = await service.list_messages(
        talk.pool, talk.account_id, talk.id, after=None, limit=200, is_descending=False
    )
    assert [m.turn_number for m in messages.rows] == list(range(1, 102))
    claim, turn = await talk.start()
    for message in messages.rows:
        assert turn.message_id == message.id
        following = await talk.end(claim, turn)
        if following == "turn":
            turn = await talk.begin(claim)
    assert following == "idle"


async def test_changed_overrides_need_a_new_container_and_accumulate(talk: Talk) -> None:
    claim, turn = await talk.start()
    await talk.send(overrides=Overrides(model="claude-opus-4-5"))
    await talk.send(overrides=Overrides(max_runtime_seconds=4000))
    assert await talk.end(claim, turn) == "restart"
    assert (await talk.task()).status is Status.PENDING
    claim, turn = await talk.start()
    assert (await talk.task()).execution.model == "claude-opus-4-5"
    assert await talk.end(claim, turn) == "restart"
    claim, turn = await talk.start()
    execution = (await talk.task()).execution
    assert (execution.model, execution.max_runtime_seconds) == ("claude-opus-4-5", 4000)
    await talk.send(overrides=Overrides(model="claude-opus-4-5"))  # the model it already has
    assert await talk.end(claim, turn) == "turn"


async def test_a_message_key_is_kept_for_its_turn_only_and_forgotten_at_the_end(talk: Talk) -> None:
    claim, turn = await talk.start()
    await talk.send(provider_api_key="sk-of-the-message")
    assert await talk.end(claim, turn) == "restart"
    claim, turn = await talk.start()
    sealed = await store.provider_key_ciphertext(talk.pool, talk.id)
    assert sealed is not None
    assert talk.vault.open(sealed, talk.id) == "sk-of-the-message"
    await talk.send(provider_api_key="sk-never-used")
    await service.end(talk.pool, talk.settings, talk.account_id, talk.id)
    count_keys = "SELECT count(*) FROM messages WHERE provider_key_ciphertext IS NOT NULL"
    assert await talk.pool.fetchval(count_keys) == 0
    assert await store.provider_key_ciphertext(talk.pool, talk.id) is None


async def test_a_lost_container_leaves_what_earlier_turns_cost(talk: Talk) -> None:
    claim, turn = await talk.start()
    await talk.pool.execute("UPDATE tasks SET container_started_at = now() - interval '90 seconds'")
    await talk.end(claim, turn)
    await talk.send()
    await talk.begin(claim)
    await talk.pool.execute("UPDATE tasks SET container_started_at = now() - interval '1 hour'")
    await tasks.lose(talk.pool, talk.settings, claim, "Gone.")
    assert (await talk.task()).container_micro_seconds // 1_000_000 == 90


async def test_unused_checkpoints_are_removed(talk: Talk, tmp_path: object) -> None:
    blobs = Blobs(f"file://{tmp_path}")
    claim, turn = await talk.start()
    await talk.end(claim, turn)
    await talk.send()
    await talk.end(claim, await talk.begin(claim))
    await checkpoints.create(talk.pool, talk.id)  # a checkpoint that a crash left half written
    assert await checkpoints.clean_up(talk.pool, blobs, timedelta(hours=1)) == 0, "they are young"
    assert await checkpoints.clean_up(talk.pool, blobs, timedelta(0)) == 2
    assert await checkpoint_store.get_current(talk.pool, talk.id) is not None
    await service.end(talk.pool, talk.settings, talk.account_id, talk.id)
    assert await checkpoints.clean_up(talk.pool, blobs, timedelta(0)) == 1
    assert await talk.pool.fetchval("SELECT count(*) FROM checkpoints") == 0


async def test_a_checkpoint_that_took_long_is_not_cleaned_up_before_it_is_recorded(
    talk: Talk, tmp_path: object
) -> None:
    """A save may take longer than leftovers are kept; the newest of a running task may be about to count."""
    await talk.start()
    blob = await checkpoints.create(talk.pool, talk.id)
    await checkpoint_store.set_stored(talk.pool, Checkpoint(blob.id, blob.key, 1, "0" * 64, 1))
    await talk.pool.execute("UPDATE checkpoints SET created_at = created_at - interval '20 minutes'")
    assert await checkpoints.clean_up(talk.pool, Blobs(f"file://{tmp_path}"), timedelta(minutes=10)) == 0


async def test_a_key_goes_to_its_own_provider_only(talk: Talk) -> None:
    claim, turn = await talk.start()
    await talk.send(overrides=Overrides(provider="anthropic"), provider_api_key="sk-for-anthropic")
    assert await talk.end(claim, turn) == "restart"
    claim, turn = await talk.start()
    assert await store.provider_key_ciphertext(talk.pool, talk.id) is not None
    await talk.send(overrides=Overrides(provider="openai", model="gpt-5.2"))
    assert await talk.end(claim, turn) == "restart"
    await talk.start()
    assert await store.provider_key_ciphertext(talk.pool, talk.id) is None


async def test_answered_turns_are_charged_however_the_next_one_fails(talk: Talk) -> None:
    claim, turn = await talk.start()
    await talk.pool.execute("UPDATE tasks SET container_started_at = now() - interval '60 seconds'")
    await talk.end(claim, turn)
    await store.evict(talk.pool, claim)
    await talk.send()
    claim = await talk.claim()
    await talk.begin(claim)
    async with db.transaction(talk.pool) as connection:
        reason = EndReason.PROVIDER_KEY_MISSING
        assert await tasks.end(
            connection, talk.settings, talk.id, reason, attempt=claim.attempt, message="No key."
        )
    task = await talk.task()
    assert (task.status, task.turn_status) == (Status.FAILED, "failed")
    assert task.cost_micro_usd >= 50_000


async def test_each_turn_has_all_its_tries(talk: Talk) -> None:
    for _ in range(3):
        await talk.send()
    claim, turn = await talk.start()
    for number in range(1, 5):
        await tasks.lose(talk.pool, talk.settings, claim, "Gone.")
        claim, turn = await talk.start()
        assert (turn.number, turn.attempt_number) == (number, 2)
        if await talk.end(claim, turn) == "turn":
            turn = await talk.begin(claim)
    assert (await talk.task()).status is Status.AWAITING_INPUT


@pytest.mark.parametrize("is_followed", [False, True])
async def test_an_end_may_be_repeated_when_nobody_knows_whether_it_was_committed(
    talk: Talk, is_followed: bool
) -> None:
    claim, turn = await talk.start()
    if is_followed:
        await talk.send()
    first = await talk.end(claim, turn)
    assert await talk.end(claim, turn) == first == ("turn" if is_followed else "idle")
    assert (await talk.kinds()).count("turn.completed") == 1


async def test_a_turn_that_may_not_continue_releases_its_container(talk: Talk) -> None:
    claim, turn = await talk.start()
    await talk.send("Second.")
    assert await turns.end(
        talk.pool, talk.settings, claim, turn, checkpoint_id=None, reply="", file_ids=(),
        failure=turns.Failure("checkpoint_failed", "Too large."), may_go_on=False,
    ) == "restart"  # fmt: skip
    task = await talk.task()
    assert (task.status, task.turn_number, task.turn_status) == (Status.PENDING, 2, "queued")
    _, turn = await talk.start()
    assert (turn.number, turn.attempt_number, turn.content) == (2, 1, "Second.")


async def test_a_conversation_that_was_just_answered_does_not_expire(talk: Talk) -> None:
    claim, turn = await talk.start()
    await talk.end(claim, turn)
    await talk.pool.execute("UPDATE tasks SET expires_at = now() - interval '1 second'")
    [overdue_task] = await overdue.expired(talk.pool)
    await talk.send()
    await talk.end(claim, await talk.begin(claim))  # it awaits input again
    assert not await tasks.expire(talk.pool, talk.settings, overdue_task)
    assert (await talk.task()).status is Status.AWAITING_INPUT


async def test_only_older_checkpoints_are_dropped(talk: Talk, tmp_path: object) -> None:
    claim, turn = await talk.start()
    await talk.end(claim, turn)
    await talk.send()
    await talk.end(claim, await talk.begin(claim))
    blob = await checkpoints.create(talk.pool, talk.id)  # of a later attempt
    await checkpoint_store.set_stored(talk.pool, Checkpoint(blob.id, blob.key, 1, "0" * 64, 1))
    await checkpoints.delete_superseded(talk.pool, Blobs(f"file://{tmp_path}"), talk.id)
    remaining = await talk.pool.fetch("SELECT id FROM checkpoints ORDER BY created_at")
    assert [row["id"] for row in remaining] == [(await talk.task()).checkpoint_id, blob.id]


async def test_a_key_split_over_several_deltas_is_redacted(talk: Talk, database_url: str) -> None:
    claim, _ = await talk.start()
    deltas: list[str] = []
    listening = asyncio.create_task(db.listen(database_url, {events.DELTA_CHANNEL: deltas.append}))
    while not deltas:  # "" once it listens
        await asyncio.sleep(0.01)
    log = EventLog(talk.pool, claim, events.LogSize(100, 10**6))
    log.begin(await events.log_size(talk.pool, talk.id), encodings_of("sk-test-0123456789"))
    for piece in ("The key is sk-te", "st-0123", "456789, I", " think."):
        log.add_delta(piece)
        await log.flush()
    log.add(MessageCompleted("The key is sk-test-0123456789, I think."))
    await log.flush()
    while len(deltas) < 3:
        await asyncio.sleep(0.01)
    listening.cancel()
    spoken = "".join(json.loads(payload)["data"]["content"] for payload in deltas[1:])
    assert spoken.startswith("The key is ")
    assert spoken.endswith(", I think.")
    assert "0123" not in spoken
    log = await events.list_page(talk.pool, talk.id, limit=100)
    [completed] = [event for event in log.rows if event.type == "message.completed"]
    assert "0123" not in completed.data["content"]
