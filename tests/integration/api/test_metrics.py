"""`GET /metrics`: who may read it, and what it says of requests, tasks and the queue."""

import httpx2
import pytest
from pydantic import SecretStr

from agentcontainer import db
from agentcontainer.api.app import create_app
from agentcontainer.domain.processes import store
from agentcontainer.domain.retention import service as retention
from agentcontainer.domain.tasks import runners
from agentcontainer.ids import new_id
from tests.ports import free_port

from .conftest import Account, Bed, error_of

pytestmark = pytest.mark.asyncio(loop_scope="session")
TOKEN = "t" * 24


def client(bed: Bed, token: str | None) -> httpx2.AsyncClient:
    """The application with a metrics token."""
    configured = bed.settings.model_copy(update={"metrics_token": SecretStr(token) if token else None})
    app = create_app(configured, bed.pool, bed.vault, bed.blobs)
    return httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://test")


async def scrape(bed: Bed) -> dict[str, float]:
    """Every sample, by its name and labels as they are written. A new application reads all gauges again."""
    async with client(bed, TOKEN) as http:
        answer = await http.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"})
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    lines = [line for line in answer.text.splitlines() if not line.startswith("#")]
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines}


async def test_it_needs_the_operators_token(bed: Bed, alice: Account) -> None:
    async with client(bed, TOKEN) as http:
        for header in ({}, {"Authorization": f"Bearer {alice.key}"}, {"Authorization": f"Bearer {TOKEN}x"}):
            answer = await http.get("/metrics", headers=header)
            assert (answer.status_code, error_of(answer)["code"]) == (401, "unauthorized")
            assert TOKEN not in answer.text
        wrong = await http.get("/metrics?x=1", headers={"Authorization": f"Bearer {TOKEN}"})
        assert wrong.status_code == 400
    async with client(bed, None) as http:
        answer = await http.get("/metrics", headers={"Authorization": "Bearer None"})
        assert (answer.status_code, error_of(answer)["code"]) == (404, "not_found")


async def test_requests_are_counted_by_route_and_never_by_what_clients_invent(bed: Bed) -> None:
    before = await scrape(bed)
    await bed.http.get("/api/v1/tasks/tsk_0123456789")
    await bed.http.get("/never-seen/at-all")
    await bed.http.request("BREW", "/healthz")
    after = await scrape(bed)

    def counted(name: str) -> float:
        return after.get(name, 0) - before.get(name, 0)

    requests = "agentcontainer_http_requests_total"
    assert counted(f'{requests}{{method="GET",route="/api/v1/tasks/{{taskId}}",status="401"}}') == 1
    assert counted(f'{requests}{{method="GET",route="unmatched",status="404"}}') == 1
    assert sum(counted(name) for name in after if name.startswith(f'{requests}{{method="other"')) == 1
    text = "\n".join(after)
    assert "never-seen" not in text
    assert "BREW" not in text
    assert "tsk_" not in text


async def test_tasks_are_counted_when_they_are_committed(bed: Bed, alice: Account) -> None:
    before = await scrape(bed)
    task = await alice.dispatch()
    key = {"Idempotency-Key": new_id("try")}
    path = "/api/v1/agents/agt_standard_data/tasks"
    refused = await alice.post(path, {"instructions": "x", "overrides": {"budget": {"usd": -1}}}, headers=key)
    assert refused.status_code == 400
    for _ in range(2):
        assert (await alice.post(path, {"instructions": "x"}, headers=key)).status_code == 201
    await alice.post(f"/api/v1/tasks/{task['id']}/cancel")
    after = await scrape(bed)

    def counted(name: str) -> float:
        return after.get(f"agentcontainer_{name}", 0) - before.get(f"agentcontainer_{name}", 0)

    assert counted('tasks_created_total{mode="autonomous"}') == 2, "a repeat is not counted again"
    cancelled = 'completion="",error_code="",mode="autonomous",status="cancelled"'
    assert counted(f"tasks_ended_total{{{cancelled}}}") == 1
    assert counted('task_duration_seconds_count{mode="autonomous",status="cancelled"}') == 1


async def test_the_queue_is_read_from_the_database(bed: Bed, alice: Account) -> None:
    before = await scrape(bed)
    await alice.dispatch(overrides={"runtimeRegion": "any"})
    runner_id = new_id("rnr")
    await runners.register(bed.pool, runner_id, "any", "here", 1, "metrics-1")
    await bed.pool.execute("UPDATE runners SET clock_skew_seconds = -0.25 WHERE id = $1", runner_id)
    after = await scrape(bed)
    assert after['agentcontainer_clock_skew_seconds{runner="metrics-1"}'] == -0.25
    depth = 'agentcontainer_queue_depth{region="any"}'
    assert after[depth] == before[depth] + 1
    assert after['agentcontainer_queue_oldest_age_seconds{region="any"}'] >= 0
    assert after['agentcontainer_tasks{status="pending"}'] > 0
    assert after['agentcontainer_runner_last_heartbeat_timestamp_seconds{runner="metrics-1"}'] > 1e9
    await bed.pool.execute("UPDATE runners SET stopped_at = now() WHERE id = $1", runner_id)


async def test_a_region_without_a_runner_is_counted(bed: Bed, alice: Account) -> None:
    await alice.dispatch(overrides={"runtimeRegion": "eu"})
    await bed.pool.execute("UPDATE runners SET stopped_at = now() WHERE stopped_at IS NULL AND region = 'eu'")
    assert (await scrape(bed))["agentcontainer_regions_without_runner"] >= 1
    runner_id = new_id("rnr")
    await runners.register(bed.pool, runner_id, "eu", "here", 1)
    assert (await scrape(bed))["agentcontainer_regions_without_runner"] == 0, "eu takes the tasks of any, too"
    await bed.pool.execute("UPDATE runners SET stopped_at = now() WHERE id = $1", runner_id)
    await bed.pool.execute("UPDATE runners SET stopped_at = NULL WHERE id = 'run_test'")


async def test_the_feed_and_the_purge_are_in_it(bed: Bed, alice: Account) -> None:
    task_id = (await alice.dispatch())["id"]
    await alice.post(f"/api/v1/tasks/{task_id}/cancel")
    await bed.pool.execute(
        "UPDATE tasks SET completed_at = now() - interval '31 days' WHERE id = $1", task_id
    )
    before = await scrape(bed)
    assert before["agentcontainer_feed_lag_seconds"] >= 0
    settings = bed.settings.model_copy(update={"retention_tasks_days": 30})
    removed = (await retention.purge(bed.pool, bed.blobs, settings))["tasks"].rows
    assert removed >= 1
    purged = 'agentcontainer_purged_rows_total{class="tasks"}'
    assert (await scrape(bed))[purged] - before.get(purged, 0) == removed


async def test_without_the_database_a_scrape_has_the_process_and_no_old_values(bed: Bed) -> None:
    url = f"postgresql://nobody@127.0.0.1:{free_port()}/nothing"
    assert bed.settings.database_url
    async with db.pool(bed.settings.database_url, max_size=1) as pool:
        app = create_app(
            bed.settings.model_copy(update={"metrics_token": SecretStr(TOKEN), "database_url": url}),
            pool, bed.vault, bed.blobs,
        )  # fmt: skip
        await pool.close()
        async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://test") as http:
            answer = await http.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"})
    assert answer.status_code == 200
    assert "agentcontainer_build_info" in answer.text
    assert "agentcontainer_queue_depth{" not in answer.text
    assert "agentcontainer_regions_without_runner NaN" in answer.text
    assert "agentcontainer_feed_lag_seconds NaN" in answer.text


async def test_an_api_process_has_a_row_while_it_lives(bed: Bed) -> None:
    process_id = new_id("api")
    await store.beat(bed.pool, process_id, "here", 8080, "1.2.3")
    await bed.pool.execute(
        "UPDATE api_processes SET heartbeat_at = now() - interval '1 h' WHERE id = $1", process_id
    )
    [silent] = [process for process in await store.api_processes(bed.pool) if process.id == process_id]
    assert (silent.host, silent.port, silent.version, silent.is_alive) == ("here", 8080, "1.2.3", False)
    await store.beat(bed.pool, process_id, "here", 8080, "1.2.3")
    [living] = [process for process in await store.api_processes(bed.pool) if process.id == process_id]
    assert living.is_alive
    await store.remove(bed.pool, process_id)
    assert process_id not in [process.id for process in await store.api_processes(bed.pool)]


async def test_logins_are_counted_and_confirmations_are_not_failures(bed: Bed, alice: Account) -> None:
    before = await scrape(bed)
    link = (await alice.post("/api/v1/login-codes")).json()["url"]
    for body, status in (
        ({"apiKey": alice.key}, 204),
        ({"apiKey": "ac_live_wrong"}, 401),
        ({"code": "wrong"}, 401),
        ({"code": link.partition("#")[2]}, 409),  # the code is of another account than the first
        ({}, 400),
    ):
        answer = await bed.http.post("/session", json=body, headers={"Sec-Fetch-Site": "same-origin"})
        bed.http.cookies.clear()
        assert answer.status_code == status, answer.text
    after = await scrape(bed)
    name = "agentcontainer_logins_total"
    counted = {key: after[key] - before.get(key, 0) for key in after if key.startswith(name)}
    assert {key: count for key, count in counted.items() if count} == {
        f'{name}{{method="api_key",outcome="succeeded"}}': 1,
        f'{name}{{method="api_key",outcome="failed"}}': 1,
        f'{name}{{method="code",outcome="failed"}}': 1,
    }
