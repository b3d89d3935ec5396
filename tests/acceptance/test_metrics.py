"""Metrics and probes of a running platform: what a task leaves in them."""

from collections.abc import Mapping

import httpx2

from tests.acceptance.bed import Client, Platform, finish, script
from tests.acceptance.up import wait_until

PREFIX = "agentcontainer_"


def scrape(url: str, token: str | None = None) -> dict[str, float]:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    answer = httpx2.get(url, headers=headers, trust_env=False, verify=False)
    assert answer.status_code == 200, answer.text
    lines = [line for line in answer.text.splitlines() if not line.startswith("#")]
    return {line.rpartition(" ")[0].removeprefix(PREFIX): float(line.rpartition(" ")[2]) for line in lines}


def of_runner(platform: Platform) -> str:
    """The runner's address. A platform is ready before its runner listens there."""
    url = f"http://{platform.environment['AGENTCONTAINER_RUNNER_METRICS_ADDRESS']}"

    def answers() -> bool:
        try:
            return httpx2.get(f"{url}/healthz", trust_env=False, verify=False).status_code == 200
        except httpx2.TransportError:
            return False

    assert wait_until(answers, 60)
    return url


def total(samples: Mapping[str, float], name: str, *labels: str) -> float:
    """The sum of a metric's samples that have these labels."""
    return sum(
        value
        for sample, value in samples.items()
        if sample.partition("{")[0] == name and all(label in sample for label in labels)
    )


def test_a_task_is_seen_in_the_metrics_of_its_runner_and_of_the_api(shared_platform: Platform) -> None:
    api_url, token = f"{shared_platform.base_url}/metrics", "t" * 24
    before = scrape(of_runner(shared_platform) + "/metrics")
    client: Client = shared_platform.account()
    secret = "canary-of-instructions"
    task = client.run(script({"bash": "echo hello > a.txt"}, finish("a.txt"), task=secret))
    assert task["status"] == "finished"
    after = scrape(of_runner(shared_platform) + "/metrics")

    def counted(name: str, *labels: str) -> float:
        return total(after, name, *labels) - total(before, name, *labels)

    assert counted("attempts_started_total") >= 1
    assert counted("task_queue_wait_seconds_count") >= 1
    assert counted("tasks_ended_total", 'status="finished"', 'completion="complete"') >= 1
    assert counted("task_duration_seconds_count", 'mode="autonomous"', 'status="finished"') >= 1
    assert counted("model_requests_total", 'provider="anthropic"', 'outcome="ok"') >= 2
    assert counted("model_time_to_first_token_seconds_count") >= 2
    assert counted("model_tokens_total", 'type="output"') > 0
    assert counted("tool_calls_total", 'tool="bash"', 'outcome="ok"') >= 2
    assert counted("container_seconds_total") > 0
    assert counted("file_bytes_sum", 'kind="output"') >= 6
    assert counted("store_request_duration_seconds_count", 'operation="put"') >= 1
    for phase in ("image", "workspace", "sandbox", "total"):
        assert counted("attempt_start_duration_seconds_count", f'phase="{phase}"') >= 1
    assert total(after, "runner_slots") == 4
    assert after["workspace_disk_free_bytes"] > 0
    of_api = scrape(api_url, token)
    assert total(of_api, "tasks_created_total", 'mode="autonomous"') >= 1
    assert total(of_api, "http_requests_total", 'route="/api/v1/tasks/{taskId}"') > 0
    assert total(of_api, "regions_without_runner") == 0
    assert 0 <= total(of_api, "feed_lag_seconds") < 60
    assert total(scrape(of_runner(shared_platform) + "/metrics"), "leader") + total(of_api, "leader") == 1
    assert total(of_api, "runner_last_heartbeat_timestamp_seconds") > 1e9
    text = "\n".join([*after, *of_api])
    for hidden in (secret, task["id"], client.account_id, client.api_key, task["title"]):
        assert hidden not in text


def test_a_runner_answers_probes(shared_platform: Platform) -> None:
    url = of_runner(shared_platform)
    assert httpx2.get(f"{url}/healthz", trust_env=False, verify=False).json() == {"status": "ok"}

    def is_ready() -> bool:
        answer = httpx2.get(f"{url}/readyz", trust_env=False, verify=False)
        assert answer.status_code in (200, 503)
        return answer.json() == {"status": "ready"} and answer.status_code == 200

    assert wait_until(is_ready, 10)
    assert httpx2.get(f"{url}/api/v1/tasks", trust_env=False, verify=False).status_code == 404
